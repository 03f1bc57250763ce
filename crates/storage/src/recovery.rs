//! Recovery: brings the objects' files up to what the change log holds, before anybody is served.
//!
//! Every commit newer than its object's last checkpoint record is applied again, whatever of it the
//! file holds already: a page's first image since the checkpoint is whole, so torn pages do not matter.
//! Files are synced before the index says how they look. A crash within and a second run end the same.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_changelog::disk::{Disk, DiskFile, OpenMode};
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::page;
use durabo_changelog::record::{FileMark, PAGE_BYTES, PageEntry, Record, RecordBody};
use durabo_changelog::scan::LogScan;
use durabo_model::object::ObjectKey;

use crate::error::{StorageError, disk_error};
use crate::object_index::{ObjectIndex, ObjectRow};

/// Files that recovery has open at once; stops a log with many objects from using up descriptors.
const FILES_OPEN_MAX: usize = 256;

/// Rows that go into the index in one transaction.
const ROWS_BATCH: usize = 1000;

/// Says where an object's file lies.
pub type PathOf<'a> = &'a dyn Fn(&ObjectKey) -> PathBuf;

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Objects whose files were written.
    pub objects: u64,
    /// Commits applied.
    pub commits: u64,
}

/// Applies what `scan` found and makes it durable. The log's tail must be secured before
/// (invariant 8).
pub fn recover(
    disk: &Arc<dyn Disk>,
    path_of: PathOf<'_>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<RecoveryReport, StorageError> {
    let mut redo = Redo { disk, path_of, open: HashMap::new(), commits: 0 };
    scan.for_each(&mut |record| {
        let tail = scan.summary().get(&record.key);
        let through = tail.and_then(|tail| tail.checkpoint).map(|(through, _)| through);
        if through.is_some_and(|through| record.sequence <= through) {
            return Ok(());
        }
        redo.apply(record, through.is_some())
    })?;
    let commits = redo.commits;
    drop(redo);
    let touched = sync_files(disk, path_of, scan)?;
    write_rows(disk, path_of, scan, index)?;
    Ok(RecoveryReport { objects: touched, commits })
}

struct Redo<'a> {
    disk: &'a Arc<dyn Disk>,
    path_of: PathOf<'a>,
    open: HashMap<ObjectKey, (Arc<dyn DiskFile>, u32)>,
    commits: u64,
}

impl Redo<'_> {
    fn apply(&mut self, record: Record, must_exist: bool) -> Result<(), StorageError> {
        let (database_pages, pages) = match record.body {
            RecordBody::Checkpoint { .. } => return Ok(()),
            RecordBody::Commit { database_pages, pages, .. } => (database_pages, pages),
            other => {
                let kind = format!("{other:?}");
                return Err(StorageError::Apply {
                    path: (self.path_of)(&record.key),
                    reason: format!("a record of kind `{kind}` needs a newer durabo"),
                });
            }
        };
        let path = (self.path_of)(&record.key);
        let (file, known_pages) = self.file(record.key, must_exist)?;
        for entry in pages {
            if entry.number == 0 || entry.number > database_pages {
                let reason = format!("page {} of {database_pages} cannot be", entry.number);
                return Err(StorageError::Apply { path, reason });
            }
            write_page(&*file, &entry).map_err(|error| match error {
                PageFailure::Disk(source) => disk_error("applying the change log to", &path)(source),
                PageFailure::Content(reason) => StorageError::Apply { path: path.clone(), reason },
            })?;
        }
        if known_pages != database_pages {
            let size = u64::from(database_pages) * PAGE_BYTES as u64;
            file.set_len(size).map_err(disk_error("setting the length of", &path))?;
            self.open.insert(record.key, (file, database_pages));
        }
        self.commits += 1;
        Ok(())
    }

    /// The file and its length in pages as last set here; 0 if unknown.
    fn file(&mut self, key: ObjectKey, must_exist: bool) -> Result<(Arc<dyn DiskFile>, u32), StorageError> {
        if let Some((file, pages)) = self.open.get(&key) {
            return Ok((file.clone(), *pages));
        }
        if self.open.len() >= FILES_OPEN_MAX {
            self.open.clear();
        }
        let path = (self.path_of)(&key);
        if let Some(folder) = path.parent() {
            self.disk.create_dir_all(folder).map_err(disk_error("making folder", folder))?;
        }
        let exists = self.disk.exists(&path).map_err(disk_error("looking for", &path))?;
        if must_exist && !exists {
            return Err(StorageError::Foreign {
                path,
                reason: "is missing, although it was checkpointed and the change log has later commits of \
                         it; restore it from a backup"
                    .to_owned(),
            });
        }
        let file = self.disk.open(&path, OpenMode::Create).map_err(disk_error("opening", &path))?;
        self.open.insert(key, (file.clone(), 0));
        Ok((file, 0))
    }
}

enum PageFailure {
    Disk(std::io::Error),
    Content(String),
}

fn write_page(file: &dyn DiskFile, entry: &PageEntry) -> Result<(), PageFailure> {
    let offset = u64::from(entry.number - 1) * PAGE_BYTES as u64;
    let mut image = [0; PAGE_BYTES];
    // Bytes that the file does not have read as zeros; a difference never builds on them.
    file.read_at(&mut image, offset).map_err(PageFailure::Disk)?;
    page::apply(&entry.content, &mut image)
        .map_err(|error| PageFailure::Content(format!("page {}: {error}", entry.number)))?;
    file.write_all_at(&image, offset).map_err(PageFailure::Disk)
}

/// Syncs every file that was written, and the folders that hold them.
fn sync_files(disk: &Arc<dyn Disk>, path_of: PathOf<'_>, scan: &LogScan) -> Result<u64, StorageError> {
    let mut folders = BTreeSet::new();
    let mut count = 0;
    for (key, tail) in scan.summary() {
        if !tail.needs_apply() {
            continue;
        }
        count += 1;
        let path = path_of(key);
        if is_planted(Mutation::SkipRecoverySync) {
            continue;
        }
        disk.open(&path, OpenMode::Existing)
            .and_then(|file| file.sync_data())
            .map_err(disk_error("syncing", &path))?;
        folders.extend(path.ancestors().skip(1).take(3).map(ToOwned::to_owned));
    }
    for folder in &folders {
        disk.sync_dir(folder).map_err(disk_error("syncing folder", folder))?;
    }
    Ok(count)
}

/// Says in the index how every object of the log looks now.
fn write_rows(
    disk: &Arc<dyn Disk>,
    path_of: PathOf<'_>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<(), StorageError> {
    let mut rows = Vec::new();
    for (key, tail) in scan.summary() {
        let known = index.get(key)?;
        let mark = match tail.checkpoint {
            Some((_, mark)) if !tail.needs_apply() => mark,
            _ => mark_of(disk, &path_of(key))?,
        };
        rows.push(ObjectRow {
            key: *key,
            name: tail.name.clone().or(known.and_then(|row| row.name)),
            mark,
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

fn mark_of(disk: &Arc<dyn Disk>, path: &Path) -> Result<FileMark, StorageError> {
    let mut first = [0; PAGE_BYTES];
    let file = disk.open(path, OpenMode::Existing).map_err(disk_error("opening", path))?;
    file.read_at(&mut first, 0).map_err(disk_error("reading", path))?;
    let file_bytes = file.len().map_err(disk_error("measuring", path))?;
    Ok(FileMark { file_bytes, first_page_crc: crc32fast::hash(&first) })
}
