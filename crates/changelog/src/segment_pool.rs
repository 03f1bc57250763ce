//! Spare segments: made and filled with zeros before the log needs them.
//!
//! Filling a segment takes long on a busy disk, so it happens ahead of time, on another thread than
//! the one that commits: an upkeep thread calls `prepare`, the committer's `SegmentLog` takes. Given-up
//! segments come back without being zeroed. The lock inside is never held while the disk works.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{LogError, disk_error};
use crate::mutation::{Mutation, is_planted};
use crate::segment::{LogOptions, fill_with_zeros, segment_name, spare_name, spare_number};

/// The spare segments of a log.
#[derive(Debug)]
pub struct SegmentPool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    ready_target: usize,
    spares: Mutex<Spares>,
    unprepared: AtomicU64,
}

#[derive(Debug, Default)]
struct Spares {
    ready: VecDeque<String>,
    preparing: usize,
    next_number: u64,
}

impl Spares {
    fn new_name(&mut self) -> String {
        self.next_number += 1;
        spare_name(self.next_number)
    }
}

impl SegmentPool {
    /// Finds the spare segments that an earlier start left; removes half-made ones and those of
    /// another size.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &LogOptions) -> Result<Self, LogError> {
        let mut spares = Spares::default();
        for name in disk.list(dir).map_err(disk_error("listing the change log", dir))? {
            let Some(number) = spare_number(&name) else { continue };
            spares.next_number = spares.next_number.max(number);
            let path = dir.join(&name);
            let file = disk.open(&path, OpenMode::Existing);
            let len = file.and_then(|file| file.len()).map_err(disk_error("opening the segment", &path))?;
            if len == options.segment_bytes {
                spares.ready.push_back(name);
            } else {
                disk.remove(&path).map_err(disk_error("removing the half-made segment", &path))?;
            }
        }
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes,
            ready_target: options.segments_ready,
            spares: Mutex::new(spares),
            unprepared: AtomicU64::new(0),
        })
    }

    /// Makes one spare segment if fewer than wanted are ready; returns whether it did. Blocks for as
    /// long as the disk needs to write a whole segment. After an error the log goes on with the spare
    /// segments that it has; call again when there is space.
    pub fn prepare(&self) -> Result<bool, LogError> {
        let name = {
            let mut spares = self.spares();
            if spares.ready.len() + spares.preparing >= self.ready_target {
                return Ok(false);
            }
            spares.preparing += 1;
            spares.new_name()
        };
        let made = self.make(&name);
        let mut spares = self.spares();
        spares.preparing -= 1;
        made?;
        spares.ready.push_back(name);
        Ok(true)
    }

    /// Spare segments that are ready.
    pub fn ready(&self) -> usize {
        self.spares().ready.len()
    }

    /// How often a commit had to wait until its segment was made.
    pub fn unprepared(&self) -> u64 {
        self.unprepared.load(Ordering::Relaxed)
    }

    /// Turns a spare segment into the one at `base`; makes one first if none is ready. Its name is
    /// durable when this returns.
    pub(crate) fn take(&self, base: u64) -> Result<Arc<dyn DiskFile>, LogError> {
        let ready = self.spares().ready.pop_front();
        let name = match ready {
            Some(name) => name,
            None => {
                self.unprepared.fetch_add(1, Ordering::Relaxed);
                let name = self.spares().new_name();
                self.make(&name)?;
                name
            }
        };
        let path = self.dir.join(segment_name(base));
        self.disk.rename(&self.dir.join(name), &path).map_err(disk_error("naming the segment", &path))?;
        let file = self.disk.open(&path, OpenMode::Existing);
        let file = file.map_err(disk_error("opening the segment", &path))?;
        if !is_planted(Mutation::SkipSegmentDirSync) {
            self.disk.sync_dir(&self.dir).map_err(disk_error("syncing the folder", &self.dir))?;
        }
        Ok(file)
    }

    /// Takes back the file `name`, whose records nobody needs and which the control file has durably
    /// given up: as a spare segment, or not at all if enough are ready or it has another size.
    pub(crate) fn give(&self, name: &str, len: u64) -> Result<(), LogError> {
        let path = self.dir.join(name);
        let spare = {
            let mut spares = self.spares();
            let wanted = len == self.segment_bytes && spares.ready.len() < self.ready_target;
            wanted.then(|| spares.new_name())
        };
        let Some(spare) = spare else {
            return self.disk.remove(&path).map_err(disk_error("removing the segment", &path));
        };
        self.disk
            .rename(&path, &self.dir.join(&spare))
            .map_err(disk_error("recycling the segment", &path))?;
        self.spares().ready.push_back(spare);
        Ok(())
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    fn make(&self, name: &str) -> Result<(), LogError> {
        let path = self.dir.join(name);
        let made = self.disk.open(&path, OpenMode::CreateNew).and_then(|file| {
            fill_with_zeros(&file, 0, self.segment_bytes)?;
            file.sync_data()
        });
        made.map_err(|error| {
            // The room it took is needed more than ever; a leftover is removed at the next start.
            let _ = self.disk.remove(&path);
            disk_error("preparing the segment", &path)(error)
        })
    }

    fn spares(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().expect("BUG: a thread panicked while it counted spare segments")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated_disk::{Fault, SimulatedDisk};

    fn pool(disk: &SimulatedDisk) -> SegmentPool {
        disk.create_dir_all(Path::new("/log")).expect("folder");
        let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
        SegmentPool::open(Arc::new(disk.clone()), Path::new("/log"), &options).expect("pool")
    }

    #[test]
    fn as_many_segments_as_wanted_are_prepared_and_found_again() {
        let disk = SimulatedDisk::new(1);
        let first = pool(&disk);
        while first.prepare().expect("space") {}
        assert_eq!(first.ready(), 2);
        disk.process_kill();
        let second = pool(&disk);
        assert_eq!((second.ready(), second.prepare().expect("nothing to do")), (2, false));
    }

    #[test]
    fn a_segment_that_cannot_be_prepared_leaves_nothing_behind() {
        let disk = SimulatedDisk::new(1);
        let pool = pool(&disk);
        disk.fail_at(disk.operations() + 2, Fault::NoSpace);
        assert!(pool.prepare().is_err());
        assert_eq!(disk.list(Path::new("/log")).expect("list"), Vec::<String>::new());
        assert!(pool.prepare().expect("space again"));
    }

    #[test]
    fn half_made_segments_are_removed_at_the_next_start() {
        let disk = SimulatedDisk::new(1);
        drop(pool(&disk));
        let path = Path::new("/log/spare-00000009");
        disk.open(path, OpenMode::Create).expect("file").write_all_at(&[0; 100], 0).expect("write");
        let pool = pool(&disk);
        assert_eq!((pool.ready(), disk.exists(path).expect("look")), (0, false));
    }

    #[test]
    fn a_segment_is_made_on_the_spot_if_none_is_ready_and_counted() {
        let disk = SimulatedDisk::new(1);
        let pool = pool(&disk);
        assert_eq!(pool.take(0).expect("space").len().expect("length"), 16 * 1024);
        assert_eq!(pool.unprepared(), 1);
    }

    #[test]
    fn given_up_segments_become_spares_until_there_are_enough() {
        let disk = SimulatedDisk::new(1);
        let pool = pool(&disk);
        for base in 0..3 {
            pool.take(base * 16 * 1024).expect("space");
        }
        for base in 0..3 {
            pool.give(&segment_name(base * 16 * 1024), 16 * 1024).expect("renamed or removed");
        }
        assert_eq!((pool.ready(), disk.list(Path::new("/log")).expect("list").len()), (2, 2));
    }
}
