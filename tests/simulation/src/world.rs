//! One life of a simulated node: opened on a disk, driven step by step, dropped.
//!
//! Wires the same parts as `server`, with the steps of the two log threads taken by the test.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use durabo_changelog::disk::Disk;
use durabo_changelog::scan::{LogScan, StartedLog};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::{Durability, LogOptions};
use durabo_changelog::simulated_disk::SimulatedDisk;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::ObjectKey;
use durabo_model::random::Random;
use durabo_objects::alarm_runs::AlarmRuns;
use durabo_objects::alarm_schedule::AlarmSchedule;
use durabo_objects::alarm_timer::RuntimeTimer;
use durabo_objects::alarms::Alarms;
use durabo_objects::committer::{CommitQueue, Committer, LogPins};
use durabo_objects::counters::Counters;
use durabo_objects::directory::Directory;
use durabo_objects::index_handle::IndexHandle;
use durabo_objects::log_holders::LogHolders;
use durabo_objects::node::Node;
use durabo_objects::output_gate::HeldBytes;
use durabo_objects::placement::SingleNode;
use durabo_objects::sockets::SocketBook;
use durabo_objects::tail::Tail;
use durabo_objects::upkeep::{Shortage, Upkeep, UpkeepQueue};
use durabo_objects::wal_memory::WalMemory;
use durabo_storage::object_file::ObjectFile;
use durabo_storage::object_index::{ObjectIndex, ObjectRow};
use durabo_storage::recovery::{self, Job};
use tokio::runtime::Handle;

use crate::address::address;
use crate::clock::SimulatedClock;
use crate::fake_guest::FakeLoader;
use crate::fake_socket::Deliveries;

/// Small, so that a run of a hundred events goes through many of them; the largest turn just fits.
const SEGMENT_BYTES: u64 = 32 * 1024;

/// The same bytes in each run: simulated objects make no unique ids, and what waits by chance waits alike.
struct Seeds(Mutex<Seeded>);

impl Random for Seeds {
    fn fill(&self, bytes: &mut [u8]) {
        let mut seeded = self.0.lock().expect("unpoisoned");
        bytes.iter_mut().for_each(|byte| *byte = seeded.draw() as u8);
    }
}

/// A running node.
pub struct World {
    /// Way to its objects.
    pub directory: Directory,
    /// Way into its log, where faults may be asked for if the node was opened so.
    pub commits: CommitQueue,
    /// Sockets of all its objects.
    pub sockets: SocketBook,
    /// What has reached its guests of what happened to their sockets.
    pub deliveries: Deliveries,
    /// Takes the steps of the committer thread.
    committer: Arc<Mutex<Committer>>,
    /// Takes the steps of the upkeep thread.
    upkeep: Arc<Mutex<UpkeepThread>>,
}

/// Upkeep, which has ended for good with its first failure.
struct UpkeepThread {
    upkeep: Upkeep,
    failed: Option<Failure>,
}

impl UpkeepThread {
    fn step(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        self.upkeep.step().inspect_err(|failure| self.failed = Some(failure.clone()))
    }
}

/// Which of the log threads takes a step.
#[derive(Debug, Clone, Copy)]
pub enum LogThread {
    /// The one that writes the log.
    Committer,
    /// The one that keeps it small.
    Upkeep,
}

/// Limits under which objects checkpoint, fill up and leave often.
pub fn limits() -> ObjectLimits {
    ObjectLimits {
        wal_bytes_max: 48 * 1024,
        node_wal_bytes_max: 192 * 1024,
        outputs_held_max: 100,
        ..ObjectLimits::default()
    }
}

fn object_path(key: &ObjectKey) -> PathBuf {
    Path::new("/data/objects").join(key.namespace.to_string()).join(format!("{}.sqlite", key.id))
}

impl World {
    /// Opens the node's folder as `server` does: recovery first. To be called within a runtime.
    pub fn open(
        disk: &SimulatedDisk,
        clock: Arc<SimulatedClock>,
        durability: Durability,
    ) -> Result<Self, String> {
        Self::open_with(disk, clock, durability, (CommitQueue::default(), limits()))
    }

