//! One object's database, as its instance uses it: one connection, the open turn, cursors, poison.
//!
//! `exec` and `turn` hold the rest of its methods. A failure that ended the turn's transaction poisons
//! the database (OG-10, SQ-32): every later call fails with the same error until it is opened anew.

use std::collections::HashMap;
use std::sync::Arc;

use durabo_model::limits::{CURSORS_KEPT_BYTES_MAX, ObjectLimits, ROWS_BATCH_BYTES_MAX};
use durabo_model::time::Timestamp;
use rusqlite::ffi;

use crate::connection::Connection;
use crate::cursor::{Cursor, Running, Taken};
use crate::error::{StorageError, sql_failed};
use crate::object_file::ObjectFile;
use crate::sql_error::SqlError;
use crate::sql_memory::MemoryScope;
use crate::sqlite_setup::DatabaseSize;
use crate::statement::Counts;
use crate::statement_cache::StatementCache;
use crate::value::Value;
use crate::wal_frames::WalFrames;
use crate::write_room::WriteRoom;

pub use crate::connection::InterruptHandle;
pub use crate::cursor::CursorId;

/// Pages that a connection caches, in bytes; dirty ones beyond it spill into the WAL.
const CACHE_BYTES: usize = 1024 * 1024;

/// Row of `_cf_METADATA` that holds the object's alarm.
pub(crate) const ALARM_ROW: i64 = 1;

/// Row of `_cf_METADATA` that holds the object's name.
pub(crate) const NAME_ROW: i64 = 2;

/// Makes the table of what the node keeps in the object's database.
pub(crate) const CREATE_METADATA: &str =
    "CREATE TABLE IF NOT EXISTS _cf_METADATA(key INTEGER PRIMARY KEY, value)";

/// Whether that table is there.
pub(crate) const HAS_METADATA: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = '_cf_METADATA'";

/// How a database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// Largest database, in pages of 4096 bytes (SQ-25).
    pub pages_max: u32,
    /// Pages of one turn, in bytes; beyond it the statement fails with SQLITE_FULL. May be passed by
    /// what the page cache holds, at most 1 MiB.
    pub transaction_bytes_max: usize,
    /// Memory that SQLite may take for what its statements do, in bytes; beyond it the statement fails
    /// with SQLITE_NOMEM and poisons the database.
    pub memory_bytes_max: usize,
    /// Name by which the object was reached; stored with its first write.
    pub name: Option<String>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        let limits = ObjectLimits::default();
        Self {
            pages_max: limits.database_pages_max,
            transaction_bytes_max: limits.transaction_bytes_max,
            memory_bytes_max: limits.sql_memory_bytes_max,
            name: None,
        }
    }
}

/// Names a transaction over waits of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionId(pub(crate) u64);

/// Names a savepoint of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavepointId(pub(crate) u64);

/// A database. Fields are dropped in order: statements go before their connection.
pub struct Database {
    pub(crate) cursors: HashMap<CursorId, Cursor>,
    pub(crate) cache: StatementCache,
    pub(crate) connection: Connection,
    pub(crate) next_cursor: u32,
    pub(crate) cost: u64,
    pub(crate) turn_open: bool,
    /// Whether the turn began to write while it might.
    pub(crate) turn_wrote: bool,
    /// Whether the turn has a write for which what leaves the object has to wait (OG-8).
    pub(crate) turn_confirmed: bool,
    /// Frames of the WAL before the wipe of the turn, if it had one.
    pub(crate) wiped_after: Option<u32>,
    /// A wipe was undone, of which the connection does not know.
    pub(crate) is_outdated: bool,
    /// Whether the table of keys and values is known to be there.
    pub(crate) has_kv_table: bool,
    /// Whether the table of metadata is known to be there.
    pub(crate) has_metadata: bool,
    /// Whether the table of named alarms is there, if that is known. It is asked for at each end of a turn that changes
    /// the alarm, and most objects have none.
    pub(crate) has_schedules: Option<bool>,
    /// When the object was to be woken at the turn's beginning, if the turn has changed the alarm.
    pub(crate) alarm_before: Option<Option<Timestamp>>,
    /// Serial number of the newest alarm.
    pub(crate) newest_alarm: u64,
    /// Parts of the turn that may be undone, the innermost last.
    pub(crate) savepoints: Vec<SavepointId>,
    pub(crate) next_savepoint: u64,
    /// Transactions over waits that are open, the innermost last; savepoints stand within that one.
    pub(crate) transactions: Vec<TransactionId>,
    pub(crate) next_transaction: u64,
    /// Set while the object's file cannot take what the WAL holds.
    pub(crate) is_closed: bool,
    pub(crate) poison: Option<SqlError>,
    /// Whether the poison is no more than that a turn's first write was refused: SQLite has met no error, and has
    /// undone the turn.
    pub(crate) is_only_refused: bool,
    pub(crate) frames: WalFrames,
    pub(crate) options: DatabaseOptions,
    /// What SQLite holds for open cursors, in bytes.
    pub(crate) memory_used: i64,
    /// Whether the name needs no storing, as far as is known.
    pub(crate) name_settled: bool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("turn_open", &self.turn_open).finish_non_exhaustive()
    }
}

