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

    fn claim(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().expect("BUG: the claim's lock is never held over a panic")
    }
}

impl WriteRoom for ObjectRoom {
    fn is_open(&self) -> bool {
        !self.pool.is_short()
    }

    fn hold(&self, bytes: u64) -> bool {
        // It may have to make a segment first.
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
