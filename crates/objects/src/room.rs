//! Room of one object's turn in the change log, as its database asks for it.
//!
//! What a turn writes is held in prepared segments while it commits, so that no record comes into the
//! queue for which there is no space. `committer` turns what is held into the record's place.

use std::sync::{Arc, Mutex, MutexGuard};

use durabo_changelog::codec::EncodedRecord;
use durabo_changelog::segment_pool::{Claim, SegmentPool};
use durabo_storage::write_room::WriteRoom;
use tracing::debug;

use crate::blocking::blocking;

/// The room of one object.
#[derive(Debug)]
pub struct ObjectRoom {
    pool: Arc<SegmentPool>,
    claim: Mutex<Claim>,
}

impl ObjectRoom {
    /// Nothing is held yet.
    pub fn new(pool: Arc<SegmentPool>) -> Self {
        Self { claim: Mutex::new(Claim::new(pool.clone())), pool }
    }

    /// The turn has its record, which becomes the next of the queue.
    pub(crate) fn queue(&self, record: &EncodedRecord) {
        self.claim().queue(record);
    }

    /// Gives away what the turn holds.
    pub(crate) fn take_claim(&self) -> Claim {
        std::mem::replace(&mut *self.claim(), Claim::new(self.pool.clone()))
    }

    fn claim(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().expect("BUG: the claim's lock is never held over a panic")
    }
}

impl WriteRoom for ObjectRoom {
    fn is_open(&self) -> bool {
        !self.pool.is_short()
    }

    fn hold(&self, bytes: u64) -> bool {
        if self.claim().try_grow(bytes) {
            return true;
        }
        // A segment has to be made first.
        let held = blocking(|| self.claim().grow(bytes));
        if let Err(error) = &held {
            // Upkeep tells the operator, and not once for each turn.
            debug!(%error, bytes, "no room for a commit");
        }
        held.is_ok()
    }

    fn give_back(&self) {
        self.claim().give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use durabo_changelog::disk::Disk;
    use durabo_changelog::segment::LogOptions;
    use durabo_changelog::simulated_disk::SimulatedDisk;
    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::*;

    fn room(disk: &SimulatedDisk) -> ObjectRoom {
        disk.create_dir_all(Path::new("/log")).expect("folder");
        let options = LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() };
        let pool = SegmentPool::open(Arc::new(disk.clone()), Path::new("/log"), &options).expect("pool");
        ObjectRoom::new(Arc::new(pool))
    }

    /// Runs `hold` where handing the thread's other tasks over panics.
    fn hold_without_handing_over(room: &ObjectRoom) -> bool {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async { room.hold(4120) })
    }

    #[test]
    fn a_commit_that_finds_room_does_not_hand_its_thread_over() {
        let room = room(&SimulatedDisk::new(1));
        room.pool.look_for_space().expect("space");
        assert!(hold_without_handing_over(&room));
    }

    #[test]
    #[should_panic(expected = "can call blocking only")]
    fn a_commit_that_needs_a_segment_first_hands_its_thread_over() {
        hold_without_handing_over(&room(&SimulatedDisk::new(1)));
    }
}