impl Database {
    /// The database in `file`. SQLite opens it when it is first used, and an absent file stays absent while
    /// nothing is written. If it cannot be opened, that poisons the database.
    pub fn of(file: &ObjectFile, options: &DatabaseOptions) -> Self {
        Self::over(Connection::of(file, size_for(options)), options)
    }

    /// The database of the next instance, with a connection of its own over the same file and the same WAL, for
    /// when the file cannot take what the WAL holds. Between turns only. After an error this one is as it was.
    pub fn successor(&mut self, file: &ObjectFile, options: &DatabaseOptions) -> Result<Self, StorageError> {
        assert!(!self.turn_open, "BUG: another connection within a turn");
        let connection = self.connection.successor(file, size_for(options));
        let connection = connection.map_err(sql_failed("opening an object's database over its WAL"))?;
        let frames = std::mem::take(&mut self.frames);
        Ok(Self { frames, is_closed: self.is_closed, ..Self::over(connection, options) })
    }

    fn over(connection: Connection, options: &DatabaseOptions) -> Self {
        Self {
            cursors: HashMap::new(),
            cache: StatementCache::default(),
            connection,
            next_cursor: 0,
            cost: 0,
            turn_open: false,
            turn_wrote: false,
            turn_confirmed: false,
            wiped_after: None,
            is_outdated: false,
            has_kv_table: false,
            has_metadata: false,
            has_schedules: None,
            alarm_before: None,
            newest_alarm: 0,
            savepoints: Vec::new(),
            next_savepoint: 0,
            transactions: Vec::new(),
            next_transaction: 0,
            is_closed: false,
            poison: None,
            is_only_refused: false,
            frames: WalFrames::default(),
            name_settled: options.name.is_none(),
            options: options.clone(),
            memory_used: 0,
        }
    }

    /// Makes the database fit for the object's next instance over the same connection: cursors and compiled
    /// statements go, and so does what the connection caches. `false`: it takes a new connection, since a
    /// switch was set (SQ-34) or the database is poisoned. Between turns only.
    pub fn renew(&mut self) -> Result<bool, StorageError> {
        assert!(!self.turn_open, "BUG: another instance within a turn");
        self.cursors.clear();
        self.cache = StatementCache::default();
        self.memory_used = 0;
        self.cost = 0;
        let renewed = self.connection.renew();
        Ok(renewed.map_err(sql_failed("making a connection fit for another instance"))?
            && self.poison.is_none())
    }

    /// Gives back the pages that are cached. Between turns only.
    pub fn rest(&mut self) {
        assert!(!self.turn_open, "BUG: pages given back within a turn");
        self.connection.give_pages_back();
    }

    /// Bytes of the pages that are cached.
    pub fn cached_bytes(&mut self) -> usize {
        self.connection.cached_bytes()
    }

