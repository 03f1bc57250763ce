//! Opening a data folder: lock, recovery, change log, index.
//!
//! Order matters: the lock is held before anything is read, recovery has finished and is on disk
//! before the log is written again, and nobody is served before that.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use durabo_changelog::control::ControlFile;
use durabo_changelog::disk::{Disk, RealDisk};
use durabo_changelog::scan::{LogScan, StartedLog};
use durabo_changelog::segment::LogOptions;
use durabo_changelog::segment_log::SegmentLog;
use durabo_changelog::segment_pool::SegmentPool;
use durabo_model::object::ObjectKey;
use durabo_objects::index_handle::IndexHandle;
use durabo_storage::error::StorageError;
use durabo_storage::folder::DataFolder;
use durabo_storage::object_index::ObjectIndex;
use durabo_storage::recovery::{self, Job};
use tracing::info;

use crate::config::{LOG_SEGMENT_BYTES_MIN, NodeConfig};
use crate::file_syncs::sync_at_once;

/// An opened data folder.
pub struct OpenedFolder {
    /// Paths, and the lock, which is held as long as this lives.
    pub folder: Arc<DataFolder>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The change log, behind everything recovered.
    pub log: SegmentLog,
    /// Its prepared segments.
    pub pool: Arc<SegmentPool>,
    /// Its control file.
    pub control: ControlFile,
    /// How often the folder has been opened, this time included.
    pub start_number: u32,
    /// Rows of all objects with a file.
    pub index: IndexHandle,
}

/// A data folder that is locked, and whose log and index were read. Nothing of the log is changed yet.
pub struct FoundFolder {
    folder: Arc<DataFolder>,
    disk: Arc<dyn Disk>,
    scan: LogScan,
    index: ObjectIndex,
}

/// Locks and reads the data folder of `config`.
pub fn find_folder(config: &NodeConfig) -> anyhow::Result<FoundFolder> {
    ensure!(
        config.log_segment_bytes >= LOG_SEGMENT_BYTES_MIN,
        "segments of the change log are {} bytes, at least {LOG_SEGMENT_BYTES_MIN} are needed to hold a record",
        config.log_segment_bytes
    );
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::open(&config.data)?;
    let options = LogOptions {
        segment_bytes: config.log_segment_bytes,
        durability: config.durability,
        reserve_bytes: config.disk_limits.reserve_bytes,
        ..LogOptions::default()
    };
    let reading = |path: &Path| format!("reading {}", path.display());
    let log_dir = folder.log_dir();
    let scan = LogScan::open(disk.clone(), &log_dir, options).with_context(|| reading(&log_dir))?;
    let index_path = folder.index_path();
    let index = ObjectIndex::open(disk.clone(), &index_path).with_context(|| reading(&index_path))?;
    Ok(FoundFolder { folder: Arc::new(folder), disk, scan, index })
}

impl FoundFolder {
    /// Paths, and the lock.
    pub fn folder(&self) -> Arc<DataFolder> {
        self.folder.clone()
    }

    /// Brings the objects' files up to the log and begins the log anew.
    pub fn recover(self) -> anyhow::Result<OpenedFolder> {
        let Self { folder, disk, mut scan, mut index } = self;
        scan.secure_tail()?;
        let path_of = |key: &ObjectKey| folder.object_path(key);
        let report = recovery::recover(&disk, &path_of, &at_once, &scan, &mut index)
            .context("applying the change log to the objects' files")?;
        info!(objects = report.objects, commits = report.commits, "recovered");
        let StartedLog { log, pool, control, start_number } = scan.finish()?;
        let index = IndexHandle::new(index);
        Ok(OpenedFolder { folder, disk, log, pool, control, start_number, index })
    }
}

fn at_once(count: usize, job: Job<'_>) -> Result<(), StorageError> {
    let numbers: Vec<usize> = (0..count).collect();
    sync_at_once(&numbers, |number| job(*number))
}
