//! One SQLite connection to an object's file, opened when it is first needed.
//!
//! An object that uses no database has none open: SQLite takes some 50 KiB for each. Everything that enters
//! SQLite takes `&mut self` and opens it. What fails to open fails the call; the database is poisoned by that
//! as by a broken disk. How it is set up: `sqlite_setup`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use durabo_changelog::record::PAGE_BYTES;
use rusqlite::{StatementStatus, ToSql, ffi};

use crate::authorizer::Policy;
use crate::index_blocks::{IndexBlock, taken_by};
use crate::object_file::ObjectFile;
use crate::sql_error::SqlError;
use crate::sql_memory::uncounted;
use crate::sqlite_setup::{self, DatabaseSize};
use crate::statement::{Statement, last_error};
use crate::vfs_files::{FileSet, FileSetGuard, MemoryFile};
use crate::wal_frames::end_of;

/// Operations of SQLite's machine between two looks at the stop flag.
const PROGRESS_OPERATIONS: c_int = 1000;

/// How often a checkpoint is begun anew because an interrupt meant for a statement struck it.
const CHECKPOINT_ATTEMPTS: u32 = 100;

/// Stops what a connection runs, from any thread; harmless when it runs nothing, or is closed or not open yet.
#[derive(Clone)]
pub struct InterruptHandle {
    handle: Arc<OnceLock<rusqlite::InterruptHandle>>,
    stop: Arc<AtomicBool>,
}

impl InterruptHandle {
    /// Stops the running statement and, until [`allow`](Self::allow), every later one that is not
    /// over at once. To be repeated until the event ends (SQ-33).
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(handle) = self.handle.get() {
            handle.interrupt();
        }
    }

    /// Lets statements run again.
    pub fn allow(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }
}

/// SQLite's part. Fields are dropped in order: it closes before its files go.
struct Opened {
    db: rusqlite::Connection,
    /// The index of its WAL.
    index: Option<IndexBlock>,
    /// Nothing has filled the index since its pages of zeros went back.
    index_rests: bool,
    _files: FileSetGuard,
}

/// A connection. Fields are dropped in order: SQLite closes before what it points to goes.
pub(crate) struct Connection {
    opened: Option<Opened>,
    /// Frames in the WAL after the last commit; SQLite's hook writes it.
    frames: Box<AtomicU32>,
    policy: Arc<Policy>,
    file: ObjectFile,
    wal: Arc<MemoryFile>,
    size: DatabaseSize,
    stop: Arc<AtomicBool>,
    /// A guest has set a switch.
    has_switched: bool,
    interrupts: Arc<OnceLock<rusqlite::InterruptHandle>>,
}

// SAFETY: through a shared reference one can only read the autocommit flag, which nothing changes
// without a `&mut`, and the fields that are `Sync` themselves.
unsafe impl Sync for Connection {}

impl Connection {
    /// A connection to `file`. Nothing is opened and nothing can fail yet.
    pub(crate) fn of(file: &ObjectFile, size: DatabaseSize) -> Self {
        Self::over(file, Arc::default(), size)
    }

    fn over(file: &ObjectFile, wal: Arc<MemoryFile>, size: DatabaseSize) -> Self {
        Self {
            opened: None,
            frames: Box::default(),
            policy: Arc::default(),
            file: file.clone(),
            wal,
            size,
            stop: Arc::default(),
            has_switched: false,
            interrupts: Arc::default(),
        }
    }

    /// A connection beside this one, over the same file and WAL, which takes this one's place.
    pub(crate) fn successor(&self, file: &ObjectFile, size: DatabaseSize) -> Result<Self, SqlError> {
        let mut next = Self::over(file, self.wal.clone(), size);
        if self.is_open() {
            // Reads the WAL anew: SQLite must find in it what this connection has committed.
            next.query::<i64>("SELECT count(*) FROM sqlite_schema")?;
            next.frames.store(self.frames(), Ordering::Relaxed);
        }
        Ok(next)
    }

    /// As [`successor`](Self::successor), over the file that this one has.
    pub(crate) fn reopened(&self) -> Result<Self, SqlError> {
        self.successor(&self.file, self.size)
    }

    /// Whether SQLite is open.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// SQLite, which is opened if it is not yet.
    fn db(&mut self) -> Result<&mut rusqlite::Connection, SqlError> {
        if self.opened.is_none() {
            // Not the statement's memory: what is opened stays when that has ended.
            let opened = uncounted(|| self.open()).map_err(|mut error| {
                error.message.insert_str(0, "opening the object's database: ");
                error
            })?;
            self.opened = Some(opened);
        }
        Ok(&mut self.opened.as_mut().expect("BUG: opened above").db)
    }

