//! What SQLite sees as files: an object's file with its WAL in memory, and plain files.
//!
//! A set of files belongs to one connection and is handed to the VFS under a made-up name, which is the
//! only path that SQLite ever knows. `-wal` and `-journal` of an object are in memory and end with
//! the connection; those of a plain file are real.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use durabo_changelog::disk::{Disk, DiskFile, OpenMode};
use durabo_changelog::mutation::{Mutation, is_planted};

use crate::frame_store::{FRAME_BYTES, FrameStore};
use crate::object_file::ObjectFile;
use crate::write_room::WriteRoom;

/// Room is held frame by frame: a commit's pages are written one by one, each behind its header.
const HOLD_STEP_BYTES: u64 = FRAME_BYTES as u64;

/// A file in memory, with a bound on its size beyond which writes fail for lack of space, and a place to
/// ask for room before it grows.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    bytes: Mutex<FrameStore>,
    size_max: AtomicU64,
    room: OnceLock<Arc<dyn WriteRoom>>,
    /// End of what room was held for.
    held_to: AtomicU64,
    /// Whether the present turn has written anything, or tried to.
    is_touched: AtomicBool,
}

impl Default for MemoryFile {
    fn default() -> Self {
        Self {
            bytes: Mutex::default(),
            size_max: AtomicU64::new(u64::MAX),
            room: OnceLock::new(),
            held_to: AtomicU64::new(u64::MAX),
            is_touched: AtomicBool::new(false),
        }
    }
}

impl MemoryFile {
    /// What it holds.
    pub(crate) fn bytes(&self) -> MutexGuard<'_, FrameStore> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes().len() as u64
    }

    pub(crate) fn set_size_max(&self, size_max: u64) {
        self.size_max.store(size_max, Ordering::Relaxed);
    }

    /// Asks `room` before it grows from now on. Only once.
    pub(crate) fn write_within(&self, room: Arc<dyn WriteRoom>) {
        self.room.set(room).expect("BUG: a WAL was given room twice");
    }

    /// Whether a turn that has not written yet may begin to.
    pub(crate) fn is_open(&self) -> bool {
        self.room.get().is_none_or(|room| room.is_open())
    }

    /// Gives back what was held for the present turn.
    pub(crate) fn give_back_room(&self) {
        if let Some(room) = self.room.get() {
            room.give_back();
        }
    }

    /// Lets what comes behind `end` be written only where there is room for it.
    pub(crate) fn hold_from(&self, end: u64) {
        self.held_to.store(end, Ordering::Relaxed);
        self.is_touched.store(false, Ordering::Relaxed);
    }

    /// Whether anything was written since [`hold_from`](Self::hold_from), or tried to be.
    pub(crate) fn is_touched(&self) -> bool {
        self.is_touched.load(Ordering::Relaxed)
    }

    fn has_room(&self, end: u64) -> bool {
        let held_to = self.held_to.load(Ordering::Relaxed);
        let Some(room) = self.room.get().filter(|_| end > held_to) else { return true };
        let more = (end - held_to).next_multiple_of(HOLD_STEP_BYTES);
        let has_room = room.hold(more);
        if has_room {
            self.held_to.store(held_to + more, Ordering::Relaxed);
        }
        has_room
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.bytes().read_at(buffer, offset as usize)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + new.len() as u64;
        self.is_touched.store(true, Ordering::Relaxed);
        if end > self.size_max.load(Ordering::Relaxed) || !self.has_room(end) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.bytes().write_at(new, offset as usize);
        Ok(())
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.bytes().set_len(size as usize);
    }
}

/// A file that SQLite has open.
#[derive(Debug)]
pub(crate) enum OpenFile {
    /// The main database of an object.
    Object(ObjectFile),
    /// Its WAL or journal.
    Memory(Arc<MemoryFile>),
    /// A plain file; the folder if its name is not durable yet.
    Plain { disk: Arc<dyn Disk>, file: Arc<dyn DiskFile>, unsynced: Option<PathBuf> },
}

