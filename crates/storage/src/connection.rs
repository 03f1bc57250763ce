//! One SQLite connection to an object's file, set up for the change log (design §5) and for guests.
//!
//! WAL in memory, no sync and no checkpoint of its own, exclusive; limits of SQ-24; the authorizer of
//! guests. Everything that enters SQLite takes `&mut self`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use durabo_changelog::record::PAGE_BYTES;
use durabo_model::limits::{SQL_BINDINGS_MAX, SQL_COLUMNS_MAX, SQL_STATEMENT_BYTES_MAX, SQL_VALUE_BYTES_MAX};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{OpenFlags, StatementStatus, ToSql, ffi};

use crate::authorizer::Policy;
use crate::functions;
use crate::object_file::ObjectFile;
use crate::sql_error::SqlError;
use crate::statement::{Statement, last_error};
use crate::vfs::{self, VFS_NAME};
use crate::vfs_files::{FileSet, FileSetGuard, MemoryFile};
use crate::wal_frames::end_of;

/// Operations of SQLite's machine between two looks at the stop flag.
const PROGRESS_OPERATIONS: c_int = 1000;

/// How often a checkpoint is begun anew because an interrupt meant for a statement struck it.
const CHECKPOINT_ATTEMPTS: u32 = 100;

/// Statements of the host's own that stay compiled; there are fewer, so that none is compiled twice.
const HOST_STATEMENTS_MAX: usize = 48;

/// Stops what a connection runs, from any thread; harmless when it runs nothing or is closed.
#[derive(Clone)]
pub struct InterruptHandle {
    handle: Arc<rusqlite::InterruptHandle>,
    stop: Arc<AtomicBool>,
}

impl InterruptHandle {
    /// Stops the running statement and, until [`allow`](Self::allow), every later one that is not
    /// over at once. To be repeated until the event ends (SQ-33).
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.interrupt();
    }

    /// Lets statements run again.
    pub fn allow(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }
}

/// A connection. Fields are dropped in order: SQLite closes before what it points to goes.
pub(crate) struct Connection {
    db: rusqlite::Connection,
    /// Frames in the WAL after the last commit; SQLite's hook writes it.
    frames: Box<AtomicU32>,
    policy: Arc<Policy>,
    file: ObjectFile,
    wal: Arc<MemoryFile>,
    stop: Arc<AtomicBool>,
    /// A guest has set a switch.
    has_switched: bool,
    interrupts: Arc<rusqlite::InterruptHandle>,
    _files: FileSetGuard,
}

// SAFETY: through a shared reference one can only read the autocommit flag, which nothing changes
// without a `&mut`, and the fields that are `Sync` themselves.
unsafe impl Sync for Connection {}

impl Connection {
    /// Opens a connection with a cache of `cache_bytes` and a database of at most `pages_max` pages.
    pub(crate) fn open(file: &ObjectFile, cache_bytes: usize, pages_max: u32) -> Result<Self, SqlError> {
        Self::open_over(file, Arc::default(), cache_bytes, pages_max)
    }

    /// Opens a connection beside this one, over the same file and WAL, which takes this one's place.
    pub(crate) fn successor(
        &self,
        file: &ObjectFile,
        cache_bytes: usize,
        pages_max: u32,
    ) -> Result<Self, SqlError> {
        let mut next = Self::open_over(file, self.wal.clone(), cache_bytes, pages_max)?;
        // Reads the WAL anew: SQLite must find in it what this connection has committed.
        next.query::<i64>("SELECT count(*) FROM sqlite_schema")?;
        next.frames.store(self.frames(), Ordering::Relaxed);
        Ok(next)
    }

    /// As [`successor`](Self::successor), over the file that this one has.
    pub(crate) fn reopened(&self, cache_bytes: usize, pages_max: u32) -> Result<Self, SqlError> {
        self.successor(&self.file, cache_bytes, pages_max)
    }

