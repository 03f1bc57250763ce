//! Takes back commits that never came into the change log.
//!
//! They stand in the in-memory WAL behind all that is durable, and nowhere else (invariant 2): the WAL is
//! cut there, and a new connection reads what is left (invariant 6).

use durabo_changelog::mutation::{Mutation, is_planted};

use crate::database::{Database, DatabaseOptions};
use crate::error::StorageError;
use crate::object_file::ObjectFile;

impl Database {
    /// Undoes all commits behind the first `frames` frames of the WAL, where a commit ends (see
    /// [`TurnCommit::wal_frames`](crate::turn::TurnCommit)), or which are none; gives the database of the next
    /// instance. Between turns only. This one is of no use afterwards but to call this again after an error.
    pub fn undo_commits(
        &mut self,
        frames: u32,
        file: &ObjectFile,
        options: &DatabaseOptions,
    ) -> Result<Self, StorageError> {
        let written = self.connection.frames();
        assert!(frames <= written, "BUG: the WAL has {written} frames and not {frames}");
        let frames = if is_planted(Mutation::KeepFailedFrames) { written } else { frames };
        self.connection.cut_wal(frames);
        self.frames.cut(&self.connection.wal().bytes(), frames);
        self.successor(file, options)
    }
}
