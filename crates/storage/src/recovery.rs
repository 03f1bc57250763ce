//! Recovery: brings the objects' files up to what the change log holds, before anybody is served.
//!
//! Every commit newer than its object's last checkpoint record is applied again, whatever of it the
//! file holds already: a page's first image since the checkpoint is whole, so torn pages do not matter.
//! Files are synced before the index says how they look. A crash within and a second run end the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use durabo_changelog::disk::{Disk, OpenMode};
use durabo_changelog::history::ObjectTail;
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::{AlarmChange, FileMark, PAGE_BYTES};
use durabo_changelog::scan::LogScan;
use durabo_model::object::ObjectKey;
use durabo_model::sequence::Sequence;

use crate::error::{StorageError, disk_error};
use crate::object_index::{ObjectIndex, ObjectRow};
use crate::redo::{PAGES_KEPT_MAX, Redo};

/// Rows that go into the index in one transaction.
const ROWS_BATCH: usize = 1000;

/// Says where an object's file lies.
pub type PathOf<'a> = &'a (dyn Fn(&ObjectKey) -> PathBuf + Sync);

/// Does one of many jobs that do not depend on one another, by its number.
pub type Job<'a> = &'a (dyn Fn(usize) -> Result<(), StorageError> + Sync);

/// Does the jobs `0..count`, in any order and as many at once as seems good; an error of any is returned.
/// Syncs are waits for the disk, which takes many at once as quickly as one.
pub type AtOnce<'a> = &'a dyn Fn(usize, Job<'_>) -> Result<(), StorageError>;

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Objects whose files were written.
    pub objects: u64,
    /// Commits applied.
    pub commits: u64,
}

/// Applies what `scan` found and makes it durable. The log's tail must be secured before
/// (invariant 8). Memory is bounded, apart from a small summary of each object that the log tells of.
///
/// A file that was checkpointed and is missing is an error for all of it: the log holds commits that are nowhere else,
/// and whoever goes on gives it up.
pub fn recover(
    disk: &Arc<dyn Disk>,
    path_of: PathOf<'_>,
    at_once: AtOnce<'_>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<RecoveryReport, StorageError> {
    recover_within(PAGES_KEPT_MAX, disk, path_of, at_once, scan, index)
}

pub(crate) fn recover_within(
    pages_kept_max: usize,
    disk: &Arc<dyn Disk>,
    path_of: PathOf<'_>,
    at_once: AtOnce<'_>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<RecoveryReport, StorageError> {
    let mut redo = Redo::new(disk, path_of, pages_kept_max);
    scan.for_each(&mut |record| {
        let tail = scan.summary().get(&record.key);
        let checkpointed = tail.map_or(Sequence(0), ObjectTail::checkpointed);
        if record.sequence <= checkpointed {
            return Ok(());
        }
        redo.apply(record, checkpointed > Sequence(0))
    })?;
    let commits = redo.finish()?;
    let marks = sync_files(disk, path_of, at_once, scan)?;
    write_rows(&marks, scan, index)?;
    Ok(RecoveryReport { objects: marks.len() as u64, commits })
}

/// Syncs every file that was written, and the folders that hold them; says how the files look.
fn sync_files(
    disk: &Arc<dyn Disk>,
    path_of: PathOf<'_>,
    at_once: AtOnce<'_>,
    scan: &LogScan,
) -> Result<BTreeMap<ObjectKey, FileMark>, StorageError> {
    let written: Vec<&ObjectKey> =
        scan.summary().iter().filter(|(_, tail)| tail.needs_apply()).map(|(key, _)| key).collect();
    let marks = Mutex::new(BTreeMap::new());
    at_once(written.len(), &|number| {
        let key = written[number];
        let mark = sync_file(&**disk, &path_of(key))?;
        marks.lock().expect("BUG: a thread panicked while it noted a mark").insert(*key, mark);
        Ok(())
    })?;
    if !is_planted(Mutation::SkipRecoverySync) {
        let paths = written.iter().map(|key| path_of(key));
        let folders: BTreeSet<PathBuf> = paths
            .flat_map(|path| path.ancestors().skip(1).take(3).map(Path::to_owned).collect::<Vec<_>>())
            .collect();
        let folders: Vec<PathBuf> = folders.into_iter().collect();
        at_once(folders.len(), &|number| {
            let folder = &folders[number];
            disk.sync_dir(folder).map_err(disk_error("syncing folder", folder))
        })?;
    }
    Ok(marks.into_inner().expect("BUG: a thread panicked while it noted a mark"))
}

fn sync_file(disk: &dyn Disk, path: &Path) -> Result<FileMark, StorageError> {
    let mut first = [0; PAGE_BYTES];
    let file = disk.open(path, OpenMode::Existing).map_err(disk_error("opening", path))?;
    if !is_planted(Mutation::SkipRecoverySync) {
        file.sync_data().map_err(disk_error("syncing", path))?;
    }
    file.read_at(&mut first, 0).map_err(disk_error("reading", path))?;
    let file_bytes = file.len().map_err(disk_error("measuring", path))?;
    Ok(FileMark { file_bytes, first_page_crc: crc32fast::hash(&first) })
}

/// Says in the index how every object of the log looks now. `marks` has the files that were written.
fn write_rows(
    marks: &BTreeMap<ObjectKey, FileMark>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<(), StorageError> {
    let mut rows = Vec::new();
    for (key, tail) in scan.summary() {
        let known = index.get(key)?;
        let checkpointed = tail.checkpoint.map(|(_, mark)| mark);
        let mark = marks.get(key).copied().or(checkpointed);
        rows.push(ObjectRow {
            key: *key,
            alarm: match tail.alarm {
                AlarmChange::Unchanged => known.as_ref().and_then(|row| row.alarm),
                AlarmChange::Set(due) => Some(due),
                AlarmChange::Cleared => None,
            },
            name: tail.name.clone().or(known.and_then(|row| row.name)),
            mark: mark.expect("BUG: a file that was neither written nor checkpointed"),
            sequence: tail.sequence,
            chain: tail.chain,
            last_commit: tail.time,
        });
        if rows.len() == ROWS_BATCH {
            index.upsert_all(&rows)?;
            rows.clear();
        }
    }
    if rows.is_empty() { Ok(()) } else { index.upsert_all(&rows) }
}
