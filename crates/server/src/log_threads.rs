//! The two threads of the change log: committer and upkeep.
//!
//! If either fails the log is not to be trusted any more (invariant 5): the other is told to end and
//! the failure is handed to whoever waits for the node.

use std::io;
use std::thread::{self, JoinHandle};

use durabo_model::failure::Failure;
use durabo_objects::committer::{CommitQueue, Committer};
use durabo_objects::upkeep::{Upkeep, UpkeepQueue};
use tokio::sync::watch;
use tracing::error;

/// Handles of the running threads.
#[derive(Debug)]
pub struct LogThreads {
    committer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    commits: CommitQueue,
    jobs: UpkeepQueue,
    failed: watch::Receiver<Option<Failure>>,
}

impl LogThreads {
    /// Starts both.
    pub fn start(committer: Committer, upkeep: Upkeep) -> io::Result<Self> {
        let (commits, jobs) = (upkeep.commits.clone(), upkeep.queue.clone());
        let (tell, failed) = watch::channel(None);
        let told = tell.clone();
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || report(committer.run(), &tell))?;
        let upkeep =
            thread::Builder::new().name("upkeep".to_owned()).spawn(move || report(upkeep.run(), &told))?;
        Ok(Self { committer, upkeep, commits, jobs, failed })
    }

    /// Changes to the failure that ended the log.
    pub fn failed(&self) -> watch::Receiver<Option<Failure>> {
        self.failed.clone()
    }

    /// Ends both once everything queued is done.
    pub fn stop(self) -> Result<(), Failure> {
        self.jobs.close();
        self.upkeep.join().expect("BUG: the upkeep thread panicked");
        self.commits.close();
        self.committer.join().expect("BUG: the committer thread panicked");
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }
}

fn report(ended: Result<(), Failure>, failed: &watch::Sender<Option<Failure>>) {
    if let Err(failure) = ended {
        error!(%failure, "the change log has failed");
        failed.send_replace(Some(failure));
    }
}
