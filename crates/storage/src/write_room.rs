//! Where the writes of a turn have to fit before they may be committed.
//!
//! The database asks while the turn goes on, so that a turn for which there is no space fails like one
//! on a full disk, and before anything of it is promised. `objects` answers out of the change log.

use std::fmt::Debug;

/// Room for the writes of one database.
pub trait WriteRoom: Debug + Send + Sync {
    /// Whether a turn that has not written yet may begin to.
    fn is_open(&self) -> bool;

    /// Holds room for so many bytes more of the present turn's pages; `false` if there is none. May take
    /// as long as the disk needs.
    fn hold(&self, bytes: u64) -> bool;

    /// The present turn is undone: what was held for it is free again.
    fn give_back(&self);
}
