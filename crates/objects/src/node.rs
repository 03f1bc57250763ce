//! What all objects of a node share: limits, clock, counters, and the ways to log and index.
//!
//! The composition makes one; every object holds it.

use std::path::PathBuf;
use std::sync::Arc;

use durabo_changelog::disk::Disk;
use durabo_changelog::segment::Durability;
use durabo_changelog::segment_pool::SegmentPool;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::ObjectKey;
use durabo_model::random::Random;
use durabo_model::time::Clock;

use crate::alarm_runs::AlarmRuns;
use crate::alarm_schedule::AlarmSchedule;
use crate::committer::{CommitQueue, LogPins};
use crate::counters::Counters;
use crate::index_handle::IndexHandle;
use crate::output_gate::HeldBytes;
use crate::sockets::SocketBook;
use crate::tail::Tail;
use crate::upkeep::UpkeepQueue;
use crate::wal_memory::WalMemory;

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
    pub index: IndexHandle,
    /// Which objects are to be woken next.
    pub alarms: AlarmSchedule,
    /// How past runs of alarms went.
    pub alarm_runs: AlarmRuns,
    /// What the write-ahead logs of all objects take.
    pub wal_memory: WalMemory,
    /// What all output gates hold.
    pub held_bytes: HeldBytes,
    /// Counts this start's loads and events.
    pub counters: Arc<Counters>,
    /// Sockets of all objects.
    pub sockets: SocketBook,
    /// Operators who watch.
    pub tail: Tail,
}
