//! The implicit transaction of a turn: begun by its first write, committed at its end (OG-1).
//!
//! The commit's pages are read out of the in-memory WAL and encoded for the change log; nothing of it
//! is on disk before the log says so. At a turn's end no statement is active (invariant 11).

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::{AlarmChange, PageEntry};
use rusqlite::ffi;

use crate::database::{CREATE_METADATA, Database, NAME_ROW, cache_bytes};
use crate::error::StorageError;
use crate::sql_error::SqlError;
use crate::wal_frames::end_of;

/// What a turn changed, for a commit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnCommit {
    /// Pages of the database after it.
    pub database_pages: u32,
    /// What became of the alarm.
    pub alarm: AlarmChange,
    /// The changed pages.
    pub pages: Vec<PageEntry>,
    /// The object's name, in its first commit if it was reached by name.
    pub name: Option<String>,
    /// Frames of the in-memory WAL up to its end. They count anew once the WAL was copied to the file.
    pub wal_frames: u32,
    /// Whether the database was emptied: nothing from before it counts.
    pub has_wiped: bool,
    /// Whether what leaves the object after it has to wait for it (OG-8).
    pub confirmed: bool,
}

impl Database {
    /// Begins the turn's transaction, if it is not open. Only for a statement that writes, or for
    /// `defer_foreign_keys`: `PRAGMA foreign_keys` has no effect inside a transaction (SQ-20).
    pub(crate) fn begin_turn(&mut self) -> Result<(), SqlError> {
        if self.turn_open {
            return Ok(());
        }
        self.bound_turn();
        self.host_run("BEGIN")?;
        self.turn_open = true;
        Ok(())
    }

    /// Refuses the turn's first write for lack of space, and undoes the turn.
    pub(crate) fn refuse_write(&mut self) -> SqlError {
        // What was spilled, or was to be, may have left SQLite in its error state.
        self.is_only_refused = self.poison.is_none() && !self.connection.wal().is_touched();
        self.noticed(SqlError::full())
    }

    /// Bounds what the turn that begins writes into the WAL, and lets it ask for room.
    pub(crate) fn bound_turn(&mut self) {
        let spill_max = self.options.transaction_bytes_max.saturating_sub(cache_bytes(&self.options));
        let (wal, end) = (self.connection.wal(), end_of(self.connection.frames()));
        wal.set_size_max(end + spill_max as u64);
        wal.hold_from(end);
    }

    /// As [`begin_turn`](Self::begin_turn), for what leaves the object later has to wait for.
    pub(crate) fn begin_confirmed_turn(&mut self) -> Result<(), SqlError> {
        self.begin_turn()?;
        self.turn_confirmed = true;
        Ok(())
    }

    /// Lets what leaves the object later wait for the turn, if it is open (OG-9). Not for a transaction over
    /// waits, which nothing may wait for while it is open (TX-13).
    pub fn confirm_turn(&mut self) {
        self.turn_confirmed |= self.has_turn_to_commit();
    }

    /// Ends the turn: settles its cursors and commits what it wrote. `None` if it changed nothing, or if a
    /// transaction over waits is open, which what it wrote belongs to. On an error the turn is undone and the
    /// instance has to be reset (OG-10, OG-11).
    pub fn end_turn(&mut self) -> Result<Option<TurnCommit>, StorageError> {
        self.settle_statements().map_err(StorageError::Poisoned)?;
        if !self.turn_open {
            return Ok(None);
        }
        self.roll_back_savepoints();
        self.check_poison().map_err(StorageError::Poisoned)?;
        assert!(!self.connection.is_busy(), "BUG: a statement is active at a turn's end");
        let is_in_transaction = self.is_in_transaction();
        if is_in_transaction && !is_planted(Mutation::CommitOpenTransaction) {
            return Ok(None);
        }
        let commit = self.commit().map_err(|error| self.commit_failed(error))?;
        if is_in_transaction {
            self.begin_turn().map_err(StorageError::Poisoned)?;
        }
        Ok(commit)
    }

