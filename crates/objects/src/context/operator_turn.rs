//! What an operator changes in an object: a turn of its own between two turns of the guest.
//!
//! The guest has nothing in such a turn. So if its first write is refused for lack of space, only the operator is
//! told, and the instance and whatever it has under way go on. One that fails in its midst resets the object, as any
//! failure of the storage does.

use durabo_model::failure::Failure;
use durabo_storage::database::Database;

use super::ObjectContext;
use crate::blocking::blocking;

impl ObjectContext {
    /// Runs `work` as such a turn, and commits it. May wait for the disk. The outer failure is one for which the
    /// object must be reset.
    pub(super) fn operator_turn<T>(
        &mut self,
        work: impl FnOnce(&mut Database) -> Result<T, Failure>,
    ) -> Result<Result<T, Failure>, Failure> {
        debug_assert!(!self.is_turn_open(), "BUG: what an operator asks for within a guest's turn");
        let (database, gate) = (&mut self.database, &self.gate);
        let ran = blocking(|| {
            database.turn_apart(|database| {
                let done = work(database);
                // Behind a broken gate nothing more is committed (invariant 6).
                let commits = database.has_turn_to_commit();
                let durable = if commits { Some(gate.durable_unless_broken()?) } else { None };
                Ok((done, durable))
            })
        });
        self.count_wal();
        let ((done, durable), ended) = ran?;
        match ended {
            Ok(Some(commit)) => self.push_commit(commit, durable.unwrap_or_default())?,
            Ok(None) if durable.is_some() => self.gate.turn_without_commit(self.history.sequence()),
            Ok(None) => {}
            Err(error) => {
                let failure = self.storage_failed(error);
                if self.database.poisoned().is_some() {
                    return Err(failure);
                }
                // What `work` says of it comes first: it knows what was asked for.
                return Ok(done.and(Err(failure)));
            }
        }
        Ok(done)
    }
}
