//! Spare segments: made and filled with zeros before the log needs them, and the room in them.
//!
//! Filling a segment takes long on a busy disk, so it happens ahead of time, on another thread than
//! the one that commits: an upkeep thread calls `prepare`, the committer's `SegmentLog` takes. A commit
//! holds its room by a [`Claim`] before anything is promised; if none is left, one more segment is made
//! for it, and if the disk does not give that, the pool is short of space and no turn may write.
//! Given-up segments come back without being zeroed. The lock inside is never held while the disk works.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use durabo_model::sequence::LogPosition;

use crate::codec::EncodedRecord;
use crate::disk::{Disk, DiskFile, OpenMode, Space};
use crate::error::{LogError, disk_error};
use crate::mutation::{Mutation, is_planted};
use crate::room::Room;
use crate::segment::{LogOptions, fill_with_zeros, segment_name, spare_name, spare_number};

const MAKER_PANICKED: &str = "BUG: a thread panicked while it made a segment";

/// On a small file system the reserve is at most this part of it.
const RESERVE_PART: u64 = 8;

/// The spare segments of a log.
#[derive(Debug)]
pub struct SegmentPool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    ready_target: usize,
    reserve_bytes: u64,
    spares: Mutex<Spares>,
    /// Held while a segment is made, so that those who need one do not all make one.
    making: Mutex<()>,
    is_short: AtomicBool,
    /// Bytes that were free when the disk was last asked.
    free_seen: AtomicU64,
    /// Where the segment begins that is written now.
    current_base: AtomicU64,
    unprepared: AtomicU64,
}

#[derive(Debug)]
struct Spares {
    ready: VecDeque<String>,
    next_number: u64,
    room: Room,
}

impl Spares {
    /// Ready segments that no record of the queue will take.
    fn free(&self) -> usize {
        self.ready.len().saturating_sub(self.room.owed() as usize)
    }

    fn new_name(&mut self) -> String {
        self.next_number += 1;
        spare_name(self.next_number)
    }
}

