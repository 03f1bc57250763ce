//! Upkeep: what keeps the change log small, off the path of commits.
//!
//! One thread syncs the files of checkpointed objects, writes their rows into the object index and
//! only then their checkpoint records (invariant 4); keeps segments ready; moves the control position
//! on and recycles what no object needs; and asks for a checkpoint of whoever holds the log back.
//!
//! [`Upkeep::step`] is one round and never waits, so that the simulation can drive it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use durabo_changelog::codec::EncodedRecord;
use durabo_changelog::control::ControlFile;
use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::segment_pool::SegmentPool;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;
use durabo_storage::object_file::ObjectFile;
use durabo_storage::object_index::{ObjectIndex, ObjectRow};
use tokio::sync::oneshot;
use tracing::warn;

use crate::committer::{Append, CommitQueue, LogPins};

/// How often the thread looks at the log although nobody woke it.
const ROUND: Duration = Duration::from_millis(500);

/// A copied WAL that is to become a durable checkpoint.
#[derive(Debug)]
pub struct CheckpointJob {
    /// The file that was written to.
    pub file: ObjectFile,
    /// What the index is to say of it.
    pub row: ObjectRow,
    /// The record that says so in the log.
    pub record: EncodedRecord,
    /// Told when file and row are durable and the record is queued.
    pub done: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<CheckpointJob>,
    closed: bool,
    failed: bool,
}

/// Where objects leave their checkpoints; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct UpkeepQueue {
    shared: Arc<(Mutex<QueueState>, Condvar)>,
}

impl UpkeepQueue {
    /// Queues a job. After a failure it is dropped, which tells the object.
    pub fn push(&self, job: CheckpointJob) {
        let mut state = self.lock();
        if !state.failed {
            state.waiting.push_back(job);
            drop(state);
            self.shared.1.notify_one();
        }
    }

    /// Drops all jobs, present and to come: nobody works on them any more.
    pub fn fail(&self) {
        let mut state = self.lock();
        state.failed = true;
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.1.notify_all();
    }

    /// Lets the thread end once all jobs are done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.shared.0.lock().expect("BUG: the queue's lock is never held over a panic")
    }

    fn take(&self) -> VecDeque<CheckpointJob> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Waits for a job or a round's time. False when the queue is closed and empty.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closed {
            let lock = self.shared.1.wait_timeout(state, ROUND);
            state = lock.expect("BUG: the queue's lock is never held over a panic").0;
        }
        !(state.waiting.is_empty() && state.closed)
    }
}

/// The object index, shared between upkeep, which writes it, and the objects that start.
pub type SharedIndex = Arc<Mutex<ObjectIndex>>;

/// Asks a live object to checkpoint itself.
pub type RequestCheckpoint = Box<dyn Fn(ObjectKey) + Send>;

/// What upkeep works on.
pub struct Upkeep {
    /// Jobs.
    pub queue: UpkeepQueue,
    /// Where checkpoint records go.
    pub commits: CommitQueue,
    /// Who needs what of the log.
    pub pins: LogPins,
    /// Prepared segments.
    pub pool: Arc<SegmentPool>,
    /// Where recovery starts.
    pub control: ControlFile,
    /// Rows of checkpointed objects.
    pub index: SharedIndex,
    /// Log bytes beyond which the oldest object is asked for a checkpoint.
    pub log_bytes_target: u64,
    /// How it is asked.
    pub request_checkpoint: RequestCheckpoint,
}

impl Upkeep {
    /// One round over everything. A failure is final for the node, as the log's is.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.prepare();
        self.checkpoint()?;
        self.recycle()
    }

    /// Makes spare segments. One that cannot be made, as on a full disk, is tried again next time;
    /// until the log runs out of spares nothing is lost.
    fn prepare(&self) {
        loop {
            match self.pool.prepare() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return warn!(%error, "no spare log segment could be prepared"),
            }
        }
    }

    /// Works until the queue is closed and empty. Blocks its thread in between.
    pub fn run(mut self) -> Result<(), Failure> {
        while self.queue.wait() {
            self.step()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        let jobs = self.queue.take();
        if jobs.is_empty() {
            return Ok(());
        }
        let early = mutation::is_planted(Mutation::CheckpointRecordBeforeSync);
        let mut finished = Vec::with_capacity(jobs.len());
        for job in jobs {
            let CheckpointJob { file, row, record, done } = job;
            if early {
                self.commits.push(Append::Checkpoint(record.clone()))?;
            }
            finished.push((file, row, record, done));
        }
        for (file, ..) in &finished {
            file.sync().map_err(stop)?;
        }
        let rows: Vec<ObjectRow> = finished.iter().map(|(_, row, ..)| row.clone()).collect();
        self.index
            .lock()
            .expect("BUG: the index's lock is never held over a panic")
            .upsert_all(&rows)
            .map_err(stop)?;
        for (file, _, record, done) in finished {
            // Before the object is told: it may leave, and its file must not be open here then.
            drop(file);
            if !early {
                self.commits.push(Append::Checkpoint(record))?;
            }
            // The object may have left meanwhile.
            done.send(()).unwrap_or_default();
        }
        Ok(())
    }

    fn recycle(&mut self) -> Result<(), Failure> {
        let (least, head, oldest) =
            self.pins.with(|pins, head| (pins.least_needed(*head), *head, pins.oldest()));
        if let Err(error) = self.control.release(least, &self.pool) {
            // Nothing is given up that is not durably so: the log only stays longer than it need be.
            warn!(%error, "segments of the change log could not be recycled");
        }
        if let Some((key, _)) = oldest.filter(|(_, position)| head.0 - position.0 > self.log_bytes_target) {
            (self.request_checkpoint)(key);
        }
        Ok(())
    }
}

fn stop(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        ErrorCode::StorageFailed,
        format!("upkeep of the change log failed and the node stops: {error}"),
    )
}
