//! Redo: what the commits of the change log make of the objects' files, in memory first and then on the disk.
//!
//! Commits of many objects stand mixed in the log. Pages are changed in memory, and all files are written when
//! so many pages have come together or there are no more: a file is opened once for hundreds of commits, and
//! each of its pages is written once. Nothing is synced here.
//!
//! Used by `recovery` alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_changelog::disk::{Disk, DiskFile, OpenMode};
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::page;
use durabo_changelog::record::{PAGE_BYTES, PageContent, PageEntry, Record, RecordBody};
use durabo_model::object::ObjectKey;

use crate::error::{StorageError, disk_error};

/// Pages that are kept before the files are written: 64 MiB. Bounds the memory of a start, however long the log is.
pub(crate) const PAGES_KEPT_MAX: usize = 16 * 1024;

type Page = Box<[u8; PAGE_BYTES]>;

/// Applies commits, in the order of the log.
pub(crate) struct Redo<'a> {
    disk: &'a Arc<dyn Disk>,
    path_of: &'a dyn Fn(&ObjectKey) -> PathBuf,
    changed: BTreeMap<ObjectKey, ChangedFile>,
    pages_kept: usize,
    pages_kept_max: usize,
    commits: u64,
}

/// How one file is to differ from what is on the disk.
#[derive(Default)]
struct ChangedFile {
    must_exist: bool,
    pages: BTreeMap<u32, Page>,
    /// Fewest pages that the database had since the file was last written: what lay behind is gone.
    pages_least: u32,
    /// Pages that it has at last.
    database_pages: u32,
}

impl<'a> Redo<'a> {
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        path_of: &'a dyn Fn(&ObjectKey) -> PathBuf,
        pages_kept_max: usize,
    ) -> Self {
        Self { disk, path_of, changed: BTreeMap::new(), pages_kept: 0, pages_kept_max, commits: 0 }
    }

    /// Applies the next record of the log. `must_exist`: its object's file was checkpointed before, and a
    /// missing one must not be made anew.
    pub(crate) fn apply(&mut self, record: Record, must_exist: bool) -> Result<(), StorageError> {
        let key = record.key;
        let has_wiped = matches!(record.body, RecordBody::Wipe { .. });
        let (database_pages, entries) = match record.body {
            RecordBody::Checkpoint { .. } => return Ok(()),
            RecordBody::Wipe { .. } if is_planted(Mutation::SkipWipeInRecovery) => return Ok(()),
            RecordBody::Commit { database_pages, pages, .. }
            | RecordBody::Wipe { database_pages, pages, .. } => (database_pages, pages),
            other => {
                let reason = format!("a record of kind `{other:?}` needs a newer durabo");
                return Err(self.refused(&key, reason));
            }
        };
        let file = self.changed.entry(key).or_insert_with(|| ChangedFile {
            must_exist,
            pages_least: u32::MAX,
            ..ChangedFile::default()
        });
        let before = file.pages.len();
        if has_wiped {
            // No page from before it counts.
            file.resize(0);
        }
        file.resize(database_pages);
        let (mut kept, pages_least) = (std::mem::take(&mut file.pages), file.pages_least);
        for entry in &entries {
            if entry.number == 0 || entry.number > database_pages {
                let reason = format!("page {} of {database_pages} cannot be", entry.number);
                return Err(self.refused(&key, reason));
            }
            let mut image = match kept.remove(&entry.number) {
                Some(image) => image,
                None => self.base(&key, entry, pages_least)?,
            };
            page::apply(&entry.content, &mut image)
                .map_err(|error| self.refused(&key, format!("page {}: {error}", entry.number)))?;
            kept.insert(entry.number, image);
        }
        self.pages_kept = self.pages_kept + kept.len() - before;
        self.changed.get_mut(&key).expect("BUG: the file was entered above").pages = kept;
        self.commits += 1;
        if self.pages_kept > self.pages_kept_max { self.write() } else { Ok(()) }
    }

    /// Writes what is left; returns the commits that were applied.
    pub(crate) fn finish(mut self) -> Result<u64, StorageError> {
        self.write()?;
        Ok(self.commits)
    }

    /// What a page held before, as far as its new content builds on that. A difference to a page that is not
    /// kept was preceded by one that is in the file by now.
    fn base(&self, key: &ObjectKey, entry: &PageEntry, pages_least: u32) -> Result<Page, StorageError> {
        let mut image = Box::new([0; PAGE_BYTES]);
        if !matches!(entry.content, PageContent::Difference(_)) || entry.number > pages_least {
            return Ok(image);
        }
        let path = (self.path_of)(key);
        if self.disk.exists(&path).map_err(disk_error("looking for", &path))? {
            let file = self.disk.open(&path, OpenMode::Existing).map_err(disk_error("opening", &path))?;
            // Bytes that the file does not have read as zeros; a difference never builds on them.
            file.read_at(&mut *image, offset_of(entry.number)).map_err(disk_error("reading", &path))?;
        }
        Ok(image)
    }

    fn refused(&self, key: &ObjectKey, reason: String) -> StorageError {
        StorageError::Apply { path: (self.path_of)(key), reason }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.pages_kept = 0;
        for (key, changed) in std::mem::take(&mut self.changed) {
            let path = (self.path_of)(&key);
            let file = self.open(&path, changed.must_exist)?;
            changed.write(&*file).map_err(disk_error("applying the change log to", &path))?;
        }
        Ok(())
    }

    fn open(&self, path: &Path, must_exist: bool) -> Result<Arc<dyn DiskFile>, StorageError> {
        if let Some(folder) = path.parent() {
            self.disk.create_dir_all(folder).map_err(disk_error("making folder", folder))?;
        }
        let exists = self.disk.exists(path).map_err(disk_error("looking for", path))?;
        if must_exist && !exists {
            let reason = "is missing, although it was checkpointed and the change log has later commits of it; put \
                          it back as it was when the node ended, or restore the whole data folder from a backup";
            return Err(StorageError::Foreign { path: path.to_owned(), reason: reason.to_owned() });
        }
        self.disk.open(path, OpenMode::Create).map_err(disk_error("opening", path))
    }
}

