//! Brings an object's file up to what its in-memory WAL holds.
//!
//! Nothing is synced here: the caller has the file synced elsewhere, and only then says in index and
//! log that the file is up to date (invariant 4).

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::sequence::Sequence;

use crate::database::Database;
use crate::error::{StorageError, sql_failed};

impl Database {
    /// Copies the WAL to the file and empties it. Between turns only, and only when every commit is
    /// durable in the log (invariants 2 and 11): `durable` is the newest commit that is, `committed`
    /// the newest there is. May be repeated after an error; works on a poisoned database too.
    pub fn copy_wal_to_file(&mut self, durable: Sequence, committed: Sequence) -> Result<(), StorageError> {
        assert!(
            durable >= committed || is_planted(Mutation::CheckpointBeforeDurable),
            "BUG: commit {} would reach the file, only {} is durable",
            committed.0,
            durable.0
        );
        assert!(!self.turn_open, "BUG: a checkpoint within a turn");
        assert!(!self.connection.is_busy(), "BUG: a checkpoint while a statement is active");
        self.replace_outdated()
            .map_err(sql_failed("opening an object's database after a wipe was undone"))?;
        if self.connection.frames() == 0 {
            return Ok(());
        }
        // From here on the file may hold pages of the WAL, torn after a power loss: what changes next
        // is logged whole (invariant 3), whether the copy succeeds or not.
        self.frames.forget_images(&self.connection.wal().bytes());
        match self.connection.checkpoint() {
            Err(error) if error.is_full() && is_planted(Mutation::TakeFullForCopied) => return Ok(()),
            copied => copied.map_err(sql_failed("copying an object's WAL to its file"))?,
        }
        self.frames.restart();
        Ok(())
    }
}