    fn open(&self) -> Result<Opened, SqlError> {
        let (file, wal, journal) = (self.file.clone(), self.wal.clone(), Arc::default());
        let files = FileSetGuard::new(FileSet::Object { file, wal, journal });
        let (db, index) = taken_by(|| sqlite_setup::open(&files.path(), self.size, &self.policy));
        let mut db = db?;
        look_for_stops(&mut db, &self.stop)?;
        // SAFETY: the connection is open and ours; `frames` is boxed and outlives it.
        unsafe {
            let frames = (&raw const *self.frames).cast_mut().cast();
            ffi::sqlite3_wal_hook(db.handle(), Some(count_frames), frames);
        }
        self.interrupts.get_or_init(|| db.get_interrupt_handle());
        index.into_iter().for_each(IndexBlock::rest);
        Ok(Opened { db, index, index_rests: false, _files: files })
    }

    /// Makes it as good as new for another instance, unless a switch was set, which only a new connection
    /// forgets (SQ-34); then says so. The caches are given back, and handles that interrupted the instance
    /// before stop nothing more.
    pub(crate) fn renew(&mut self) -> Result<bool, SqlError> {
        if self.has_switched {
            return Ok(false);
        }
        self.stop = Arc::default();
        let Some(Opened { db, .. }) = &mut self.opened else { return Ok(true) };
        look_for_stops(db, &self.stop)?;
        db.flush_prepared_statement_cache();
        // SAFETY: the connection is open and ours.
        unsafe { ffi::sqlite3_set_last_insert_rowid(db.handle(), 0) };
        self.give_pages_back();
        Ok(true)
    }

    /// Gives back the pages that nothing uses at present, as far as they are not written.
    pub(crate) fn give_pages_back(&mut self) {
        let Some(Opened { db, .. }) = &mut self.opened else { return };
        // SAFETY: the connection is open and ours; what the call returns is always success.
        unsafe { ffi::sqlite3_db_release_memory(db.handle()) };
    }

    /// Whether no transaction is open.
    pub(crate) fn is_autocommit(&self) -> bool {
        let Some(Opened { db, .. }) = &self.opened else { return true };
        // SAFETY: the connection is open; the call reads a flag that only a `&mut self` call changes.
        unsafe { ffi::sqlite3_get_autocommit(db.handle()) != 0 }
    }

    /// Whether a statement of somebody's text is in the midst of its run. Virtual tables keep handles of
    /// their own open (the R-Tree its blob), which have no text and read nothing between calls.
    pub(crate) fn is_busy(&mut self) -> bool {
        let Some(Opened { db, .. }) = &mut self.opened else { return false };
        // SAFETY: the connection and the statements it lists are live.
        unsafe {
            let db = db.handle();
            let mut statement = ffi::sqlite3_next_stmt(db, ptr::null_mut());
            while !statement.is_null() {
                if ffi::sqlite3_stmt_busy(statement) != 0 && !ffi::sqlite3_sql(statement).is_null() {
                    return true;
                }
                statement = ffi::sqlite3_next_stmt(db, statement);
            }
            false
        }
    }

    /// Rows changed since the connection was opened.
    pub(crate) fn total_changes(&mut self) -> u64 {
        let Some(Opened { db, .. }) = &mut self.opened else { return 0 };
        // SAFETY: the connection is open and ours.
        unsafe { ffi::sqlite3_total_changes64(db.handle()) as u64 }
    }

