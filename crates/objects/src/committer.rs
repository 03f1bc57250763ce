//! Committer: brings records into the node's change log, many with one sync.
//!
//! Objects put encoded records into the queue and go on; one thread appends all that wait, syncs
//! once, and only then lets each object's gate advance (invariant 1). A failed write or sync is final
//! (invariant 5): every gate breaks, every later record is refused, and the node stops.
//!
//! [`Committer::flush`] is one round and never waits, so that the simulation can drive it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use durabo_changelog::codec::EncodedRecord;
use durabo_changelog::error::LogError;
use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::pins::Pins;
use durabo_changelog::segment_log::SegmentLog;
use durabo_changelog::segment_pool::SegmentPool;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;
use durabo_model::sequence::LogPosition;
use tokio::sync::oneshot;

use crate::append_outcome::AppendOutcome;
use crate::commit_faults::{Commit, CommitFault, CommitFaults};
use crate::output_gate::OutputGate;
use crate::room::ObjectRoom;

/// A record on its way into the log.
#[derive(Debug)]
enum Append {
    /// A turn's changes; the gate advances to the record's sequence when it is durable.
    Commit(EncodedRecord, Arc<OutputGate>),
    /// The object's file holds everything up to the record's sequence.
    Checkpoint(EncodedRecord),
    /// No record: told when all before it is on the disk itself, whatever "durable" means for
    /// commits. A file must never be ahead of the log (invariant 2).
    Barrier(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Append>,
    closed: bool,
    failed: Option<Failure>,
    /// Only in a node that is started for tests.
    faults: Option<Box<CommitFaults>>,
}

impl QueueState {
    fn faults(&mut self) -> &mut CommitFaults {
        self.faults.as_mut().expect("faults can be asked for only in a node that is started for tests")
    }
}

/// Where objects leave their records; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct CommitQueue {
    shared: Arc<(Mutex<QueueState>, Condvar)>,
}

impl CommitQueue {
    /// A queue in which faults of commits can be asked for, for tests.
    pub fn with_faults() -> Self {
        let queue = Self::default();
        queue.lock().faults = Some(Box::default());
        queue
    }

    /// Plans what is to become of an object's next commit for which nothing is planned.
    ///
    /// # Panics
    /// If the queue was not made [`with_faults`](Self::with_faults).
    pub fn plan_fault(&self, key: ObjectKey, fault: CommitFault) {
        self.lock().faults().plan(key, fault);
    }

    /// How many commits of an object wait for [`answer_held`](Self::answer_held). Panics as
    /// [`plan_fault`](Self::plan_fault) does.
    pub fn held_commits(&self, key: &ObjectKey) -> usize {
        self.lock().faults().held(key)
    }

    /// Says what becomes of an object's first commit that is held; false if none is. Panics as
    /// [`plan_fault`](Self::plan_fault) does.
    pub fn answer_held(&self, key: &ObjectKey, outcome: AppendOutcome) -> bool {
        let mut state = self.lock();
        let passed = state.faults().answer(key, outcome);
        let was_held = passed.is_some();
        self.put_all(state, passed.unwrap_or_default());
        was_held
    }

    /// Queues a commit's record, for which `room` holds room. Order is kept. Fails once the log has failed.
    pub fn push_commit(
        &self,
        record: EncodedRecord,
        gate: Arc<OutputGate>,
        room: &ObjectRoom,
    ) -> Result<(), Failure> {
        let mut state = self.open()?;
        if let Some(faults) = &mut state.faults {
            let passed = faults.pass(Commit { record, gate, claim: room.take_claim() });
            self.put_all(state, passed);
            return Ok(());
        }
        // Under the lock: places are given in the order of the queue.
        room.queue(&record);
        self.put(state, Append::Commit(record, gate));
        Ok(())
    }

    fn put_all(&self, mut state: MutexGuard<'_, QueueState>, commits: Vec<Commit>) {
        for Commit { record, gate, mut claim } in commits {
            claim.queue(&record);
            state.waiting.push_back(Append::Commit(record, gate));
        }
        drop(state);
        self.shared.1.notify_one();
    }

    /// Queues a checkpoint's record, if there is room for it in prepared segments; says whether it did.
    /// Fails once the log has failed.
    pub fn push_checkpoint(&self, record: &EncodedRecord, pool: &SegmentPool) -> Result<bool, Failure> {
        let state = self.open()?;
        let fits = pool.queue_checkpoint(record);
        if fits {
            self.put(state, Append::Checkpoint(record.clone()));
        }
        Ok(fits)
    }

    /// Asks to be told when all that is queued is on the disk itself. Fails once the log has failed.
    pub fn push_barrier(&self, passed: oneshot::Sender<()>) -> Result<(), Failure> {
        self.put(self.open()?, Append::Barrier(passed));
        Ok(())
    }

    fn open(&self) -> Result<MutexGuard<'_, QueueState>, Failure> {
        let state = self.lock();
        state.failed.clone().map_or(Ok(state), Err)
    }

    fn put(&self, mut state: MutexGuard<'_, QueueState>, append: Append) {
        let was_empty = state.waiting.is_empty();
        state.waiting.push_back(append);
        drop(state);
        if was_empty {
            self.shared.1.notify_one();
        }
    }

    /// Lets the committer end once everything queued is durable.
    pub fn close(&self) {
        self.lock().closed = true;
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.shared.0.lock().expect("BUG: the queue's lock is never held over a panic")
    }

    fn take(&self) -> VecDeque<Append> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Waits for records. False when the queue is closed and empty.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.shared.1.wait(state).expect("BUG: the queue's lock is never held over a panic");
        }
        !state.waiting.is_empty()
    }

    /// Refuses all records to come and breaks the gates of those that wait: nobody brings them into
    /// the log any more (invariant 5).
    pub fn fail(&self, failure: &Failure) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| failure.clone());
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        if let Some(faults) = &mut state.faults {
            faults.fail(failure);
        }
        drop(state);
        self.shared.1.notify_all();
        for append in waiting {
            if let Append::Commit(_, gate) = append {
                gate.break_with(failure.clone());
            }
        }
    }
}

