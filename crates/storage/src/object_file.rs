//! The database file of one object: opened once, shared by all connections and by upkeep.
//!
//! A file that does not exist stays absent until the first page is written to it; until then it reads
//! as an empty database. Its descriptor is opened once, since closing any other would drop the lock
//! (invariant 9). What other programs did to it is noticed by its mark (invariant 10).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durabo_changelog::disk::{Disk, DiskFile, OpenMode};
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::{FileMark, PAGE_BYTES};

use crate::error::{StorageError, disk_error};

#[derive(Debug)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    /// Folders whose entries are not yet durable, innermost first.
    unsynced: Vec<PathBuf>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: Mutex<State>,
}

/// A handle of an object's file; clones share it.
#[derive(Debug, Clone)]
pub struct ObjectFile(Arc<Inner>);

impl ObjectFile {
    /// Opens and locks the file, if it exists. Refuses it if another program left a WAL or journal
    /// beside it, or if it is no database in WAL mode.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self, StorageError> {
        let mut file = None;
        if disk.exists(&path).map_err(disk_error("looking for", &path))? {
            refuse_leftovers(&*disk, &path)?;
            let opened = disk.open(&path, OpenMode::Existing).map_err(disk_error("opening", &path))?;
            lock(&*opened, &path)?;
            check_header(&*opened, &path)?;
            file = Some(opened);
        }
        let state = Mutex::new(State { file, unsynced: Vec::new() });
        Ok(Self(Arc::new(Inner { disk, path, state })))
    }

    /// Where it lies or would lie.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether there is a file.
    pub fn is_present(&self) -> bool {
        self.state().file.is_some()
    }

    /// How the file looks now.
    pub fn mark(&self) -> Result<FileMark, StorageError> {
        let mut page = [0; PAGE_BYTES];
        self.read_at(&mut page, 0).map_err(disk_error("reading", self.path()))?;
        let file_bytes = self.size().map_err(disk_error("measuring", self.path()))?;
        Ok(FileMark { file_bytes, first_page_crc: crc32fast::hash(&page) })
    }

    /// Checks that the file looks as the node left it; `None`: there should be no file.
    pub fn check_mark(&self, expected: Option<FileMark>) -> Result<(), StorageError> {
        let refuse = |reason: &str| StorageError::Foreign {
            path: self.path().to_owned(),
            reason: format!(
                "{reason}; another program wrote it, or it is damaged: restore it from a backup, or move \
                 it away to begin the object anew"
            ),
        };
        match (self.is_present(), expected) {
            (false, None) => Ok(()),
            (false, Some(_)) => Err(refuse("is missing")),
            (true, None) => Err(refuse("is not known to the object index")),
            (true, Some(expected)) if self.mark()? == expected => Ok(()),
            (true, Some(_)) => Err(refuse("is not as its last checkpoint left it")),
        }
    }

    /// Makes the file and its name durable. A failure is final for the node (invariant 5).
    pub fn sync(&self) -> Result<(), StorageError> {
        // Not under the lock: the object goes on reading meanwhile.
        let (file, folders) = {
            let state = self.state();
            (state.file.clone(), state.unsynced.clone())
        };
        let Some(file) = file else { return Ok(()) };
        if !is_planted(Mutation::SkipFileSync) {
            file.sync_data().map_err(disk_error("syncing", self.path()))?;
        }
        if !is_planted(Mutation::SkipFileDirSync) {
            for folder in &folders {
                self.0.disk.sync_dir(folder).map_err(disk_error("syncing folder", folder))?;
            }
        }
        self.state().unsynced.retain(|folder| !folders.contains(folder));
        Ok(())
    }

    /// Reads at `offset`; an absent file reads as an empty database.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.state().file {
            Some(file) => file.read_at(buffer, offset),
            None => {
                let template = empty_database();
                let from = template.get(offset as usize..).unwrap_or_default();
                let count = from.len().min(buffer.len());
                buffer[..count].copy_from_slice(&from[..count]);
                Ok(count)
            }
        }
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file_for_writing()?.write_all_at(bytes, offset)
    }

    pub(crate) fn set_size(&self, size: u64) -> io::Result<()> {
        self.file_for_writing()?.set_len(size)
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        match &self.state().file {
            Some(file) => file.len(),
            None => Ok(PAGE_BYTES as u64),
        }
    }

    fn file_for_writing(&self) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        let Inner { disk, path, .. } = &*self.0;
        // The two folders of the layout, and the one that holds the namespace's.
        let folders: Vec<PathBuf> = path.ancestors().skip(1).take(3).map(Path::to_owned).collect();
        disk.create_dir_all(&folders[0])?;
        let file = disk.open(path, OpenMode::Create)?;
        file.lock_exclusive()?;
        file.write_all_at(&empty_database(), 0)?;
        state.file = Some(file.clone());
        state.unsynced = folders;
        Ok(file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse_leftovers(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    for ending in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let beside = PathBuf::from(name);
        if disk.exists(&beside).map_err(disk_error("looking for", &beside))? {
            return Err(StorageError::Foreign {
                path: path.to_owned(),
                reason: format!(
                    "has a `{ending}` file beside it, so another program opened it; close that program, or \
                     restore the file from a backup and remove `{}`",
                    beside.display()
                ),
            });
        }
    }
    Ok(())
}