    /// As [`open`](Self::open), with this way into the log and limits of its own.
    pub fn open_with(
        disk: &SimulatedDisk,
        clock: Arc<SimulatedClock>,
        durability: Durability,
        (commits, limits): (CommitQueue, ObjectLimits),
    ) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let options = LogOptions { segment_bytes: SEGMENT_BYTES, durability, ..LogOptions::default() };
        disk.create_dir_all(Path::new("/data/log")).map_err(|e| text(&e))?;
        let mut scan = LogScan::open(disk.clone(), Path::new("/data/log"), options).map_err(|e| text(&e))?;
        let mut index =
            ObjectIndex::open(disk.clone(), Path::new("/data/index.sqlite")).map_err(|e| text(&e))?;
        scan.secure_tail().map_err(|e| text(&e))?;
        let one_by_one = |count, job: Job<'_>| (0..count).try_for_each(job);
        recovery::recover(&disk, &object_path, &one_by_one, &scan, &mut index).map_err(|e| text(&e))?;
        let started = scan.finish().map_err(|e| text(&e))?;
        let StartedLog { log, pool, control, start_number } = started;
        let jobs = UpkeepQueue::default();
        let pins = LogPins::new(log.durable());
        let (wal_memory, wal_memory_max) = (WalMemory::default(), limits.node_wal_bytes_max);
        let checkpoint_after = limits.checkpoint_after;
        let alarms = AlarmSchedule::default();
        let node = Arc::new(Node {
            sockets: SocketBook::new(&limits),
            limits,
            durability,
            clock: clock.clone(),
            random: Arc::new(Seeds(Mutex::new(Seeded::new(1)))),
            disk,
            object_path: Box::new(object_path),
            commits: commits.clone(),
            pool: pool.clone(),
            upkeep: jobs.clone(),
            pins: pins.clone(),
            index: IndexHandle::new(index),
            alarms: alarms.clone(),
            alarm_runs: AlarmRuns::default(),
            wal_memory: wal_memory.clone(),
            held_bytes: HeldBytes::default(),
            counters: Arc::new(Counters::new(start_number)),
            tail: Tail::default(),
        });
        let (index, sockets) = (node.index.clone(), node.sockets.clone());
        let (tasks, loader) = (Handle::current(), FakeLoader::default());
        let deliveries = loader.deliveries.clone();
        let directory = Directory::new(node.clone(), Arc::new(loader), Box::new(SingleNode), tasks.clone());
        let class_of = Arc::new(|_| Some(address(0).class));
        let timer = Box::new(RuntimeTimer(clock.clone()));
        tasks.spawn(Alarms::new(node, directory.clone(), class_of, timer, tasks.clone()).run());
        let asked = directory.clone();
        let upkeep = Upkeep {
            queue: jobs,
            commits: commits.clone(),
            pins: pins.clone(),
            pool,
            control,
            index,
            holders: LogHolders::new(2 * SEGMENT_BYTES, checkpoint_after),
            clock,
            alarms,
            request_checkpoint: Box::new(move |key| asked.request_checkpoint(key)),
            sync_files: Box::new(|files| files.iter().try_for_each(ObjectFile::sync)),
            wal_memory: (wal_memory, wal_memory_max),
            shortage: Shortage::default(),
        };
        let committer = Arc::new(Mutex::new(Committer::new(log, commits.clone(), pins)));
        let upkeep = Arc::new(Mutex::new(UpkeepThread { upkeep, failed: None }));
        Ok(Self { directory, commits, sockets, deliveries, committer, upkeep })
    }

    /// A step of the committer thread.
    pub fn flush(&self) -> Result<usize, Failure> {
        self.committer.lock().expect("unpoisoned").flush()
    }

    /// A step of the upkeep thread.
    pub fn keep_up(&self) -> Result<(), Failure> {
        self.upkeep.lock().expect("unpoisoned").step()
    }

    /// What the object index says of an object.
    pub fn row(&self, key: &ObjectKey) -> Option<ObjectRow> {
        let index = self.upkeep.lock().expect("unpoisoned").upkeep.index.clone();
        index.with(|index| index.get(key)).expect("a sound index")
    }

    /// Bytes of the log that objects still need.
    pub fn log_held_bytes(&self) -> u64 {
        let thread = self.upkeep.lock().expect("unpoisoned");
        thread.upkeep.pins.with(|pins, head| head.0 - pins.least_needed(*head).0)
    }

    /// A step of each log thread.
    pub fn step(&self) -> Result<(), Failure> {
        self.flush()?;
        self.keep_up()
    }

    /// Lets one of them take a step in the midst of what somebody else does with the disk,
    /// before the operation with this number; not in the midst of its own.
    pub fn interrupt_at(&self, disk: &SimulatedDisk, operation: u64, by: LogThread) {
        let (committer, upkeep) = (self.committer.clone(), self.upkeep.clone());
        // A failure of the log stays: the next step of the thread itself tells it.
        disk.interrupt_at(operation, move || match by {
            LogThread::Upkeep => drop(upkeep.try_lock().map(|mut upkeep| upkeep.step())),
            LogThread::Committer => drop(committer.try_lock().map(|mut committer| committer.flush())),
        });
    }
}
