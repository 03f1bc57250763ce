//! A disk in memory that forgets what was not synced, for tests of everything built on `disk::Disk`.
//!
//! A power loss keeps any part of the unsynced writes (torn at sectors, some garbled) and of the unsynced
//! name changes; the end of a process keeps all of them, unsynced as they are. Faults strike at chosen
//! operations. The same seed and the same calls give the same run. Folders themselves are durable at
//! once; locks always succeed, since there is one process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, OpenMode, Space};
use crate::seeded::Seeded;
use crate::simulated_file::FileState;
use crate::simulated_folder::{FileNumber, Folder};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// What a new file needs before it holds anything.
const NEW_FILE_BYTES: u64 = 4096;

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails for lack of space and does nothing; a sync counts as failed.
    NoSpace,
    /// It fails with EIO and does nothing; a sync counts as failed.
    InputOutput,
    /// A write does a part of its work and fails with ENOSPC; other operations fail with EIO.
    ShortWrite,
    /// The power fails in the midst of it; everything fails until the disk is started again.
    PowerLoss,
}

/// What another thread does in between.
type Interlude = Box<dyn FnOnce() + Send>;

struct State {
    random: Seeded,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    interlude: Option<(u64, Interlude)>,
    capacity: Option<u64>,
    growths: u64,
    measurements: u64,
    /// The first growing operation that finds no space.
    full_from: Option<u64>,
    off: bool,
    /// Grows whenever all open files die.
    life: u64,
    next_file: FileNumber,
    files: HashMap<FileNumber, FileState>,
    folders: BTreeMap<PathBuf, Folder>,
}

/// The disk. Clones are handles of the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// An empty disk whose accidents follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Seeded::new(seed),
            operations: 0,
            faults: BTreeMap::new(),
            interlude: None,
            capacity: None,
            growths: 0,
            measurements: 0,
            full_from: None,
            off: false,
            life: 0,
            next_file: 1,
            files: HashMap::new(),
            folders: BTreeMap::new(),
        })))
    }

    /// Changing operations so far: creations, renames, removals, writes, length changes, syncs.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets `fault` strike at the changing operation with this number; the first one ever is 1.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Sets how many bytes all files together may have; `None`: any number. What they have already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files that have a name.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Operations so far that needed space: new files and folders, and writes beyond a file's end.
    pub fn growths(&self) -> u64 {
        self.state().growths
    }

    /// How often the space of the disk was asked for.
    pub fn measurements(&self) -> u64 {
        self.state().measurements
    }

    /// From the growing operation with this number on (the first one ever is 1) each fails for lack of
    /// space, whatever is removed, until [`make_space`](Self::make_space). The first one comes as a surprise:
    /// before, there seems to be space, as if another program took it the moment after.
    pub fn fill_at(&self, growth: u64) {
        self.state().full_from = Some(growth);
    }

    /// Takes [`fill_at`](Self::fill_at) back.
    pub fn make_space(&self) {
        self.state().full_from = None;
    }

    /// Runs `other` right before the changing operation with this number, as if another thread came in
    /// between. It may use the disk. Replaces an earlier one that has not run.
    pub fn interrupt_at(&self, operation: u64, other: impl FnOnce() + Send + 'static) {
        self.state().interlude = Some((operation, Box::new(other)));
    }

    /// Takes back all faults that have not struck, and the interruption that has not run.
    pub fn clear_faults(&self) {
        let interlude = {
            let mut state = self.state();
            state.faults.clear();
            state.interlude.take()
        };
        // It may hold files of the disk.
        drop(interlude);
    }

    /// Whether the power failed and the disk was not started since.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// The power fails and comes back: unsynced changes are kept at random, open files are dead.
    pub fn power_loss(&self) {
        let state = &mut *self.state();
        let mut numbers: Vec<_> = state.files.keys().copied().collect();
        numbers.sort_unstable(); // the order must not depend on the map's hash
        for number in numbers {
            if let Some(file) = state.files.get_mut(&number) {
                file.lose(&mut state.random);
            }
        }
        for folder in state.folders.values_mut() {
            folder.lose(&mut state.random);
        }
        state.begin_life();
    }

    /// The process ends: what it wrote stays, synced or not; open files are dead.
    pub fn process_kill(&self) {
        self.state().begin_life();
    }

    /// Starts again after whatever happened: a power loss if the power failed, else a process kill.
    pub fn restart(&self) {
        if self.is_off() { self.power_loss() } else { self.process_kill() }
    }

    /// Flips the bits of `mask` in one byte of a file, in memory and on the disk.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let state = &mut *self.state();
        let number = state.number(path)?;
        state.file(number)?.flip(offset, mask);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("BUG: the simulated disk panicked")
    }

    /// The state at the beginning of a changing operation, after what was to come in between.
    fn changing(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let due = state.operations + 1;
        let Some((_, other)) = state.interlude.take_if(|(at, _)| *at <= due) else { return state };
        drop(state);
        other();
        self.state()
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDisk")
    }
}