fn lock(file: &dyn DiskFile, path: &Path) -> Result<(), StorageError> {
    file.lock_exclusive().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StorageError::Foreign {
            path: path.to_owned(),
            reason: "is locked by another program; close that program".to_owned(),
        },
        _ => disk_error("locking", path)(error),
    })
}

fn check_header(file: &dyn DiskFile, path: &Path) -> Result<(), StorageError> {
    let mut header = [0; 100];
    let count = file.read_at(&mut header, 0).map_err(disk_error("reading", path))?;
    let expected = empty_database();
    let is_database = count == header.len() && header[..20] == expected[..20];
    if is_database {
        return Ok(());
    }
    Err(StorageError::Foreign {
        path: path.to_owned(),
        reason: "is no SQLite database in WAL mode with pages of 4096 bytes; another program wrote it, or \
                 it is damaged: restore it from a backup"
            .to_owned(),
    })
}

/// An empty database in WAL mode: its only page.
fn empty_database() -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..18].copy_from_slice(&(PAGE_BYTES as u16).to_be_bytes());
    page[18..20].copy_from_slice(&[2, 2]); // WAL for writing and reading
    page[21..24].copy_from_slice(&[64, 32, 32]); // payload fractions, fixed by the format
    page[31] = 1; // pages
    page[100] = 13; // an empty leaf of a table: the schema
    page[105..107].copy_from_slice(&(PAGE_BYTES as u16).to_be_bytes()); // its content begins at the end
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_changelog::disk::RealDisk;

    fn open(path: &Path) -> Result<ObjectFile, StorageError> {
        ObjectFile::open(Arc::new(RealDisk), path.to_owned())
    }

    #[test]
    fn an_absent_file_stays_absent_while_it_is_read() {
        let temp = tempfile::tempdir().expect("temp");
        let file = open(&temp.path().join("1/ab/x.sqlite")).expect("open");
        let mut page = [1; PAGE_BYTES];
        assert_eq!(file.read_at(&mut page, 0).expect("read"), PAGE_BYTES);
        assert_eq!(file.mark().expect("mark").file_bytes, 4096);
        file.sync().expect("sync of nothing");
        assert!(!file.is_present());
        assert!(!temp.path().join("1").exists());
    }

    #[test]
    fn files_of_other_programs_beside_it_are_refused() {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join("1/ab/x.sqlite");
        open(&path).expect("open").write_at(&empty_database(), 0).expect("write");
        for ending in ["-wal", "-shm", "-journal"] {
            let beside = PathBuf::from(format!("{}{ending}", path.display()));
            std::fs::write(&beside, "").expect("write");
            let text = open(&path).expect_err("leftover").to_string();
            assert!(text.contains(&format!("has a `{ending}` file beside it")), "{text}");
            std::fs::remove_file(&beside).expect("remove");
        }
        open(&path).expect("clean again");
    }

    #[test]
    fn a_foreign_write_is_noticed_by_the_mark() {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join("1/ab/x.sqlite");
        let file = open(&path).expect("open");
        file.write_at(&empty_database(), 0).expect("write");
        let mark = file.mark().expect("mark");
        file.check_mark(Some(mark)).expect("as it was");
        file.write_at(&[1], 40).expect("foreign write");
        let text = file.check_mark(Some(mark)).expect_err("changed").to_string();
        assert!(text.contains("is not as its last checkpoint left it"), "{text}");
        let text = file.check_mark(None).expect_err("unknown").to_string();
        assert!(text.contains("is not known to the object index"), "{text}");
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join("x.sqlite");
        std::fs::write(&path, "text").expect("write");
        assert!(matches!(open(&path), Err(StorageError::Foreign { .. })));
    }
}
