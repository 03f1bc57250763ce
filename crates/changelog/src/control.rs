//! The control file: from where the log is read after a crash, and how often the node was started.
//!
//! Written beside the old one, synced, renamed over it, folder synced: a crash leaves the old or the
//! new one. A segment is given up only when the control file that no longer needs it is durable.
//!
//! Owned by the thread that also keeps the spare segments; `scan` makes it at each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_model::sequence::LogPosition;

use crate::disk::{Disk, OpenMode};
use crate::error::{LogError, disk_error};
use crate::mutation::{Mutation, is_planted};
use crate::segment::{base_of, remove_leftover};
use crate::segment_pool::SegmentPool;

/// Version of the whole log's format. The first 32 bytes of the file are laid out alike in every
/// version, so that an older program can say that it is too old.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"DURABOLC";
const CONTROL_BYTES: usize = 32;
const NAME: &str = "control";
const NAME_NEW: &str = "control.new";

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Control {
    pub(crate) recover_from: LogPosition,
    pub(crate) start_number: u32,
}

impl Control {
    fn to_bytes(self) -> [u8; CONTROL_BYTES] {
        let mut bytes = [0; CONTROL_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.start_number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.recover_from.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; CONTROL_BYTES], path: &Path) -> Result<Self, LogError> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[0..8] != MAGIC || u32_at(28) != crc32fast::hash(&bytes[..28]) {
            return Err(LogError::ControlDamaged(path.to_owned()));
        }
        let version = u32_at(8);
        if version > FORMAT_VERSION {
            return Err(LogError::Newer { found: version, known: FORMAT_VERSION });
        }
        let recover_from = LogPosition(u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32);
        Ok(Self { recover_from, start_number: u32_at(12) })
    }

    /// Reads the control file of a folder; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(NAME);
        if !disk.exists(&path).map_err(disk_error("looking for the control file", &path))? {
            return Ok(None);
        }
        let mut bytes = [0; CONTROL_BYTES];
        let file = disk.open(&path, OpenMode::Existing);
        let read = file.and_then(|file| file.read_at(&mut bytes, 0));
        if read.map_err(disk_error("reading the control file", &path))? < CONTROL_BYTES {
            return Err(LogError::ControlDamaged(path));
        }
        Self::from_bytes(&bytes, &path).map(Some)
    }
}

pub(crate) fn control_path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// The control file of a running log.
#[derive(Debug)]
pub struct ControlFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    control: Control,
}

impl ControlFile {
    /// Writes the first control file of this start; it is durable when this returns.
    pub(crate) fn create(disk: Arc<dyn Disk>, dir: &Path, control: Control) -> Result<Self, LogError> {
        let mut file = Self { disk, dir: dir.to_owned(), control: Control::default() };
        file.store(control)?;
        Ok(file)
    }

    /// Position from which the log is read after a crash.
    pub const fn recover_from(&self) -> LogPosition {
        self.control.recover_from
    }

    /// Which start of the node on this data folder this is, from 1.
    pub const fn start_number(&self) -> u32 {
        self.control.start_number
    }

    /// Gives up the log before `recover_from`, a position that `Pins::least_needed` returned; durable
    /// when this returns. Does nothing if it was given up already. After an error the old position
    /// holds, and the call may be repeated.
    pub fn advance(&mut self, recover_from: LogPosition) -> Result<(), LogError> {
        if recover_from <= self.control.recover_from {
            return Ok(());
        }
        self.store(Control { recover_from, ..self.control })
    }

    /// [`ControlFile::advance`], then gives segments that nobody needs any more to the pool, or removes
    /// them if it has enough; returns how many went. After an error the call may be repeated.
    pub fn release(&mut self, recover_from: LogPosition, pool: &SegmentPool) -> Result<usize, LogError> {
        if is_planted(Mutation::RecycleBeforeControl) {
            let count = self.recycle_before(recover_from, pool)?;
            self.advance(recover_from)?;
            return Ok(count);
        }
        self.advance(recover_from)?;
        self.recycle_before(self.control.recover_from, pool)
    }