    /// Runs `work`, which is not the guest's, apart from what the guest has open: its cursors stay, whatever
    /// becomes of the turn that `work` begins, and neither they nor their memory count. What `work` leaves open
    /// is closed. Between turns only.
    pub fn apart<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        assert!(!self.turn_open && !self.connection.is_busy(), "BUG: foreign work within a turn");
        let cursors = std::mem::take(&mut self.cursors);
        let memory_used = std::mem::take(&mut self.memory_used);
        let result = work(self);
        let left: Vec<CursorId> = self.cursors.keys().copied().collect();
        left.into_iter().for_each(|id| self.cursor_close(id));
        self.cursors = cursors;
        self.memory_used = memory_used;
        result
    }

    /// Lets turns write only where `room` lets them. Only once for a database and its successors.
    pub fn write_within(&mut self, room: Arc<dyn WriteRoom>) {
        self.connection.wal().write_within(room);
    }

    /// Whether SQLite has it open. It takes some 50 KiB then.
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Refuses the writes of turns that have not begun to, or allows them again.
    pub fn set_closed(&mut self, is_closed: bool) {
        self.is_closed = is_closed;
    }

    /// Whether it is poisoned for lack of space, and there is none still. What hit a limit of its own
    /// does not count.
    pub fn lacked_space(&self) -> bool {
        self.poison.as_ref().is_some_and(SqlError::is_full) && self.refuses_writes()
    }

    /// Whether it is poisoned because what ran was interrupted.
    pub fn was_interrupted(&self) -> bool {
        self.poison.as_ref().is_some_and(SqlError::is_interrupt)
    }

    /// Whether a turn that has not written yet may not begin to.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.is_closed || !self.connection.wal().is_open()
    }

    /// Whether SQLite's transaction is open: something was written in the turn, or tried to be (OG-1), or a
    /// transaction over waits is open.
    pub fn is_turn_open(&self) -> bool {
        self.turn_open
    }

    /// Whether the end of the turn commits what it wrote, or tried to write.
    pub fn has_turn_to_commit(&self) -> bool {
        self.turn_open && !self.is_in_transaction()
    }

    /// Whether the turn has a write, or tried one, that what leaves the object has to wait for: any of SQL,
    /// and of keys and values those that do not say otherwise (OG-8). In a transaction over waits it has none:
    /// what waits would wait for what comes after it (TX-13).
    pub fn is_turn_confirmed(&self) -> bool {
        self.has_turn_to_commit() && self.turn_confirmed
    }

    /// Whether the end of the turn has to read rows ahead, which may take long.
    pub fn has_rows_to_read_ahead(&self) -> bool {
        self.cursors.values().any(Cursor::is_running)
    }

    /// Bytes of the in-memory WAL.
    pub fn wal_bytes(&self) -> usize {
        self.connection.wal().size() as usize
    }

    /// Memory that the WAL takes, in bytes: it grows by a block for each frame.
    pub fn wal_memory_bytes(&self) -> usize {
        self.connection.wal().bytes().memory_bytes()
    }

    /// Operations of SQLite's machine in the last `exec` or read of a cursor, or in one group of the last
    /// `exec_many`, also if it failed; says how heavy the text is to run.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Stops what the database runs, from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.interrupt_handle()
    }

    /// The error with which every call fails, if the database is poisoned.
    pub fn poisoned(&self) -> Option<&SqlError> {
        self.poison.as_ref()
    }

    /// Bytes that the database occupies, within the present turn too (SQ-26).
    pub fn database_size(&mut self) -> Result<u64, SqlError> {
        self.check_poison()?;
        let pages: i64 = self.host_query("PRAGMA page_count")?;
        let free: i64 = self.host_query("PRAGMA freelist_count")?;
        Ok((pages - free).max(0) as u64 * durabo_changelog::record::PAGE_BYTES as u64)
    }

    /// The name stored in the database, if it was ever reached by name.
    pub fn stored_name(&mut self) -> Result<Option<String>, SqlError> {
        self.check_poison()?;
        let query = format!("SELECT max(value) FROM _cf_METADATA WHERE key = {NAME_ROW}");
        let mut ask = || match self.connection.query_once(HAS_METADATA)? {
            true => self.connection.query_once(&query),
            false => Ok(None),
        };
        let name = ask();
        name.map_err(|error| self.noticed(error))
    }

    /// Up to `rows_max` further rows of a cursor, row after row, about 1 MiB at most. Empty: the end.
    pub fn cursor_next(&mut self, id: CursorId, rows_max: u32) -> Result<Vec<Value>, SqlError> {
        self.cursor_rows(id, rows_max, ROWS_BATCH_BYTES_MAX)
    }

    /// As [`cursor_next`](Self::cursor_next), packed (see [`Value::pack`]), about `bytes_max` bytes.
    pub fn cursor_next_packed(
        &mut self,
        id: CursorId,
        rows_max: u32,
        bytes_max: u32,
    ) -> Result<Vec<u8>, SqlError> {
        let rows = self.cursor_rows(id, rows_max, (bytes_max as usize).min(ROWS_BATCH_BYTES_MAX))?;
        let mut packed = Vec::new();
        rows.iter().for_each(|value| value.pack(&mut packed));
        Ok(packed)
    }

    /// Counts of a cursor so far; zero if it was closed by its owner.
    pub fn cursor_counts(&self, id: CursorId) -> Counts {
        self.cursors.get(&id).map(Cursor::counts).unwrap_or_default()
    }

    /// Drops a cursor and frees its statement.
    pub fn cursor_close(&mut self, id: CursorId) {
        if let Some(mut cursor) = self.cursors.remove(&id) {
            self.within_memory(|database| {
                let taken = cursor.close();
                database.put_back(taken.ended);
            });
        }
    }

    fn cursor_rows(&mut self, id: CursorId, rows_max: u32, bytes_max: usize) -> Result<Vec<Value>, SqlError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(|database| database.cursor_take(id, rows_max, bytes_max))
            .map_err(|error| self.explained(error))
    }

    fn cursor_take(&mut self, id: CursorId, rows_max: u32, bytes_max: usize) -> Result<Vec<Value>, SqlError> {
        let mut rows = Vec::new();
        let cursor = self.cursors.get_mut(&id).ok_or_else(SqlError::cursor_closed)?;
        let before = cursor.cost(&mut Taken::default());
        let mut taken = cursor.take(rows_max.max(1), bytes_max, &mut rows)?;
        self.cost = cursor.cost(&mut taken).saturating_sub(before);
        match self.absorb(taken) {
            Some(error) if self.poison.is_some() => Err(error),
            _ => Ok(rows),
        }
    }

    /// Bytes of rows that cursors may keep in memory on top of what they keep.
    pub(crate) fn room_for_rows(&self) -> usize {
        let kept: usize = self.cursors.values().map(Cursor::kept_bytes).sum();
        CURSORS_KEPT_BYTES_MAX.saturating_sub(kept)
    }

    /// Runs what enters SQLite for a guest, within the memory that its statements may take together.
    pub(crate) fn within_memory<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        if self.cursors.is_empty() {
            // What is left is caches, which have limits of their own.
            self.memory_used = 0;
        }
        let scope = MemoryScope::enter(self.memory_used, self.options.memory_bytes_max);
        let result = run(self);
        let (used, was_refused) = scope.leave();
        self.memory_used = used;
        if let Some(poison) = self.poison.as_mut().filter(|poison| was_refused && poison.is_out_of_memory()) {
            let text = format!(
                "the statements of the object need more than {} bytes of memory, which is the limit; sort and \
                 collect fewer rows at once",
                self.options.memory_bytes_max
            );
            *poison = SqlError::sqlite(poison.code, &text, None);
        }
        result
    }

    /// An error of a statement, in the words of the poison if that is its cause.
    pub(crate) fn explained(&self, error: SqlError) -> SqlError {
        self.poison.clone().filter(|poison| poison.code == error.code).unwrap_or(error)
    }

    /// Takes back an ended statement, and looks at the error it ended with.
    pub(crate) fn absorb(&mut self, taken: Taken) -> Option<SqlError> {
        self.put_back(taken.ended);
        taken.error.map(|error| self.noticed(error))
    }

    /// Puts a statement that was reset back into the cache.
    pub(crate) fn put_back(&mut self, running: Option<Running>) {
        if let Some(Running { statement, text: Some(text) }) = running {
            self.cache.put(text, statement);
        }
    }

    pub(crate) fn check_poison(&self) -> Result<(), SqlError> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Runs a query of the host's own; its failure counts like a guest's.
    pub(crate) fn host_query<T: rusqlite::types::FromSql>(&mut self, text: &str) -> Result<T, SqlError> {
        let result = self.connection.query(text);
        result.map_err(|error| self.noticed(error))
    }

    /// Runs a statement of the host's own; its failure counts like a guest's.
    pub(crate) fn host_run(&mut self, text: &str) -> Result<(), SqlError> {
        let result = self.connection.run(text, &[]);
        result.map_err(|error| self.noticed(error))
    }

    /// As [`host_run`](Self::host_run), for what makes a table: it is run once, and not kept compiled.
    pub(crate) fn host_make(&mut self, text: &str) -> Result<(), SqlError> {
        let result = self.connection.run_once(text, &[]);
        result.map_err(|error| self.noticed(error))
    }

    /// Looks whether an error poisons the database: if it is critical, if the database could not be opened, or if
    /// the turn's transaction went with it. The code alone does not say so (SQ-25), the autocommit flag does.
    pub(crate) fn noticed(&mut self, error: SqlError) -> SqlError {
        let is_critical = matches!(error.primary(), ffi::SQLITE_FULL | ffi::SQLITE_IOERR | ffi::SQLITE_NOMEM)
            || !self.connection.is_open();
        let has_vanished = self.turn_open && self.connection.is_autocommit();
        if (is_critical || has_vanished) && self.poison.is_none() {
            self.poison = Some(error.clone());
            self.abandon();
        }
        error
    }

    /// Gives the rest of all cursors up: reading on fails.
    pub(crate) fn close_cursors(&mut self) {
        let mut ended = Vec::new();
        for cursor in self.cursors.values_mut() {
            ended.push(cursor.close().ended);
        }
        ended.into_iter().for_each(|running| self.put_back(running));
    }

    /// Closes all cursors and rolls the turn back, if SQLite has not.
    pub(crate) fn abandon(&mut self) {
        self.close_cursors();
        if !self.connection.is_autocommit() {
            // A roll-back that fails leaves SQLite in its error state, which ends with the connection.
            if let Err(error) = self.connection.run("ROLLBACK", &[]) {
                self.is_only_refused = false;
                self.poison.get_or_insert(error);
            }
        }
        self.undo_wipe();
        self.transaction_is_over();
    }

    /// Forgets which of the host's tables are there, since they may have been made in what was undone.
    pub(crate) fn forget_tables(&mut self) {
        self.has_kv_table = false;
        self.has_metadata = false;
        self.has_schedules = None;
    }

    /// Notes that SQLite's transaction was undone, with all that was open in it.
    pub(crate) fn transaction_is_over(&mut self) {
        self.turn_open = false;
        self.turn_wrote = false;
        self.turn_confirmed = false;
        self.forget_tables();
        self.alarm_before = None;
        self.savepoints.clear();
        self.transactions.clear();
        self.connection.cut_uncommitted();
        let wal = self.connection.wal();
        wal.set_size_max(u64::MAX);
        wal.hold_from(u64::MAX);
        wal.give_back_room();
    }
}

fn size_for(options: &DatabaseOptions) -> DatabaseSize {
    DatabaseSize { cache_bytes: cache_bytes(options), pages_max: options.pages_max }
}

/// The page cache, so that what a commit adds to a transaction at its limit stays small.
pub(crate) fn cache_bytes(options: &DatabaseOptions) -> usize {
    CACHE_BYTES.min(options.transaction_bytes_max / 2).max(8 * durabo_changelog::record::PAGE_BYTES)
}