impl ChangedFile {
    /// The database has so many pages now.
    fn resize(&mut self, database_pages: u32) {
        if database_pages < self.database_pages {
            self.pages.split_off(&(database_pages + 1));
        }
        self.pages_least = self.pages_least.min(database_pages);
        self.database_pages = database_pages;
    }

    fn write(&self, file: &dyn DiskFile) -> std::io::Result<()> {
        let bytes = |pages: u32| u64::from(pages) * PAGE_BYTES as u64;
        if file.len()? > bytes(self.pages_least) {
            file.set_len(bytes(self.pages_least))?;
        }
        for (number, image) in &self.pages {
            file.write_all_at(&**image, offset_of(*number))?;
        }
        file.set_len(bytes(self.database_pages))
    }
}

fn offset_of(number: u32) -> u64 {
    u64::from(number - 1) * PAGE_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_changelog::record::AlarmChange;
    use durabo_changelog::simulated_disk::SimulatedDisk;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;
    use durabo_model::sequence::{Epoch, Sequence};
    use durabo_model::time::Timestamp;

    fn key(byte: u8) -> ObjectKey {
        ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([byte; 32]) }
    }

    fn path_of(key: &ObjectKey) -> PathBuf {
        PathBuf::from("/objects").join(format!("{}.sqlite", key.id))
    }

    /// A commit after which the database has so many pages; each named page is filled with its byte, by a
    /// difference where `whole` is not said.
    fn commit(object: u8, database_pages: u32, pages: &[(u32, u8)], whole: bool) -> Record {
        let content = |byte| match whole {
            true => PageContent::Raw(vec![byte; PAGE_BYTES]),
            false => PageContent::Difference(vec![0, 0, 1, 0, byte]),
        };
        let pages = pages.iter().map(|(number, byte)| PageEntry { number: *number, content: content(*byte) });
        Record {
            key: key(object),
            epoch: Epoch::new(1, 1),
            sequence: Sequence(1),
            chain: 0,
            raw_time: Timestamp(1),
            time: Timestamp(1),
            name: None,
            body: RecordBody::Commit {
                database_pages,
                alarm: AlarmChange::Unchanged,
                pages: pages.collect(),
            },
        }
    }

    /// The file that the records leave, with room for so many pages; and how many operations of the disk that
    /// took.
    fn redone(pages_kept_max: usize, records: &[Record]) -> (Vec<u8>, u64) {
        let simulated = SimulatedDisk::new(1);
        let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
        disk.create_dir_all(Path::new("/objects")).expect("folder");
        let before = simulated.operations();
        let mut redo = Redo::new(&disk, &path_of, pages_kept_max);
        for record in records {
            redo.apply(record.clone(), false).expect("applied");
            assert!(redo.pages_kept <= pages_kept_max, "{} pages are kept", redo.pages_kept);
        }
        assert_eq!(redo.finish().expect("written"), records.len() as u64);
        let operations = simulated.operations() - before;
        let file = disk.open(&path_of(&records[0].key), OpenMode::Existing).expect("made");
        let mut bytes = vec![0; file.len().expect("length") as usize];
        file.read_at(&mut bytes, 0).expect("read");
        (bytes, operations)
    }

    /// First and last bytes of each page.
    fn ends(file: &[u8]) -> Vec<(u8, u8)> {
        file.chunks(PAGE_BYTES).map(|page| (page[0], page[PAGE_BYTES - 1])).collect()
    }

    #[test]
    fn a_page_is_written_once_however_many_commits_changed_it() {
        let commits = |count: u8| -> Vec<Record> {
            let later = (1..=count).map(|byte| commit(1, 2, &[(2, byte)], false));
            std::iter::once(commit(1, 2, &[(1, 7), (2, 0)], true)).chain(later).collect()
        };
        let (few, many) = (redone(10, &commits(1)), redone(10, &commits(200)));
        assert_eq!(ends(&few.0), [(7, 7), (1, 0)]);
        assert_eq!(ends(&many.0), [(7, 7), (200, 0)]);
        assert_eq!(few.1, many.1, "operations of the disk");
    }

    #[test]
    fn commits_that_need_more_room_than_there_is_leave_the_same_file() {
        let mut records = Vec::new();
        for object in 1..=3 {
            records.push(commit(object, 4, &[(1, 1), (2, 2), (3, 3), (4, 4)], true));
        }
        for round in 5..50 {
            records.push(commit(1 + round % 3, 4, &[(1 + u32::from(round) % 4, round)], false));
        }
        let (file, _) = redone(1000, &records);
        assert_eq!(file.len(), 4 * PAGE_BYTES);
        for pages_kept_max in [0, 1, 3, 7, 11] {
            assert_eq!(ends(&redone(pages_kept_max, &records).0), ends(&file), "room for {pages_kept_max}");
        }
    }

    #[test]
    fn what_lay_behind_the_end_of_a_smaller_database_does_not_come_back() {
        let records = [
            commit(1, 4, &[(1, 1), (2, 2), (3, 3), (4, 4)], true),
            commit(1, 2, &[(1, 9)], false),
            commit(1, 4, &[(4, 5)], true),
        ];
        for pages_kept_max in [0, 2, 3, 100] {
            let (file, _) = redone(pages_kept_max, &records);
            assert_eq!(ends(&file), [(9, 1), (2, 2), (0, 0), (5, 5)], "room for {pages_kept_max}");
        }
    }

    #[test]
    fn after_a_wipe_no_page_from_before_it_is_left() {
        let wipe = |record: Record| match record.body {
            RecordBody::Commit { database_pages, alarm, pages } => {
                Record { body: RecordBody::Wipe { database_pages, alarm, pages }, ..record }
            }
            other => panic!("{other:?} is no commit"),
        };
        let records = [
            commit(1, 4, &[(1, 1), (2, 2), (3, 3), (4, 4)], true),
            wipe(commit(1, 4, &[(1, 9), (4, 8)], true)),
            commit(1, 4, &[(4, 5)], false),
        ];
        for pages_kept_max in [0, 2, 3, 100] {
            let (file, _) = redone(pages_kept_max, &records);
            assert_eq!(ends(&file), [(9, 9), (0, 0), (0, 0), (5, 8)], "room for {pages_kept_max}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
        for number in [0, 3] {
            let mut redo = Redo::new(&disk, &path_of, 10);
            let error = redo.apply(commit(1, 2, &[(number, 1)], true), false).expect_err("refused");
            assert!(error.to_string().contains(&format!("page {number} of 2 cannot be")), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_checkpointed_and_is_missing_is_not_made_anew() {
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
        let mut redo = Redo::new(&disk, &path_of, 10);
        redo.apply(commit(1, 2, &[(1, 1)], true), true).expect("applied");
        let error = redo.finish().expect_err("missing");
        assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
        assert!(!disk.exists(&path_of(&key(1))).expect("looked"));
    }
}