impl SegmentPool {
    /// Finds the spare segments that an earlier start left; removes half-made ones and those of
    /// another size.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &LogOptions) -> Result<Self, LogError> {
        let room = Room::new(options.segment_bytes);
        let mut spares = Spares { ready: VecDeque::new(), next_number: 0, room };
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
            reserve_bytes: options.reserve_bytes,
            spares: Mutex::new(spares),
            making: Mutex::default(),
            is_short: AtomicBool::new(false),
            free_seen: AtomicU64::new(0),
            current_base: AtomicU64::new(0),
            unprepared: AtomicU64::new(0),
        })
    }

    /// Makes one spare segment if fewer than wanted are ready; returns whether it did. Blocks for as
    /// long as the disk needs to write a whole segment. After an error the log goes on with the spare
    /// segments that it has; call again when there is space.
    pub fn prepare(&self) -> Result<bool, LogError> {
        let _making = match self.making.try_lock() {
            Ok(making) => making,
            // A commit makes one for itself; the next call sees what is still wanted.
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Poisoned(_)) => panic!("{MAKER_PANICKED}"),
        };
        if self.spares().free() >= self.ready_target {
            return Ok(false);
        }
        self.make_one().map(|()| true)
    }

    /// Makes all the spare segments that are wanted, and says whether there is space for writes: all of
    /// them are ready, and the reserve is free. Until it is called again with another answer,
    /// [`SegmentPool::is_short`] says the same. What large commits have left in spare segments is given to
    /// the reserve if it needs it.
    pub fn look_for_space(&self) -> Result<(), LogError> {
        let looked = self.make_all().and_then(|()| self.free_reserve());
        let stays = is_planted(Mutation::StayShort) && self.is_short();
        self.is_short.store(looked.is_err() || stays, Ordering::Relaxed);
        looked
    }

    /// Whether the disk is too full for a turn that would begin to write now. Cheap.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Spare segments that are ready.
    pub fn ready(&self) -> usize {
        self.spares().ready.len()
    }

    /// How often a commit had to wait until its segment was made.
    pub fn unprepared(&self) -> u64 {
        self.unprepared.load(Ordering::Relaxed)
    }

    /// Room of a checkpoint's record, which becomes the next of the queue. The segment that commits
    /// leave alone is for it. `false`: it does not fit at present.
    pub fn queue_checkpoint(&self, record: &EncodedRecord) -> bool {
        let spares = &mut *self.spares();
        spares.room.queue_checkpoint(record, spares.ready.len() as u64)
    }

    /// Turns a spare segment into the one at `base`; makes one first if none is ready. Its name is
    /// durable when this returns.
    pub(crate) fn take(&self, base: u64) -> Result<Arc<dyn DiskFile>, LogError> {
        let ready = {
            let mut spares = self.spares();
            spares.room.taken();
            spares.ready.pop_front()
        };
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
        self.current_base.store(base, Ordering::Relaxed);
        Ok(file)
    }

    /// Takes back the file `name`, whose records nobody needs and which the control file has durably
    /// given up: as a spare segment, or not at all if enough are ready or it has another size.
    pub(crate) fn give(&self, name: &str, len: u64) -> Result<(), LogError> {
        let path = self.dir.join(name);
        let spare = {
            let mut spares = self.spares();
            let wanted = len == self.segment_bytes && spares.free() < self.ready_target;
            wanted.then(|| spares.new_name())
        };
        let Some(spare) = spare else {
            return self.disk.remove(&path).map_err(disk_error("removing the segment", &path));
        };
        self.disk
            .rename(&path, &self.dir.join(&spare))
            .map_err(disk_error("recycling the segment", &path))?;
        // First, while the system still has it in memory.
        self.spares().ready.push_front(spare);
        Ok(())
    }

    /// Whether whoever needs the log from `position` on holds back a segment that is full.
    pub fn holds_back(&self, position: LogPosition) -> bool {
        position.0 < self.current_base.load(Ordering::Relaxed)
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    fn make_all(&self) -> Result<(), LogError> {
        while self.prepare()? {}
        Ok(())
    }

    /// Room for `more` bytes of a commit that holds `held`, if prepared segments have it: what it holds then.
    /// If not, the number of the newest segment that was made by now.
    fn try_hold(&self, held: u64, more: u64) -> Result<u64, u64> {
        let spares = &mut *self.spares();
        let ready = spares.ready.len() as u64;
        // As many as can be needed: whoever commits beyond what is prepared.
        let is_beyond = is_planted(Mutation::CommitBeyondRoom) || is_planted(Mutation::AcknowledgeUnprepared);
        let ready = if is_beyond { u64::MAX } else { ready };
        spares.room.hold(held, more, ready).ok_or(spares.next_number)
    }

    /// As [`try_hold`](Self::try_hold), but makes the segments that it needs.
    fn hold(&self, held: u64, more: u64) -> Result<u64, LogError> {
        loop {
            let known = match self.try_hold(held, more) {
                Ok(after) => return Ok(after),
                Err(known) => known,
            };
            if self.is_short() {
                // Refused whatever the disk would say now.
                return Err(self.no_space(self.free_seen.load(Ordering::Relaxed)));
            }
            let _making = self.making();
            if self.spares().next_number == known {
                self.make_one().inspect_err(|_| {
                    // A commit that is too large for the disk says nothing of others.
                    if self.spares().free() < self.ready_target {
                        self.is_short.store(true, Ordering::Relaxed);
                    }
                })?;
            }
        }
    }

    fn free_reserve(&self) -> Result<(), LogError> {
        match self.check_space(0) {
            Err(LogError::NoSpace { .. }) => {
                self.remove_surplus()?;
                self.check_space(0)
            }
            checked => checked,
        }
    }

    /// Removes spare segments that nobody needs.
    fn remove_surplus(&self) -> Result<(), LogError> {
        loop {
            let surplus = {
                let spares = &mut *self.spares();
                let wanted = spares.room.owed() + self.ready_target as u64;
                let is_surplus = spares.ready.len() as u64 > wanted.max(spares.room.spoken_for());
                if is_surplus { spares.ready.pop_back() } else { None }
            };
            let Some(name) = surplus else { return Ok(()) };
            let path = self.dir.join(name);
            self.disk.remove(&path).map_err(disk_error("removing the segment", &path))?;
        }
    }

    /// Checks that the reserve stays free when `bytes` more are used.
    fn check_space(&self, bytes: u64) -> Result<(), LogError> {
        let space = self.space()?;
        let reserve = self.reserve_bytes.min(space.total / RESERVE_PART);
        if space.free >= reserve.saturating_add(bytes) { Ok(()) } else { Err(self.no_space(space.free)) }
    }

    fn space(&self) -> Result<Space, LogError> {
        let space = self.disk.space(&self.dir);
        let space = space.map_err(disk_error("measuring the file system of", &self.dir))?;
        self.free_seen.store(space.free, Ordering::Relaxed);
        Ok(space)
    }

    fn no_space(&self, free: u64) -> LogError {
        LogError::NoSpace { path: self.dir.clone(), free, segment: self.segment_bytes }
    }

    /// Only while [`SegmentPool::making`] is held.
    fn make_one(&self) -> Result<(), LogError> {
        self.check_space(self.segment_bytes)?;
        let name = self.spares().new_name();
        match self.make(&name) {
            Ok(()) => {}
            // Somebody else took it meanwhile.
            Err(error) if error.is_full() => return Err(self.no_space(self.space()?.free)),
            Err(error) => return Err(error),
        }
        self.spares().ready.push_back(name);
        Ok(())
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

    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().expect(MAKER_PANICKED)
    }

    fn spares(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().expect("BUG: a thread panicked while it counted spare segments")
    }
}

/// Room that one commit holds in prepared segments; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    pool: Arc<SegmentPool>,
    held: u64,
}

impl Claim {
    /// A claim to nothing yet.
    pub fn new(pool: Arc<SegmentPool>) -> Self {
        Self { pool, held: 0 }
    }

    /// Adds room for `bytes` more of WAL if prepared segments have it; says whether it did. Never waits for
    /// the disk.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let held = self.pool.try_hold(self.held, bytes);
        self.held = held.unwrap_or(self.held);
        held.is_ok()
    }

    /// Adds room for `bytes` more of WAL, and makes a segment for it if need be, which may take as long
    /// as the disk needs. An error says that there is no space; what is held stays held.
    pub fn grow(&mut self, bytes: u64) -> Result<(), LogError> {
        self.held = self.pool.hold(self.held, bytes)?;
        Ok(())
    }

    /// The commit is undone.
    pub fn give_back(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            self.pool.spares().room.give_back(held);
        }
    }

    /// The commit has its record, which becomes the next of the queue. Whoever calls must see to it that
    /// the log gets records in the order of these calls.
    pub fn queue(&mut self, record: &EncodedRecord) {
        let held = std::mem::take(&mut self.held);
        self.pool.spares().room.queue_commit(held, record);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests;
