//! Addresses of names, of so many names at a time.
//!
//! The system's look-up takes a thread for as long as it likes and cannot be given up. So a look-up keeps its place
//! until it has ended, also when nobody waits for it any more; names whose servers are silent can take all places,
//! but not all threads, on which uploads and the control plane depend as well.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use durabo_model::failure::Failure;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::deadline::Deadline;
use super::target::Target;
use crate::task_end::failure_of_task;

/// Finds the addresses of a name.
pub trait FindAddresses: Send + Sync + 'static {
    /// All of them, in the order in which they should be tried.
    fn find(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// Asks the system.
#[derive(Debug)]
pub struct SystemNames;

impl FindAddresses for SystemNames {
    fn find(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Looks names up.
pub struct Lookups {
    tasks: Handle,
    names: Box<dyn FindAddresses>,
    places: Arc<Semaphore>,
    lookups_max: usize,
}

impl Lookups {
    /// Asks `names`, in `tasks`, for `lookups_max` names at a time.
    pub fn new(tasks: Handle, names: Box<dyn FindAddresses>, lookups_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(lookups_max.min(Semaphore::MAX_PERMITS)));
        Self { tasks, names, places, lookups_max }
    }

    /// The addresses of the host of `target`, in the order in which they should be tried.
    pub async fn find(&self, target: &Target, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
        let place = timeout_at(deadline.at, self.places.clone().acquire_owned()).await;
        let place = place.map_err(|_| {
            let what = format!(
                "the node looks up {} names, as many as it may at a time, and no look-up has ended",
                self.lookups_max
            );
            deadline.missed(target, &what)
        })?;
        let place = place.expect("BUG: places are never closed");
        let finding = self.names.find(target.host.clone(), target.port);
        let found = self.tasks.spawn(async move {
            let found = finding.await;
            drop(place);
            found
        });
        let found = timeout_at(deadline.at, found).await;
        let found = found.map_err(|_| deadline.missed(target, "no address was found"))?;
        let found = found.map_err(failure_of_task)?;
        found.map_err(|error| target.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::sync::watch;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    /// Never finds `silent.test` before the test says so, and everything else at once.
    struct Names(watch::Receiver<bool>);

    impl FindAddresses for Names {
        fn find(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let mut may_end = self.0.clone();
            async move {
                if host == "silent.test" {
                    drop(may_end.wait_for(|may_end| *may_end).await);
                }
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
            }
            .boxed()
        }
    }

    async fn find(lookups: &Lookups, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        let target = Target::parse(&format!("http://{host}/")).expect("a URL");
        lookups.find(&target, Deadline::after(TIME)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_nobody_waits_for_keeps_its_place_until_it_ends() {
        let (may_end, ends) = watch::channel(false);
        let lookups = Lookups::new(Handle::current(), Box::new(Names(ends)), 1);
        let failure = find(&lookups, "silent.test").await.expect_err("silent");
        assert!(failure.message.contains("no address was found within 10 s"), "{failure}");
        let failure = find(&lookups, "other.test").await.expect_err("no place");
        assert!(
            failure.message.contains("looks up 1 names") && failure.message.contains("within 10 s"),
            "{failure}"
        );
        assert_eq!(failure.code, "outgoing-failed");
        may_end.send_replace(true);
        assert!(find(&lookups, "other.test").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_gets_it_when_another_look_up_ends() {
        let (may_end, ends) = watch::channel(false);
        let lookups = Lookups::new(Handle::current(), Box::new(Names(ends)), 1);
        let free = async {
            assert!(!may_end.send_replace(true), "the first one waits");
        };
        let (first, second, ()) =
            futures::join!(find(&lookups, "silent.test"), find(&lookups, "other.test"), free);
        assert!(first.is_ok() && second.is_ok());
    }
}