    fn open_over(
        file: &ObjectFile,
        wal: Arc<MemoryFile>,
        cache_bytes: usize,
        pages_max: u32,
    ) -> Result<Self, SqlError> {
        vfs::register().map_err(|code| SqlError::sqlite(code, "the VFS cannot be registered", None))?;
        let journal = Arc::default();
        let files = FileSetGuard::new(FileSet::Object { file: file.clone(), wal: wal.clone(), journal });
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = rusqlite::Connection::open_with_flags_and_vfs(files.path(), flags, VFS_NAME)
            .map_err(converted)?;
        db.set_prepared_statement_cache_capacity(HOST_STATEMENTS_MAX);
        let interrupts = Arc::new(db.get_interrupt_handle());
        let mut connection = Self {
            db,
            frames: Box::default(),
            policy: Arc::default(),
            file: file.clone(),
            wal,
            stop: Arc::default(),
            has_switched: false,
            interrupts,
            _files: files,
        };
        connection.configure(cache_bytes, pages_max).map_err(converted)?;
        connection.restrict().map_err(converted)?;
        connection.attach()?;
        Ok(connection)
    }

    fn configure(&mut self, cache_bytes: usize, pages_max: u32) -> rusqlite::Result<()> {
        for (option, value) in [
            (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        ] {
            self.db.set_db_config(option, value)?;
        }
        // SAFETY: the connection is open and fresh, as the option demands; the arguments are its own.
        unsafe {
            let lookaside = ffi::SQLITE_DBCONFIG_LOOKASIDE;
            ffi::sqlite3_db_config(
                self.db.handle(),
                lookaside,
                ptr::null_mut::<c_void>(),
                0 as c_int,
                0 as c_int,
            )
        };
        // Exclusive locking comes first: without shared memory there is no WAL otherwise.
        self.db.execute_batch(&format!(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; \
             PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{}; PRAGMA max_page_count={pages_max}",
            cache_bytes / 1024
        ))
    }

    fn restrict(&mut self) -> rusqlite::Result<()> {
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, SQL_VALUE_BYTES_MAX as i32),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_STATEMENT_BYTES_MAX as i32),
            (Limit::SQLITE_LIMIT_COLUMN, SQL_COLUMNS_MAX as i32),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, SQL_BINDINGS_MAX as i32),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
            (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            self.db.set_limit(limit, value)?;
        }
        let policy = self.policy.clone();
        self.db.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| policy.decide(&context)))?;
        self.look_for_stops()
    }

    fn look_for_stops(&mut self) -> rusqlite::Result<()> {
        let stop = self.stop.clone();
        self.db.progress_handler(PROGRESS_OPERATIONS, Some(move || stop.load(Ordering::Relaxed)))
    }

    /// Makes it as good as new for another instance, unless a switch was set, which only a new connection
    /// forgets (SQ-34); then says so. The caches are given back, and handles that interrupted the instance
    /// before stop nothing more.
    pub(crate) fn renew(&mut self) -> Result<bool, SqlError> {
        if self.has_switched {
            return Ok(false);
        }
        self.stop = Arc::default();
        self.look_for_stops().map_err(converted)?;
        self.db.flush_prepared_statement_cache();
        // SAFETY: the connection is open and ours.
        unsafe {
            let db = self.db.handle();
            ffi::sqlite3_set_last_insert_rowid(db, 0);
            // What it returns is always success.
            ffi::sqlite3_db_release_memory(db);
        }
        Ok(true)
    }

    fn attach(&mut self) -> Result<(), SqlError> {
        // SAFETY: the connection is open and ours; `frames` is boxed and outlives it.
        unsafe {
            let db = self.db.handle();
            let frames = (&raw const *self.frames).cast_mut().cast();
            ffi::sqlite3_wal_hook(db, Some(count_frames), frames);
            functions::register(db).map_err(|_| last_error(db, 0))
        }
    }

    /// Whether no transaction is open.
    pub(crate) fn is_autocommit(&self) -> bool {
        // SAFETY: the connection is open; the call reads a flag that only a `&mut self` call changes.
        unsafe { ffi::sqlite3_get_autocommit(self.db.handle()) != 0 }
    }

    /// Whether a statement of somebody's text is in the midst of its run. Virtual tables keep handles of
    /// their own open (the R-Tree its blob), which have no text and read nothing between calls.
    pub(crate) fn is_busy(&mut self) -> bool {
        // SAFETY: the connection and the statements it lists are live.
        unsafe {
            let db = self.db.handle();
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
        // SAFETY: the connection is open and ours.
        unsafe { ffi::sqlite3_total_changes64(self.db.handle()) as u64 }
    }

    /// Prepares a guest's statement; see [`Statement::prepare`].
    pub(crate) fn prepare(
        &mut self,
        text: &str,
        offset_base: usize,
    ) -> Result<Option<(Statement, usize)>, SqlError> {
        self.policy.take_seen();
        self.policy.take_refused_pragma();
        // SAFETY: the connection is open and ours.
        let prepared = unsafe { Statement::prepare(self.db.handle(), text, offset_base) };
        let seen = self.policy.take_seen();
        self.has_switched |= seen.switch();
        match prepared {
            Ok(Some((mut statement, used))) => {
                statement.seen = seen;
                Ok(Some((statement, used)))
            }
            Ok(None) => Ok(None),
            Err(error) if seen.transaction() && error.primary() == ffi::SQLITE_AUTH => {
                Err(SqlError::transaction_statement())
            }
            Err(error) if error.primary() == ffi::SQLITE_AUTH => {
                let pragma = self.policy.take_refused_pragma();
                Err(pragma.map_or(error, |name| SqlError::refused_pragma(&name)))
            }
            Err(error) => Err(error),
        }
    }

    /// Runs one of the host's own statements, cached.
    pub(crate) fn run(&mut self, text: &str, bindings: &[&dyn ToSql]) -> Result<(), SqlError> {
        self.as_host(|db| db.prepare_cached(text)?.execute(bindings).map(drop))
    }

    /// Runs one of the host's own queries, cached, and gives the first column of its only row.
    pub(crate) fn query<T: rusqlite::types::FromSql>(&mut self, text: &str) -> Result<T, SqlError> {
        self.as_host(|db| db.prepare_cached(text)?.query_row([], |row| row.get(0)))
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
        self.policy.set_host(true);
        let result = run(&self.db);
        self.policy.set_host(false);
        result.map_err(converted)
    }

    /// Makes the database an empty one, by a transaction of its own that is one frame of the WAL whatever the
    /// database held. No transaction may be open. SQLite tells of the frame at the next commit.
    pub(crate) fn wipe(&mut self) -> Result<(), SqlError> {
        let empty = rusqlite::Connection::open_in_memory().map_err(converted)?;
        // SAFETY: both connections are open and ours, and outlive the backup, which ends here.
        let code = unsafe {
            let db = self.db.handle();
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
        // SAFETY: the connection is open and ours.
        let result = unsafe {
            let db = self.db.handle();
            match ffi::sqlite3_wal_checkpoint_v2(db, c"main".as_ptr(), mode, ptr::null_mut(), ptr::null_mut())
            {
                ffi::SQLITE_OK => Ok(()),
                _ => Err(last_error(db, 0)),
            }
        };
        if result.is_ok() {
            self.frames.store(0, Ordering::Relaxed);
        }
        result
    }

    /// Frames in the WAL after the last commit.
    pub(crate) fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes that the page cache takes.
    #[cfg(test)]
    pub(crate) fn cache_bytes_used(&mut self) -> usize {
        let (mut used, mut unused) = (0, 0);
        // SAFETY: the connection is open and ours; SQLite writes both numbers.
        unsafe {
            ffi::sqlite3_db_status(
                self.db.handle(),
                ffi::SQLITE_DBSTATUS_CACHE_USED,
                &mut used,
                &mut unused,
                0,
            );
        }
        used as usize
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

/// An error of rusqlite, in our form.
pub(crate) fn converted(error: rusqlite::Error) -> SqlError {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            let message = message.unwrap_or_else(|| code.to_string());
            SqlError::sqlite(code.extended_code, &message, None)
        }
        other => SqlError::sqlite(ffi::SQLITE_ERROR, &other.to_string(), None),
    }
}