    fn recycle_before(&self, position: LogPosition, pool: &SegmentPool) -> Result<usize, LogError> {
        let names = self.disk.list(&self.dir).map_err(disk_error("listing the change log", &self.dir))?;
        let mut segments: Vec<_> = names.iter().filter_map(|name| Some((base_of(name)?, name))).collect();
        segments.sort_unstable();
        let mut count = 0;
        for (base, name) in segments {
            if base >= position.0 {
                break;
            }
            let path = self.dir.join(name);
            let len = self.disk.open(&path, OpenMode::Existing).and_then(|file| file.len());
            let len = len.map_err(disk_error("opening the segment", &path))?;
            if base + len <= position.0 {
                pool.give(name, len)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn store(&mut self, control: Control) -> Result<(), LogError> {
        let path = self.dir.join(NAME_NEW);
        // Always a new file: one whose sync failed must not be trusted again.
        remove_leftover(&*self.disk, &path)?;
        let written = self.disk.open(&path, OpenMode::CreateNew).and_then(|file| {
            file.write_all_at(&control.to_bytes(), 0)?;
            if is_planted(Mutation::SkipControlSync) { Ok(()) } else { file.sync_data() }
        });
        written.map_err(disk_error("writing the control file", &path))?;
        let named = self.disk.rename(&path, &control_path(&self.dir));
        named.map_err(disk_error("naming the control file", &path))?;
        if !is_planted(Mutation::SkipControlDirSync) {
            self.disk.sync_dir(&self.dir).map_err(disk_error("syncing the folder", &self.dir))?;
        }
        self.control = control;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated_disk::{Fault, SimulatedDisk};

    const DIR: &str = "/log";
    const FIRST: Control = Control { recover_from: LogPosition(77), start_number: 3 };

    fn disk() -> SimulatedDisk {
        let disk = SimulatedDisk::new(5);
        disk.create_dir_all(Path::new(DIR)).expect("folder");
        disk
    }

    fn create(disk: &SimulatedDisk) -> ControlFile {
        ControlFile::create(Arc::new(disk.clone()), Path::new(DIR), FIRST).expect("disk is well")
    }

    #[test]
    fn what_was_stored_is_read_after_a_power_loss() {
        let disk = disk();
        assert_eq!(Control::read(&disk, Path::new(DIR)).expect("none"), None);
        create(&disk).advance(LogPosition(1 << 40)).expect("disk is well");
        disk.power_loss();
        let expected = Control { recover_from: LogPosition(1 << 40), ..FIRST };
        assert_eq!(Control::read(&disk, Path::new(DIR)).expect("sound"), Some(expected));
    }

    #[test]
    fn a_failure_at_any_step_leaves_the_old_or_the_new_position() {
        for step in 1..=6 {
            for fault in [Fault::InputOutput, Fault::NoSpace, Fault::ShortWrite, Fault::PowerLoss] {
                let disk = disk();
                let mut file = create(&disk);
                disk.fail_at(disk.operations() + step, fault);
                let advanced = file.advance(LogPosition(100)).is_ok();
                assert_eq!(advanced, step == 6, "{step} {fault:?}");
                disk.power_loss();
                let found = Control::read(&disk, Path::new(DIR)).expect("sound").expect("there");
                assert!([77, 100].contains(&found.recover_from.0));
                assert!(!advanced || found.recover_from.0 == 100);
            }
        }
    }

    #[test]
    fn a_failed_step_can_be_repeated() {
        let disk = disk();
        let mut file = create(&disk);
        disk.fail_at(disk.operations() + 3, Fault::InputOutput);
        assert!(file.advance(LogPosition(100)).is_err());
        assert_eq!(file.recover_from(), LogPosition(77));
        file.advance(LogPosition(100)).expect("well again");
        disk.power_loss();
        let found = Control::read(&disk, Path::new(DIR)).expect("sound").expect("there");
        assert_eq!(found.recover_from, LogPosition(100));
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        for bit in 0..CONTROL_BYTES * 8 {
            let disk = disk();
            create(&disk);
            disk.flip(&control_path(Path::new(DIR)), bit as u64 / 8, 1 << (bit % 8)).expect("there");
            let error = Control::read(&disk, Path::new(DIR)).expect_err("damaged");
            assert!(matches!(error, LogError::ControlDamaged(_)), "{bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let mut bytes = FIRST.to_bytes();
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        let error = Control::from_bytes(&bytes, Path::new(DIR)).expect_err("newer");
        assert!(matches!(error, LogError::Newer { found: 2, known: 1 }));
    }
}
