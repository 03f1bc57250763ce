//! `delete-all`: makes the database an empty one, within the turn (KV-15, TX-9).
//!
//! What the turn wrote before is rolled back; then SQLite commits an empty database of one page to the WAL, and
//! the turn goes on in a transaction of its own. So a wipe is one frame, whatever the database held, and reaches
//! log and file with the turn's commit. If the turn is undone, the WAL is cut before that frame, and the next
//! connection sees what was there (invariant 12).

use durabo_changelog::mutation::{Mutation, is_planted};
use rusqlite::ffi;
use thiserror::Error;

use crate::database::Database;
use crate::sql_error::SqlError;
use crate::statement_cache::StatementCache;

/// Why nothing was removed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WipeError {
    /// A savepoint or a transaction is open, which could not be undone any more (TX-9).
    #[error("Cannot call deleteAll() within a transaction")]
    WithinTransaction,
    /// SQLite failed; the turn went with it (OG-10).
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Database {
    /// Removes everything, tables and keys, at once for what the turn does next. What the turn wrote before goes
    /// with it, and open cursors end. What leaves the object later waits for it. In a database that is empty
    /// already it changes nothing. On an error of SQLite the database is poisoned.
    pub fn delete_all(&mut self) -> Result<(), WipeError> {
        self.cost = 0;
        self.check_poison()?;
        if self.is_in_transaction() || !self.savepoints.is_empty() {
            return Err(WipeError::WithinTransaction);
        }
        let wiped = self.within_memory(Self::wipe);
        wiped.map_err(|error| {
            // Of the turn only a part is left, which must not be committed.
            if self.poison.is_none() {
                self.poison = Some(error.clone());
                self.abandon();
            }
            WipeError::Sql(self.explained(error))
        })
    }

    /// Whether the next copy of the WAL to the file cuts that, which for a large one takes a while.
    pub fn is_file_to_be_cut(&self) -> bool {
        self.frames.has_wipe()
    }

    fn wipe(&mut self) -> Result<(), SqlError> {
        if !self.turn_wrote && self.refuses_writes() {
            return Err(self.refuse_write());
        }
        self.close_cursors();
        self.cache = StatementCache::default();
        match self.turn_open {
            true => self.host_run("ROLLBACK")?,
            false => self.bound_turn(),
        }
        self.turn_open = false;
        self.forget_tables();
        if self.wiped_after.is_none() {
            self.connection.cut_uncommitted();
        }
        // A second wipe of a turn has nothing to do but to roll back to the first.
        if self.wiped_after.is_none() && !self.is_empty()? {
            self.wiped_after = Some(self.connection.frames());
            if is_planted(Mutation::WipeFileAtOnce) {
                self.connection.empty_file();
            }
            self.connection.wipe()?;
        }
        self.host_run("BEGIN")?;
        self.turn_open = true;
        self.turn_confirmed = true;
        // The name comes back with the first write that follows.
        self.turn_wrote = false;
        self.name_settled = self.options.name.is_none();
        Ok(())
    }

    /// Whether there is nothing to remove.
    fn is_empty(&mut self) -> Result<bool, SqlError> {
        let pages: i64 = self.host_query("PRAGMA page_count")?;
        Ok(pages <= 1 && self.host_query::<i64>("SELECT count(*) FROM sqlite_schema")? == 0)
    }

    /// Takes back the wipe of the turn, if it had one. Nothing may run in the connection any more, which still
    /// believes in it.
    pub(crate) fn undo_wipe(&mut self) {
        let Some(frames) = self.wiped_after.take().filter(|_| !is_planted(Mutation::KeepUndoneWipe)) else {
            return;
        };
        self.connection.cut_wal(frames);
        self.is_outdated = true;
        let text = "the turn that emptied the database was undone, and the database is opened anew";
        self.poison.get_or_insert_with(|| SqlError::sqlite(ffi::SQLITE_ABORT, text, None));
    }

    /// Replaces a connection that believes in a wipe that was undone. May be repeated after an error.
    pub(crate) fn replace_outdated(&mut self) -> Result<(), SqlError> {
        if self.is_outdated {
            // Statements go before their connection.
            self.cache = StatementCache::default();
            self.connection = self.connection.reopened()?;
            self.is_outdated = false;
        }
        Ok(())
    }
}
