//! Upkeep: what keeps the change log small, off the path of commits.
//!
//! One thread has the files of checkpointed objects synced, writes their rows into the object index and
//! only then their checkpoint records (invariant 4); keeps segments ready; moves the control position
//! on and recycles what no object needs; and asks for checkpoints of those who hold the log back or have most
//! of it in memory.
//!
//! Without space on the disk it goes on as far as it can and tries the rest again at the next step; a
//! failed sync is final.
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
use durabo_model::sequence::LogPosition;
use durabo_model::time::Clock;
use durabo_storage::error::StorageError;
use durabo_storage::object_file::ObjectFile;
use durabo_storage::object_index::ObjectRow;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::alarm_schedule::AlarmSchedule;
use crate::committer::{CommitQueue, LogPins};
use crate::index_handle::IndexHandle;
use crate::log_holders::LogHolders;
use crate::wal_memory::WalMemory;

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

impl CheckpointJob {
    /// Tells the object that all of it is done.
    fn finish(self) {
        // Before the object is told: it may leave, and its file must not be open here then.
        drop(self.file);
        // The object may have left meanwhile.
        self.done.send(()).unwrap_or_default();
    }
}

/// What lacks space: checkpoints whose files are synced, and what the operator was told.
#[derive(Debug, Default)]
pub struct Shortage {
    without_row: VecDeque<CheckpointJob>,
    without_record: VecDeque<CheckpointJob>,
    is_told: bool,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<CheckpointJob>,
    /// Somebody asks for a round without a job.
    woken: bool,
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

    /// Asks for a round at once.
    pub fn wake(&self) {
        self.lock().woken = true;
        self.shared.1.notify_one();
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
        if state.waiting.is_empty() && !state.woken && !state.closed {
            let lock = self.shared.1.wait_timeout(state, ROUND);
            state = lock.expect("BUG: the queue's lock is never held over a panic").0;
        }
        state.woken = false;
        !(state.waiting.is_empty() && state.closed)
    }
}

/// Asks a live object to checkpoint itself.
pub type RequestCheckpoint = Box<dyn Fn(ObjectKey) + Send>;

/// Makes the files of a batch of checkpoints durable: all of them, or it is an error.
pub type SyncFiles = Box<dyn Fn(&[ObjectFile]) -> Result<(), StorageError> + Send>;

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
    pub index: IndexHandle,
    /// Told what the index says of alarms.
    pub alarms: AlarmSchedule,
    /// Who is asked for a checkpoint, since it holds the log back.
    pub holders: LogHolders,
    /// Tells how old the log is.
    pub clock: Arc<dyn Clock>,
    /// How an object is asked.
    pub request_checkpoint: RequestCheckpoint,
    /// How files are synced.
    pub sync_files: SyncFiles,
    /// What the write-ahead logs of all objects take, and may take before the largest are asked.
    pub wal_memory: (WalMemory, usize),
    /// What a full disk holds back; nothing at first.
    pub shortage: Shortage,
}

impl Upkeep {
    /// One round over everything. A failure is final for the node, as the log's is.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.prepare();
        self.checkpoint()?;
        let (memory, bytes_max) = &self.wal_memory;
        memory.to_checkpoint(*bytes_max).into_iter().for_each(&self.request_checkpoint);
        self.recycle()
    }

    /// Makes spare segments, and sees whether there is space for writes. Turns are refused theirs until
    /// there is; what goes on is whatever makes the log smaller.
    fn prepare(&mut self) {
        let looked = self.pool.look_for_space();
        let was_told = std::mem::replace(&mut self.shortage.is_told, looked.is_err());
        match looked {
            Err(error) if !was_told => warn!(%error, "there is no space for writes; reads go on"),
            Ok(()) if was_told => info!("there is space for writes again"),
            _ => {}
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
        let early = mutation::is_planted(Mutation::CheckpointRecordBeforeSync);
        for job in &jobs {
            if early {
                self.commits.push_checkpoint(&job.record, &self.pool)?;
            }
        }
        let files: Vec<ObjectFile> = jobs.iter().map(|job| job.file.clone()).collect();
        (self.sync_files)(&files).map_err(stop)?;
        // Whoever leaves must find no other handle of its file.
        drop(files);
        let is_news = !jobs.is_empty();
        self.shortage.without_row.extend(jobs);
        self.write_rows(is_news)?;
        if early {
            self.shortage.without_record.drain(..).for_each(CheckpointJob::finish);
        }
        self.queue_records()
    }

    /// Writes the rows of files that are synced, as soon as the index has space for them. `is_news`: some of
    /// them were not tried before.
    fn write_rows(&mut self, is_news: bool) -> Result<(), Failure> {
        let rows: Vec<ObjectRow> = self.shortage.without_row.iter().map(|job| job.row.clone()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        match self.index.with(|index| index.upsert_all(&rows)) {
            Err(error) if error.is_full() && !mutation::is_planted(Mutation::TakeFullForIndexed) => {
                if is_news {
                    warn!(%error, checkpoints = rows.len(), "checkpoints wait for space in the object index");
                }
                return Ok(());
            }
            Err(error) if !error.is_full() => return Err(stop(error)),
            _ => {}
        }
        rows.iter().for_each(|row| self.alarms.indexed(row.key, row.alarm));
        self.shortage.without_record.append(&mut self.shortage.without_row);
        Ok(())
    }

    /// Puts the records of checkpoints whose rows are written into the queue, as soon as there is room.
    /// A later start that does not find such a record only applies more of the log than it need.
    fn queue_records(&mut self) -> Result<(), Failure> {
        while let Some(job) = self.shortage.without_record.front() {
            if !self.commits.push_checkpoint(&job.record, &self.pool)? {
                return Ok(());
            }
            self.shortage.without_record.pop_front().into_iter().for_each(CheckpointJob::finish);
        }
        Ok(())
    }

    fn recycle(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        // On a full disk each segment counts that can be used again.
        let is_wanted = |position: LogPosition| self.pool.is_short() && self.pool.holds_back(position);
        let (least, asked) = self
            .pins
            .with(|pins, head| (pins.least_needed(*head), self.holders.to_ask(now, pins, *head, is_wanted)));
        if let Err(error) = self.control.release(least, &self.pool) {
            // Nothing is given up that is not durably so: the log only stays longer than it need be.
            warn!(%error, "segments of the change log could not be recycled");
        }
        asked.into_iter().for_each(&self.request_checkpoint);
        Ok(())
    }
}

fn stop(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        ErrorCode::StorageFailed,
        format!("upkeep of the change log failed and the node stops: {error}"),
    )
}