    /// Prepares a guest's statement; see [`Statement::prepare`].
    pub(crate) fn prepare(
        &mut self,
        text: &str,
        offset_base: usize,
    ) -> Result<Option<(Statement, usize)>, SqlError> {
        // SAFETY: the connection is open and ours.
        let db = unsafe { self.db()?.handle() };
        self.policy.take_seen();
        self.policy.take_refused_pragma();
        // SAFETY: as above.
        let prepared = unsafe { Statement::prepare(db, text, offset_base) };
        let seen = self.policy.take_seen();
        self.has_switched |= seen.switch();
        match prepared {
            Ok(Some((mut statement, used))) => {
                statement.seen = seen;
                statement.may_name_hosts = seen.may_name_hosts(&text[..used]);
                Ok(Some((statement, used)))
            }
            Ok(None) => Ok(None),
            Err(error) if seen.transaction() && error.primary() == ffi::SQLITE_AUTH => {
                Err(SqlError::transaction_statement())
            }
            Err(error) if error.primary() == ffi::SQLITE_AUTH => {
                let pragma = self.policy.take_refused_pragma();
                Err(match pragma {
                    Some(name) if self.policy.refuses_pragmas() => SqlError::pragma_for_groups(&name),
                    Some(name) => SqlError::refused_pragma(&name),
                    None => error,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// As [`prepare`](Self::prepare) of the first statement of a query, which must not be a PRAGMA: those take
    /// effect while they are prepared.
    pub(crate) fn prepare_but_pragmas(&mut self, text: &str) -> Result<Option<(Statement, usize)>, SqlError> {
        let policy = self.policy.clone();
        policy.set_refuses_pragmas(true);
        let prepared = self.prepare(text, 0);
        policy.set_refuses_pragmas(false);
        prepared
    }

    /// Whether what runs has to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs one of the host's own statements, cached.
    pub(crate) fn run(&mut self, text: &str, bindings: &[&dyn ToSql]) -> Result<(), SqlError> {
        self.as_host(|db| db.prepare_cached(text)?.execute(bindings).map(drop))
    }

    /// Runs one of the host's own statements that is hardly ever run twice, and keeps nothing of it.
    pub(crate) fn run_once(&mut self, text: &str, bindings: &[&dyn ToSql]) -> Result<(), SqlError> {
        self.as_host(|db| db.prepare(text)?.execute(bindings).map(drop))
    }

    /// Runs one of the host's own queries, cached, and gives the first column of its only row.
    pub(crate) fn query<T: rusqlite::types::FromSql>(&mut self, text: &str) -> Result<T, SqlError> {
        self.as_host(|db| db.prepare_cached(text)?.query_row([], |row| row.get(0)))
    }

    /// As [`query`](Self::query), for what is hardly ever asked twice.
    pub(crate) fn query_once<T: rusqlite::types::FromSql>(&mut self, text: &str) -> Result<T, SqlError> {
        self.as_host(|db| db.query_row(text, [], |row| row.get(0)))
    }

    /// Runs `work` with one of the host's own statements, cached.
    pub(crate) fn with_cached<T>(
        &mut self,
        text: &str,
        work: impl FnOnce(&mut rusqlite::Statement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        self.as_host(|db| work(&mut *db.prepare_cached(text)?))
    }

    /// As [`with_cached`](Self::with_cached); also gives the operations of SQLite's machine that it took.
    pub(crate) fn with_cached_and_cost<T>(
        &mut self,
        text: &str,
        work: impl FnOnce(&mut rusqlite::Statement<'_>) -> rusqlite::Result<T>,
    ) -> (Result<T, SqlError>, u64) {
        let mut cost = 0;
        let result = self.with_cached(text, |statement| {
            statement.reset_status(StatementStatus::VmStep);
            let result = work(statement);
            cost = u64::from(statement.get_status(StatementStatus::VmStep).unsigned_abs());
            result
        });
        (result, cost)
    }

    fn as_host<T>(
        &mut self,
        run: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        let policy = self.policy.clone();
        let db = self.db()?;
        policy.set_host(true);
        let result = run(db);
        policy.set_host(false);
        result.map_err(SqlError::of_rusqlite)
    }

    /// Makes the database an empty one, by a transaction of its own that is one frame of the WAL whatever the
    /// database held. No transaction may be open. SQLite tells of the frame at the next commit.
    pub(crate) fn wipe(&mut self) -> Result<(), SqlError> {
        let empty = rusqlite::Connection::open_in_memory().map_err(SqlError::of_rusqlite)?;
        let db = self.db()?;
        // SAFETY: both connections are open and ours, and outlive the backup, which ends here.
        let code = unsafe {
            let db = db.handle();
            let backup = ffi::sqlite3_backup_init(db, c"main".as_ptr(), empty.handle(), c"main".as_ptr());
            if backup.is_null() {
                return Err(last_error(db, 0));
            }
            let code = ffi::sqlite3_backup_step(backup, -1);
            ffi::sqlite3_backup_finish(backup);
            code
        };
        match code {
            ffi::SQLITE_DONE => Ok(()),
            code => Err(SqlError::sqlite(code, "the database cannot be emptied", None)),
        }
    }

    /// Empties the file ahead of everything; only while a fault is planted.
    pub(crate) fn empty_file(&self) {
        drop(self.file.set_size(PAGE_BYTES as u64));
    }

    /// Copies the WAL to the file and empties it.
    pub(crate) fn checkpoint(&mut self) -> Result<(), SqlError> {
        for _ in 0..CHECKPOINT_ATTEMPTS {
            // An interrupt that came after its statement had ended would strike here; the next
            // statement clears it.
            self.query::<i64>("SELECT 1")?;
            match self.try_checkpoint() {
                Err(error) if error.primary() == ffi::SQLITE_INTERRUPT => {}
                result => return result,
            }
        }
        self.try_checkpoint()
    }

    fn try_checkpoint(&mut self) -> Result<(), SqlError> {
        let mode = ffi::SQLITE_CHECKPOINT_TRUNCATE;
        let db = self.db()?;
        // SAFETY: the connection is open and ours.
        let result = unsafe {
            let db = db.handle();
            match ffi::sqlite3_wal_checkpoint_v2(db, c"main".as_ptr(), mode, ptr::null_mut(), ptr::null_mut())
            {
                ffi::SQLITE_OK => Ok(()),
                _ => Err(last_error(db, 0)),
            }
        };
        if result.is_ok() {
            self.frames.store(0, Ordering::Relaxed);
            if let Some(opened) = &mut self.opened {
                opened.index_rests = false;
            }
        }
        result
    }

    /// Gives back what the index of a small WAL does not need, once. SQLite fills it anew with the first frame after
    /// a checkpoint.
    pub(crate) fn rest_index(&mut self) {
        let Some(opened) = &mut self.opened else { return };
        if !std::mem::replace(&mut opened.index_rests, true) {
            opened.index.into_iter().for_each(IndexBlock::rest);
        }
    }

    /// Frames in the WAL after the last commit.
    pub(crate) fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes that the page cache takes.
    pub(crate) fn cached_bytes(&mut self) -> usize {
        let Some(Opened { db, .. }) = &mut self.opened else { return 0 };
        let (mut used, mut unused) = (0, 0);
        // SAFETY: the connection is open and ours; SQLite writes both numbers.
        unsafe {
            let cache = ffi::SQLITE_DBSTATUS_CACHE_USED;
            ffi::sqlite3_db_status(db.handle(), cache, &mut used, &mut unused, 0);
        }
        used as usize
    }

    /// Pages of the WAL's index that are in memory.
    #[cfg(test)]
    pub(crate) fn index_pages(&self) -> usize {
        self.opened.as_ref().and_then(|opened| opened.index).expect("an index").resident()
    }

    /// Calls `hook` behind each row that is written, within the statement that writes it.
    #[cfg(test)]
    pub(crate) fn on_each_row(&mut self, mut hook: impl FnMut() + Send + 'static) {
        let db = self.db().expect("it opens");
        db.update_hook(Some(move |_, _: &str, _: &str, _| hook())).expect("the connection is ours");
    }

    /// Cuts the WAL behind its last commit. What stands there was spilled and undone: SQLite neither reads it nor gives
    /// it back, and writes over it with the next frames. No transaction may be open.
    pub(crate) fn cut_uncommitted(&self) {
        let end = match self.frames() {
            // SQLite writes the header anew with the first frame.
            0 => 0,
            frames => end_of(frames),
        };
        if self.wal.size() > end {
            self.wal.set_size(end);
        }
    }

    /// Cuts the WAL behind so many frames. SQLite still believes in the rest: only a successor may go on.
    pub(crate) fn cut_wal(&mut self, frames: u32) {
        self.wal.set_size(end_of(frames));
        self.frames.store(frames, Ordering::Relaxed);
    }

    /// The WAL.
    pub(crate) fn wal(&self) -> &MemoryFile {
        &self.wal
    }

    pub(crate) fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle { handle: self.interrupts.clone(), stop: self.stop.clone() }
    }
}

unsafe extern "C" fn count_frames(
    frames: *mut c_void,
    _db: *mut ffi::sqlite3,
    _name: *const c_char,
    count: c_int,
) -> c_int {
    // SAFETY: the pointer given in `attach`.
    unsafe { &*frames.cast::<AtomicU32>() }.store(count as u32, Ordering::Relaxed);
    ffi::SQLITE_OK
}

fn look_for_stops(db: &mut rusqlite::Connection, stop: &Arc<AtomicBool>) -> Result<(), SqlError> {
    let stop = stop.clone();
    let asked = db.progress_handler(PROGRESS_OPERATIONS, Some(move || stop.load(Ordering::Relaxed)));
    asked.map_err(SqlError::of_rusqlite)
}