impl State {
    fn begin_life(&mut self) {
        self.off = false;
        self.life += 1;
        let named: BTreeSet<_> = self.folders.values().flat_map(Folder::files).collect();
        self.files.retain(|number, _| named.contains(number));
    }

    fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the simulated machine has no power")) } else { Ok(()) }
    }

    /// Counts a changing operation and says what goes wrong with it.
    fn count(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        self.operations += 1;
        let operation = self.operations;
        Ok(self.faults.remove(&operation))
    }

    /// As [`State::count`], for operations that happen or not: `true` if the power fails after it.
    fn count_simple(&mut self) -> io::Result<bool> {
        match self.count()? {
            None => Ok(false),
            Some(Fault::NoSpace) => Err(io::Error::from_raw_os_error(ENOSPC)),
            Some(Fault::InputOutput | Fault::ShortWrite) => Err(io::Error::from_raw_os_error(EIO)),
            Some(Fault::PowerLoss) => {
                // Whether it still happened is decided with all other unsynced changes.
                self.off = true;
                Ok(true)
            }
        }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<_> = self.folders.values().flat_map(Folder::named).collect();
        named.iter().filter_map(|number| self.files.get(number)).map(FileState::len).sum()
    }

    fn is_full(&self) -> bool {
        self.full_from.is_some_and(|first| self.growths >= first)
    }

    /// Counts an operation that needs so many bytes more, and refuses it if they are not there.
    fn grow(&mut self, bytes: u64) -> io::Result<()> {
        self.growths += 1;
        let is_over = self.capacity.is_some_and(|capacity| self.used() + bytes > capacity);
        if self.is_full() || is_over { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).ok_or_else(|| not_found(path))
    }

    fn number(&mut self, path: &Path) -> io::Result<FileNumber> {
        let (folder, name) = split(path)?;
        self.folder(folder)?.get(name).ok_or_else(|| not_found(path))
    }

    fn file(&mut self, number: FileNumber) -> io::Result<&mut FileState> {
        self.files.get_mut(&number).ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("`{}` does not exist", path.display()))
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(folder), Some(name)) => Ok((folder, name)),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "a path needs a folder and a name")),
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.state();
        state.check_power()?;
        let (folder, name) = split(path)?;
        let number = match (state.folder(folder)?.get(name), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::Error::from(ErrorKind::AlreadyExists)),
            (Some(number), _) => number,
            (None, OpenMode::Existing) => return Err(not_found(path)),
            (None, _) => {
                state.count_simple()?;
                state.grow(NEW_FILE_BYTES)?;
                let number = state.next_file;
                state.next_file += 1;
                state.files.insert(number, FileState::default());
                state.folder(folder)?.set(name, number);
                state.check_power()?;
                number
            }
        };
        Ok(Arc::new(SimulatedFile { disk: self.clone(), number, life: state.life }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.changing();
        state.count_simple()?;
        if !state.folders.contains_key(path) {
            state.grow(0)?;
        }
        for folder in path.ancestors() {
            state.folders.entry(folder.to_owned()).or_default();
        }
        state.check_power()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.changing();
        let failed = state.count_simple()?;
        let folder = state.folder(path)?;
        if !failed {
            folder.sync();
        }
        state.check_power()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.changing();
        state.count_simple()?;
        let number = state.number(from)?;
        let ((folder, from), (folder_to, to)) = (split(from)?, split(to)?);
        if folder != folder_to {
            return Err(io::Error::from(ErrorKind::CrossesDevices));
        }
        state.folder(folder)?.rename(from, to, number);
        state.check_power()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.changing();
        state.count_simple()?;
        state.number(path)?;
        let (folder, name) = split(path)?;
        state.folder(folder)?.remove(name);
        state.check_power()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = &mut *self.state();
        state.check_power()?;
        let mut names: Vec<String> = state.folder(path)?.names().cloned().collect();
        let inner = state.folders.keys().filter(|folder| folder.parent() == Some(path));
        names.extend(inner.filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned())));
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = &mut *self.state();
        state.check_power()?;
        Ok(state.folders.contains_key(path) || state.number(path).is_ok())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = &mut *self.state();
        state.check_power()?;
        state.measurements += 1;
        let total = state.capacity.unwrap_or(u64::MAX / 2);
        let free = if state.is_full() { 0 } else { total.saturating_sub(state.used()) };
        Ok(Space { free, total })
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    number: FileNumber,
    life: u64,
}

