//! What all objects of a node share: limits, clock, counters, and the ways to log and index.
//!
//! The composition makes one; every object holds it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use durabo_changelog::disk::Disk;
use durabo_changelog::segment::Durability;
use durabo_changelog::segment_pool::SegmentPool;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::ObjectKey;
use durabo_model::random::Random;
use durabo_model::sequence::Epoch;
use durabo_model::time::Clock;

use crate::alarm_runs::AlarmRuns;
use crate::alarm_schedule::AlarmSchedule;
use crate::committer::{CommitQueue, LogPins};
use crate::event::EventId;
use crate::output_gate::HeldBytes;
use crate::upkeep::{SharedIndex, UpkeepQueue};
use crate::wal_memory::WalMemory;

/// Bits of an event id that count within one start of the node.
const EVENT_COUNTER_BITS: u32 = 40;

/// Says where an object's database file lies.
pub type ObjectPath = Box<dyn Fn(&ObjectKey) -> PathBuf + Send + Sync>;

/// Shared by every object of the node.
pub struct Node {
    /// Capacities and times.
    pub limits: ObjectLimits,
    /// When a commit counts as durable.
    pub durability: Durability,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Where unique ids come from.
    pub random: Arc<dyn Random>,
    /// Where database files lie.
    pub disk: Arc<dyn Disk>,
    /// Path of an object's file.
    pub object_path: ObjectPath,
    /// Way into the change log.
    pub commits: CommitQueue,
    /// Room in the change log.
    pub pool: Arc<SegmentPool>,
    /// Way to durable checkpoints.
    pub upkeep: UpkeepQueue,
    /// Who needs what of the log.
    pub pins: LogPins,
    /// Rows of checkpointed objects.
    pub index: SharedIndex,
    /// Which objects are to be woken next.
    pub alarms: AlarmSchedule,
    /// How past runs of alarms went.
    pub alarm_runs: AlarmRuns,
    /// What the write-ahead logs of all objects take.
    pub wal_memory: WalMemory,
    /// What all output gates hold.
    pub held_bytes: HeldBytes,
    /// Counts this start's loads and events.
    pub counters: Counters,
}

/// Numbers that are unique over all starts of the node.
#[derive(Debug)]
pub struct Counters {
    start: u32,
    loads: AtomicU32,
    events: AtomicU64,
    instances: Arc<AtomicUsize>,
}

/// Counts an instance until it is dropped.
#[derive(Debug)]
pub(crate) struct InstanceCount(Arc<AtomicUsize>);

impl Drop for InstanceCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counters of the node's `start`-th start.
    pub fn new(start: u32) -> Self {
        Self { start, loads: AtomicU32::new(0), events: AtomicU64::new(0), instances: Arc::default() }
    }

    /// Epoch of the next load of an instance.
    pub fn next_epoch(&self) -> Epoch {
        Epoch::new(self.start, self.loads.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts an instance that begins.
    pub(crate) fn instance(&self) -> InstanceCount {
        self.instances.fetch_add(1, Ordering::Relaxed);
        InstanceCount(self.instances.clone())
    }

    /// Instances that run.
    pub fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }

    /// Id of the next event.
    pub fn next_event(&self) -> EventId {
        let counter = self.events.fetch_add(1, Ordering::Relaxed);
        EventId((u64::from(self.start) << EVENT_COUNTER_BITS) | counter)
    }
}