    /// Runs `work`, which is not the guest's, [`apart`](Self::apart) and as a turn of its own, and ends that, unless
    /// `work` fails. If its first write is refused for lack of space before anything of it is in the WAL, the
    /// database goes on: nothing of the guest's was in that turn. Any other failure poisons as one in a guest's turn,
    /// also one for lack of space.
    pub fn turn_apart<T, E>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<(T, Result<Option<TurnCommit>, StorageError>), E> {
        let was_poisoned = self.poison.is_some();
        self.apart(|database| {
            let done = work(database)?;
            let ended = database.end_turn();
            if !was_poisoned && std::mem::take(&mut database.is_only_refused) {
                assert!(database.connection.is_autocommit(), "BUG: a refused turn is still open");
                database.poison = None;
            }
            Ok((done, ended))
        })
    }

    /// Lets no statement be active.
    pub(crate) fn settle_statements(&mut self) -> Result<(), SqlError> {
        self.check_poison()?;
        self.within_memory(Self::settle_cursors);
        self.check_poison()
    }

    /// Commits what was written. After an error SQLite's transaction may still be open.
    pub(crate) fn commit(&mut self) -> Result<Option<TurnCommit>, SqlError> {
        let name = self.store_name()?;
        let alarm = self.wake_change(self.wiped_after.is_some())?;
        // What the cache holds comes on top of the limit: it was accepted when it was written.
        self.connection.wal().set_size_max(u64::MAX);
        self.connection.run("COMMIT", &[])?;
        self.turn_open = false;
        self.turn_wrote = false;
        self.alarm_before = None;
        let confirmed = std::mem::take(&mut self.turn_confirmed);
        self.connection.wal().hold_from(u64::MAX);
        self.name_settled |= name.is_some();
        let end = self.connection.frames();
        let has_wiped = self.wiped_after.take().is_some();
        if has_wiped {
            self.frames.wipe();
        }
        // A savepoint that was rolled back may have spilled.
        self.connection.cut_uncommitted();
        let captured = self.frames.capture(&self.connection.wal().bytes(), end);
        self.connection.rest_index();
        if captured.is_none() {
            // Nothing comes into the log, so nobody else gives back what spilled pages were held for.
            self.connection.wal().give_back_room();
        }
        Ok(captured.map(|(database_pages, pages)| TurnCommit {
            database_pages,
            alarm,
            pages,
            name,
            wal_frames: end,
            has_wiped,
            confirmed,
        }))
    }

    /// Undoes the turn and closes its cursors. The connection stays, poisoned if it was.
    pub fn discard_turn(&mut self) -> Result<(), StorageError> {
        self.abandon();
        assert!(!self.connection.is_busy(), "BUG: a statement is active after a turn was discarded");
        Ok(())
    }

    fn settle_cursors(&mut self) {
        let mut settled = Vec::new();
        let mut room = self.room_for_rows();
        for cursor in self.cursors.values_mut() {
            let before = cursor.kept_bytes();
            settled.push(cursor.settle(room));
            room = room.saturating_sub(cursor.kept_bytes().saturating_sub(before));
        }
        for taken in settled {
            // The cursor keeps the error. A cut concerns the turn too: its event has no time left.
            if let Some(error) = self.absorb(taken)
                && error.is_interrupt()
            {
                self.poison.get_or_insert(error);
                self.abandon();
            }
        }
    }

    fn commit_failed(&mut self, error: SqlError) -> StorageError {
        self.poison = Some(error.clone());
        self.abandon();
        match error.primary() {
            ffi::SQLITE_CONSTRAINT => StorageError::Constraint(error),
            _ => StorageError::Poisoned(error),
        }
    }

    /// Stores the object's name within the turn, if it is not stored yet.
    fn store_name(&mut self) -> Result<Option<String>, SqlError> {
        let Some(name) = self.options.name.clone().filter(|_| !self.name_settled) else { return Ok(None) };
        if !self.turn_wrote {
            // Only a savepoint was opened, or there is no space, and nothing was changed: that needs none.
            return Ok(None);
        }
        if self.stored_name()?.is_some() {
            self.name_settled = true;
            return Ok(None);
        }
        self.host_make(CREATE_METADATA)?;
        let insert = "INSERT OR REPLACE INTO _cf_METADATA(key, value) VALUES(?1, ?2)";
        let inserted = self.connection.run_once(insert, &[&NAME_ROW, &name]);
        inserted.map_err(|error| self.noticed(error))?;
        Ok(Some(name))
    }
}