impl SimulatedFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.state())
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.changing())
    }

    fn check<'s>(&self, state: MutexGuard<'s, State>) -> io::Result<MutexGuard<'s, State>> {
        state.check_power()?;
        if state.life != self.life {
            return Err(io::Error::other("the simulated process that opened this file has ended"));
        }
        Ok(state)
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedFile({})", self.number)
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.state()?.file(self.number)?.read(buffer, offset))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.changing()?;
        let (written, failure) = match state.count()? {
            None => (bytes.len(), None),
            Some(Fault::NoSpace) => (0, Some(ENOSPC)),
            Some(Fault::InputOutput) => (0, Some(EIO)),
            Some(Fault::ShortWrite) => (state.random.below(bytes.len() as u64 + 1) as usize, Some(ENOSPC)),
            Some(Fault::PowerLoss) => {
                state.off = true;
                (bytes.len(), Some(EIO))
            }
        };
        let end = offset + written as u64;
        let len = state.file(self.number)?.len();
        if end > len
            && let Err(error) = state.grow(end - len)
        {
            // What overwrites needs no space.
            let within = len.saturating_sub(offset) as usize;
            if within > 0 {
                state.file(self.number)?.write(&bytes[..within], offset);
            }
            return Err(error);
        }
        if written > 0 {
            state.file(self.number)?.write(&bytes[..written], offset);
        }
        failure.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = &mut *self.changing()?;
        state.count_simple()?;
        let before = state.file(self.number)?.len();
        if len > before {
            state.grow(len - before)?;
        }
        state.file(self.number)?.set_len(len);
        state.check_power()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.file(self.number)?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.changing()?;
        let fault = state.count()?;
        let file = state.files.get_mut(&self.number).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        match fault {
            None => {
                file.sync();
                Ok(())
            }
            Some(Fault::PowerLoss) => {
                state.off = true;
                state.check_power()
            }
            Some(fault) => {
                file.fail_sync(&mut state.random);
                let code = if fault == Fault::NoSpace { ENOSPC } else { EIO };
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }

    fn lock_exclusive(&self) -> io::Result<()> {
        self.state().map(drop)
    }
}

#[cfg(test)]
mod tests;
