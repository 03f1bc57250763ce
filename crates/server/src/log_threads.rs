//! The two threads of the change log: committer and upkeep.
//!
//! If either fails or panics the log is not to be trusted any more (invariant 5): every record and
//! checkpoint that waits is refused, and the failure is handed to whoever waits for the node.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::committer::{CommitQueue, Committer};
use durabo_objects::upkeep::{Upkeep, UpkeepQueue};
use durabo_storage::folder::DataFolder;
use tokio::sync::watch;
use tracing::error;

/// Handles of the running threads. Dropping them lets the threads end once all is done.
#[derive(Debug)]
pub struct LogThreads {
    threads: Vec<JoinHandle<()>>,
    queues: Queues,
    failed: watch::Receiver<Option<Failure>>,
}

#[derive(Debug, Clone)]
struct Queues {
    commits: CommitQueue,
    jobs: UpkeepQueue,
}

impl LogThreads {
    /// Starts both. The folder stays locked as long as one of them runs.
    pub fn start(committer: Committer, upkeep: Upkeep, folder: &Arc<DataFolder>) -> io::Result<Self> {
        let queues = Queues { commits: upkeep.commits.clone(), jobs: upkeep.queue.clone() };
        let (tell, failed) = watch::channel(None);
        let start = |name: &str, run: Box<dyn FnOnce() -> Result<(), Failure> + Send>| {
            let (tell, queues, folder) = (tell.clone(), queues.clone(), folder.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                report(run, &queues, &tell);
                drop(folder);
            })
        };
        // Upkeep first: it is joined first, since its last records go to the committer.
        let threads = vec![
            start("upkeep", Box::new(move || upkeep.run()))?,
            start("committer", Box::new(move || committer.run()))?,
        ];
        Ok(Self { threads, queues, failed })
    }

    /// Changes to the failure that ended the log.
    pub fn failed(&self) -> watch::Receiver<Option<Failure>> {
        self.failed.clone()
    }

    /// Ends both once everything queued is done.
    pub fn stop(mut self) -> Result<(), Failure> {
        let mut threads = std::mem::take(&mut self.threads).into_iter();
        self.queues.jobs.close();
        threads.next().into_iter().for_each(join);
        self.queues.commits.close();
        threads.for_each(join);
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }
}

impl Drop for LogThreads {
    fn drop(&mut self) {
        self.queues.jobs.close();
        self.queues.commits.close();
    }
}

fn join(thread: JoinHandle<()>) {
    // A panic of the work was caught and told; there is nothing else in the thread.
    thread.join().unwrap_or_default();
}

fn report(
    run: impl FnOnce() -> Result<(), Failure>,
    queues: &Queues,
    failed: &watch::Sender<Option<Failure>>,
) {
    let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let text = "a thread of the change log panicked and the node stops; see standard error";
        Err(Failure::new(ErrorCode::Internal, text))
    });
    if let Err(failure) = ended {
        error!(%failure, "the change log has failed");
        queues.commits.fail(&failure);
        queues.jobs.fail();
        failed.send_replace(Some(failure));
    }
}