/// What the committer has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Commits that are durable.
    pub commits: u64,
    /// Syncs of the change log, those for checkpoint records included.
    pub syncs: u64,
}

/// Positions and counts of the log that others look at.
#[derive(Debug, Clone, Default)]
pub struct LogPins {
    shared: Arc<Mutex<(Pins, LogPosition)>>,
    counts: Arc<Mutex<LogCounts>>,
}

impl LogPins {
    /// The pins of a log that is written from `head` on.
    pub fn new(head: LogPosition) -> Self {
        Self { shared: Arc::new(Mutex::new((Pins::default(), head))), counts: Arc::default() }
    }

    /// Commits and syncs of the log since the node started; both are of one moment.
    pub fn counts(&self) -> LogCounts {
        *self.lock_counts()
    }

    fn lock_counts(&self) -> MutexGuard<'_, LogCounts> {
        self.counts.lock().expect("BUG: the counts' lock is never held over a panic")
    }

    /// Runs `f` on the pins and the position behind the newest durable record.
    pub fn with<R>(&self, f: impl FnOnce(&mut Pins, &mut LogPosition) -> R) -> R {
        let mut pins = self.shared.lock().expect("BUG: the pins' lock is never held over a panic");
        let (pins, head) = &mut *pins;
        f(pins, head)
    }
}

/// Owns the log.
#[derive(Debug)]
pub struct Committer {
    log: SegmentLog,
    queue: CommitQueue,
    pins: LogPins,
}

impl Committer {
    /// A committer that writes `log` from `queue`.
    pub fn new(log: SegmentLog, queue: CommitQueue, pins: LogPins) -> Self {
        Self { log, queue, pins }
    }

    /// Brings all that waits into the log and makes it durable. Returns how many records that were.
    pub fn flush(&mut self) -> Result<usize, Failure> {
        let batch = self.queue.take();
        if batch.is_empty() {
            return Ok(0);
        }
        let count = batch.len();
        let mut records = Vec::with_capacity(count);
        let mut gates = Vec::with_capacity(count);
        let mut barriers = Vec::new();
        for append in batch {
            let (record, gate) = match append {
                Append::Commit(record, gate) => (record, Some(gate)),
                Append::Checkpoint(record) => (record, None),
                Append::Barrier(passed) => {
                    barriers.push(passed);
                    continue;
                }
            };
            records.push(record);
            gates.push(gate);
        }
        if mutation::is_planted(Mutation::AcknowledgeBeforeSync) {
            self.acknowledge(&records, &gates);
        }
        // What a checkpoint covers is given up for ever, so its record must be on the disk itself.
        let has_checkpoint = gates.iter().any(Option::is_none);
        let strictly = !barriers.is_empty()
            || has_checkpoint && !mutation::is_planted(Mutation::SkipCheckpointRecordSync);
        let positions = match self.write(&mut records, strictly) {
            Ok(positions) => positions,
            Err(_) if mutation::is_planted(Mutation::AcknowledgeUnprepared) => {
                self.acknowledge(&records, &gates);
                return Ok(count);
            }
            Err(error) => return Err(self.stop(&error.to_string(), gates)),
        };
        self.pins.with(|pins, head| {
            for ((record, gate), position) in records.iter().zip(&gates).zip(positions) {
                match gate {
                    Some(_) => pins.appended(record.key, record.sequence, position),
                    None => pins.checkpoint_durable(record.key, record.sequence),
                }
            }
            *head = self.log.durable();
        });
        // Before anybody hears of the commits, so that who was answered finds them counted.
        {
            let mut counts = self.pins.lock_counts();
            counts.commits += gates.iter().flatten().count() as u64;
            counts.syncs = self.log.syncs();
        }
        if !mutation::is_planted(Mutation::AcknowledgeBeforeSync) {
            self.acknowledge(&records, &gates);
        }
        // Whoever asked may have left.
        barriers.into_iter().for_each(|passed| passed.send(()).unwrap_or_default());
        Ok(count)
    }

    fn write(&mut self, records: &mut [EncodedRecord], strictly: bool) -> Result<Vec<LogPosition>, LogError> {
        let positions = self.log.append(records)?;
        if strictly {
            self.log.sync_strictly()?
        } else {
            self.log.sync()?
        };
        Ok(positions)
    }

    /// Flushes until the queue is closed and empty. Blocks its thread while nothing waits.
    pub fn run(mut self) -> Result<(), Failure> {
        while self.queue.wait() {
            self.flush()?;
        }
        Ok(())
    }

    fn acknowledge(&self, records: &[EncodedRecord], gates: &[Option<Arc<OutputGate>>]) {
        for (record, gate) in records.iter().zip(gates) {
            if let Some(gate) = gate {
                gate.settle(&record.key.id, record.sequence, &AppendOutcome::Committed);
            }
        }
    }

    fn stop(&self, error: &str, gates: Vec<Option<Arc<OutputGate>>>) -> Failure {
        let text = format!("the change log failed and the node stops: {error}");
        let failure = Failure::new(ErrorCode::StorageFailed, text);
        self.queue.fail(&failure);
        gates.into_iter().flatten().for_each(|gate| gate.break_with(failure.clone()));
        failure
    }
}
