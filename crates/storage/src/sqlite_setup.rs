//! How SQLite is set up for an object's database: settings, limits, functions, and who decides what may run.
//!
//! WAL in memory, no sync and no checkpoint of its own, exclusive; limits of SQ-24; the authorizer of guests.
//! Used by `connection` when it opens.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use durabo_model::limits::{SQL_BINDINGS_MAX, SQL_COLUMNS_MAX, SQL_STATEMENT_BYTES_MAX, SQL_VALUE_BYTES_MAX};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{OpenFlags, ffi};

use crate::authorizer::Policy;
use crate::functions;
use crate::sql_error::SqlError;
use crate::statement::last_error;
use crate::vfs::{self, VFS_NAME};

/// Statements of the host's own that stay compiled; there are fewer, so that none is compiled twice.
const HOST_STATEMENTS_MAX: usize = 48;

/// How large a database and what is cached of it may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseSize {
    /// Cached pages, in bytes.
    pub cache_bytes: usize,
    /// The database, in pages.
    pub pages_max: u32,
}

/// Opens the files known to the VFS as `path`, with everything set but who stops what runs.
pub(crate) fn open(
    path: &str,
    size: DatabaseSize,
    policy: &Arc<Policy>,
) -> Result<rusqlite::Connection, SqlError> {
    vfs::register().map_err(|code| SqlError::sqlite(code, "the VFS cannot be registered", None))?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = rusqlite::Connection::open_with_flags_and_vfs(path, flags, VFS_NAME)
        .map_err(SqlError::of_rusqlite)?;
    db.set_prepared_statement_cache_capacity(HOST_STATEMENTS_MAX);
    configure(&db, size).map_err(SqlError::of_rusqlite)?;
    restrict(&mut db, policy).map_err(SqlError::of_rusqlite)?;
    // SAFETY: the connection is open and ours.
    unsafe {
        let db = db.handle();
        functions::register(db).map_err(|_| last_error(db, 0))?;
    }
    Ok(db)
}

fn configure(db: &rusqlite::Connection, size: DatabaseSize) -> rusqlite::Result<()> {
    for (option, value) in [
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    ] {
        db.set_db_config(option, value)?;
    }
    // SAFETY: the connection is open and fresh, as the option demands; the arguments are its own.
    unsafe {
        let lookaside = ffi::SQLITE_DBCONFIG_LOOKASIDE;
        ffi::sqlite3_db_config(db.handle(), lookaside, ptr::null_mut::<c_void>(), 0 as c_int, 0 as c_int)
    };
    // Exclusive locking comes first: without shared memory there is no WAL otherwise.
    db.execute_batch(&format!(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; \
         PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{}; PRAGMA max_page_count={}",
        size.cache_bytes / 1024,
        size.pages_max
    ))
}

fn restrict(db: &mut rusqlite::Connection, policy: &Arc<Policy>) -> rusqlite::Result<()> {
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
        db.set_limit(limit, value)?;
    }
    let policy = policy.clone();
    db.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| policy.decide(&context)))
}