impl OpenFile {
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Object(file) => file.read_at(buffer, offset),
            Self::Memory(file) => Ok(file.read_at(buffer, offset)),
            Self::Plain { file, .. } => file.read_at(buffer, offset),
        }
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Object(file) => file.write_at(bytes, offset),
            Self::Memory(file) => file.write_at(bytes, offset),
            Self::Plain { file, .. } => file.write_all_at(bytes, offset),
        }
    }

    pub(crate) fn set_size(&self, size: u64) -> io::Result<()> {
        match self {
            Self::Object(file) => file.set_size(size),
            Self::Memory(file) => {
                file.set_size(size);
                Ok(())
            }
            Self::Plain { file, .. } => file.set_len(size),
        }
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        match self {
            Self::Object(file) => file.size(),
            Self::Memory(file) => Ok(file.size()),
            Self::Plain { file, .. } => file.len(),
        }
    }

    /// Objects' files are synced by upkeep, never by SQLite.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Self::Plain { disk, file, unsynced } = self
            && !is_planted(Mutation::SkipIndexSync)
        {
            file.sync_data()?;
            if let Some(folder) = unsynced.take() {
                disk.sync_dir(&folder)?;
            }
        }
        Ok(())
    }
}

/// The files of one connection.
#[derive(Debug, Clone)]
pub(crate) enum FileSet {
    Object { file: ObjectFile, wal: Arc<MemoryFile>, journal: Arc<MemoryFile> },
    Plain { disk: Arc<dyn Disk>, path: PathBuf },
}

impl FileSet {
    fn open(&self, ending: &str) -> io::Result<OpenFile> {
        match (self, ending) {
            (Self::Object { file, .. }, "") => Ok(OpenFile::Object(file.clone())),
            (Self::Object { wal, .. }, "-wal") => Ok(OpenFile::Memory(wal.clone())),
            (Self::Object { journal, .. }, _) => Ok(OpenFile::Memory(journal.clone())),
            (Self::Plain { disk, path }, _) => {
                let path = with_ending(path, ending);
                let is_new = !disk.exists(&path)?;
                let file = disk.open(&path, OpenMode::Create)?;
                let folder = path.parent().filter(|_| is_new).map(ToOwned::to_owned);
                Ok(OpenFile::Plain { disk: disk.clone(), file, unsynced: folder })
            }
        }
    }

    fn exists(&self, ending: &str) -> io::Result<bool> {
        match (self, ending) {
            (Self::Object { .. }, "") => Ok(true),
            (Self::Object { wal, .. }, "-wal") => Ok(wal.size() > 0),
            (Self::Object { journal, .. }, _) => Ok(journal.size() > 0),
            (Self::Plain { disk, path }, _) => disk.exists(&with_ending(path, ending)),
        }
    }

    fn delete(&self, ending: &str) -> io::Result<()> {
        match (self, ending) {
            (Self::Object { .. }, "") => Err(ErrorKind::PermissionDenied.into()),
            (Self::Object { wal, .. }, "-wal") => {
                wal.set_size(0);
                Ok(())
            }
            (Self::Object { journal, .. }, _) => {
                journal.set_size(0);
                Ok(())
            }
            (Self::Plain { disk, path }, _) => {
                let path = with_ending(path, ending);
                if !disk.exists(&path)? {
                    return Err(ErrorKind::NotFound.into());
                }
                disk.remove(&path)?;
                path.parent().map_or(Ok(()), |folder| disk.sync_dir(folder))
            }
        }
    }
}

fn with_ending(path: &std::path::Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

static REGISTERED: LazyLock<Mutex<HashMap<u64, FileSet>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn registered() -> MutexGuard<'static, HashMap<u64, FileSet>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a set of files known to the VFS; must outlive the connection.
#[derive(Debug)]
pub(crate) struct FileSetGuard(u64);

impl FileSetGuard {
    pub(crate) fn new(files: FileSet) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        registered().insert(number, files);
        Self(number)
    }

    /// The path under which SQLite is to open the set.
    pub(crate) fn path(&self) -> String {
        self.0.to_string()
    }
}

impl Drop for FileSetGuard {
    fn drop(&mut self) {
        registered().remove(&self.0);
    }
}

fn resolve(name: &str) -> io::Result<(FileSet, &str)> {
    let end = name.find('-').unwrap_or(name.len());
    let (number, ending) = name.split_at(end);
    let number: u64 = number.parse().map_err(|_| io::Error::from(ErrorKind::NotFound))?;
    let files = registered().get(&number).cloned().ok_or(ErrorKind::NotFound)?;
    Ok((files, ending))
}

pub(crate) fn open(name: &str) -> io::Result<OpenFile> {
    let (files, ending) = resolve(name)?;
    files.open(ending)
}

pub(crate) fn exists(name: &str) -> io::Result<bool> {
    let (files, ending) = resolve(name)?;
    files.exists(ending)
}

pub(crate) fn delete(name: &str) -> io::Result<()> {
    let (files, ending) = resolve(name)?;
    files.delete(ending)
}
