//! One prepared statement, owned apart from its connection, so that a cursor can hold it.
//!
//! A `Statement` must be dropped before its connection closes, and be used by whoever uses the
//! connection: `Database` owns both and keeps that order.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use rusqlite::ffi;

use crate::authorizer::Seen;
use crate::sql_error::{SqlError, WRONG_BINDINGS};
use crate::value::Value;

/// Cost of a statement so far (SQ-15). For accounting; how `rows_read` differs from the original is in
/// `docs/reference/sql.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows visited by full scans, or returned, whichever is more.
    pub rows_read: u64,
    /// Rows inserted, updated or deleted, by triggers too.
    pub rows_written: u64,
}

/// What one run of a writing statement took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunCounters {
    /// Operations of SQLite's machine.
    pub(crate) steps: u64,
    scan_steps: u64,
}

impl RunCounters {
    /// Rows that it read (SQ-15).
    pub(crate) fn rows_read(self) -> u64 {
        rows_read(self.scan_steps, 0)
    }
}

/// Rows read by so many steps of full scans, of which `returned` were returned: a scan that went on k times has
/// seen k + 1 rows.
fn rows_read(scan_steps: u64, returned: u64) -> u64 {
    match scan_steps {
        0 => returned,
        steps => returned.max(steps + 1),
    }
}

/// A prepared statement.
#[derive(Debug)]
pub(crate) struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
    /// What the authorizer noticed while it was compiled.
    pub(crate) seen: Seen,
    /// It may name what is the host's, where SQLite does not ask.
    pub(crate) may_name_hosts: bool,
}

// SAFETY: SQLite lets a statement be used from any one thread at a time; every method that enters
// SQLite takes `&mut self`, and the owner of the connection owns the statement too.
unsafe impl Send for Statement {}
// SAFETY: as above; nothing can be done through a shared reference.
unsafe impl Sync for Statement {}

/// Reads the last error of a connection.
///
/// # Safety
/// `db` must be an open connection that no other thread uses.
pub(crate) unsafe fn last_error(db: *mut ffi::sqlite3, offset_base: usize) -> SqlError {
    // SAFETY: the caller's promise; the message is copied before the next call.
    unsafe {
        let code = ffi::sqlite3_extended_errcode(db);
        let message = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy();
        let offset = u32::try_from(ffi::sqlite3_error_offset(db)).ok();
        SqlError::sqlite(code, &message, offset.map(|offset| offset + offset_base as u32))
    }
}

impl Statement {
    /// Prepares the first statement of `text`; also gives the bytes of `text` that it took. `None` if
    /// there is no statement. `offset_base` is where `text` stands in the query.
    ///
    /// # Safety
    /// `db` must be an open connection that no other thread uses.
    pub(crate) unsafe fn prepare(
        db: *mut ffi::sqlite3,
        text: &str,
        offset_base: usize,
    ) -> Result<Option<(Self, usize)>, SqlError> {
        let mut raw = ptr::null_mut();
        let mut tail = ptr::null();
        let start = text.as_ptr().cast();
        let size = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        // SAFETY: the caller's promise; SQLite reads `size` bytes at most.
        unsafe {
            if ffi::sqlite3_prepare_v3(db, start, size, 0, &mut raw, &mut tail) != ffi::SQLITE_OK {
                return Err(last_error(db, offset_base));
            }
            let used = tail.offset_from(start) as usize;
            Ok(NonNull::new(raw)
                .map(|raw| (Self { raw, seen: Seen::default(), may_name_hosts: false }, used)))
        }
    }

    fn raw(&mut self) -> *mut ffi::sqlite3_stmt {
        self.raw.as_ptr()
    }

    fn error(&mut self) -> SqlError {
        // SAFETY: the statement is live, so its connection is.
        unsafe { last_error(ffi::sqlite3_db_handle(self.raw()), 0) }
    }

    /// Number of parameters: the highest one (SQ-3).
    pub(crate) fn parameters(&mut self) -> usize {
        // SAFETY: the statement is live.
        unsafe { ffi::sqlite3_bind_parameter_count(self.raw()) as usize }
    }

    /// Whether it cannot change the database.
    pub(crate) fn is_read_only(&mut self) -> bool {
        // SAFETY: the statement is live.
        let is_read_only = unsafe { ffi::sqlite3_stmt_readonly(self.raw()) != 0 };
        is_read_only && !self.seen.optimize()
    }

    /// Whether it only tells how another statement would run: EXPLAIN, which counts as writing if that one writes.
    pub(crate) fn is_explain(&mut self) -> bool {
        // SAFETY: the statement is live.
        unsafe { ffi::sqlite3_stmt_isexplain(self.raw()) != 0 }
    }

    /// Number of result columns. Compiling anew at the first step may change it.
    pub(crate) fn columns(&mut self) -> usize {
        // SAFETY: the statement is live.
        unsafe { ffi::sqlite3_column_count(self.raw()) as usize }
    }

    /// Names of the result columns, in order, duplicates kept (SQ-11).
    pub(crate) fn column_names(&mut self) -> Vec<String> {
        (0..self.columns())
            .map(|column| {
                // SAFETY: the column exists; the name is copied before the next call.
                unsafe {
                    let name = ffi::sqlite3_column_name(self.raw(), column as c_int);
                    if name.is_null() {
                        String::new()
                    } else {
                        CStr::from_ptr(name).to_string_lossy().into_owned()
                    }
                }
            })
            .collect()
    }

    /// Binds all parameters; the values are copied.
    pub(crate) fn bind(&mut self, bindings: &[Value]) -> Result<(), SqlError> {
        if bindings.len() != self.parameters() {
            let text = format!(
                "Wrong number of parameter bindings for SQL query. It has {} parameters, {} values were given",
                self.parameters(),
                bindings.len()
            );
            return Err(SqlError::host(WRONG_BINDINGS, text));
        }
        for (index, value) in bindings.iter().enumerate() {
            if self.bind_one(index as c_int + 1, value) != ffi::SQLITE_OK {
                let error = self.error();
                self.reset();
                return Err(error);
            }
        }
        Ok(())
    }

    fn bind_one(&mut self, index: c_int, value: &Value) -> c_int {
        let raw = self.raw();
        // SAFETY: the statement is live and not running; SQLite copies text and blobs at once. An
        // empty slice's pointer is not null, so an empty blob stays a blob.
        unsafe {
            match value {
                Value::Null => ffi::sqlite3_bind_null(raw, index),
                Value::Integer(value) => ffi::sqlite3_bind_int64(raw, index, *value),
                Value::Real(value) => ffi::sqlite3_bind_double(raw, index, *value),
                Value::Text(text) => ffi::sqlite3_bind_text64(
                    raw,
                    index,
                    text.as_ptr().cast(),
                    text.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                    ffi::SQLITE_UTF8 as u8,
                ),
                Value::Blob(bytes) => ffi::sqlite3_bind_blob64(
                    raw,
                    index,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                ),
            }
        }
    }

    /// Runs to the next row; false at the end. After an error or the end, [`reset`](Self::reset).
    pub(crate) fn step(&mut self) -> Result<bool, SqlError> {
        // SAFETY: the statement is live.
        match unsafe { ffi::sqlite3_step(self.raw()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            _ => Err(self.error()),
        }
    }

    /// Appends the present row; returns about its size in bytes. Only after `step` gave true.
    pub(crate) fn row(&mut self, rows: &mut Vec<Value>) -> usize {
        let mut size = 0;
        for column in 0..self.columns() {
            let value = self.column(column as c_int);
            size += value.size_bytes();
            rows.push(value);
        }
        size
    }

    fn column(&mut self, column: c_int) -> Value {
        let raw = self.raw();
        // SAFETY: the column exists and a row is there; bytes are copied before the next call, their
        // length is asked for after the pointer.
        unsafe {
            match ffi::sqlite3_column_type(raw, column) {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(raw, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(raw, column)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(raw, column);
                    let bytes = bytes_at(start, ffi::sqlite3_column_bytes(raw, column));
                    Value::Text(String::from_utf8_lossy(bytes).into_owned())
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_column_blob(raw, column);
                    Value::Blob(bytes_at(start.cast(), ffi::sqlite3_column_bytes(raw, column)).to_vec())
                }
                _ => Value::Null,
            }
        }
    }

    /// Ends the run and forgets the bindings; counters stay until the next run.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the statement is live. The code returned is that of the last step, known already.
        unsafe {
            ffi::sqlite3_reset(self.raw());
            ffi::sqlite3_clear_bindings(self.raw());
        }
    }

    /// Ends the run, keeps the bindings, and gives the counters, which begin anew.
    pub(crate) fn rewind(&mut self) -> RunCounters {
        // SAFETY: as for `reset`.
        unsafe { ffi::sqlite3_reset(self.raw()) };
        RunCounters {
            steps: self.counter(ffi::SQLITE_STMTSTATUS_VM_STEP, true),
            scan_steps: self.counter(ffi::SQLITE_STMTSTATUS_FULLSCAN_STEP, true),
        }
    }

    /// Sets the counters to zero, before a run.
    pub(crate) fn clear_counters(&mut self) {
        self.counter(ffi::SQLITE_STMTSTATUS_FULLSCAN_STEP, true);
        self.counter(ffi::SQLITE_STMTSTATUS_VM_STEP, true);
    }

    /// Steps of full scans in this run.
    pub(crate) fn scan_steps(&mut self) -> u64 {
        self.counter(ffi::SQLITE_STMTSTATUS_FULLSCAN_STEP, false)
    }

    /// Operations of SQLite's machine in this run.
    pub(crate) fn cost(&mut self) -> u64 {
        self.counter(ffi::SQLITE_STMTSTATUS_VM_STEP, false)
    }

    /// Rows read so far in this run, of which `returned` were returned.
    pub(crate) fn rows_read(&mut self, returned: u64) -> u64 {
        rows_read(self.scan_steps(), returned)
    }

    fn counter(&mut self, counter: c_int, reset: bool) -> u64 {
        // SAFETY: the statement is live. The counter is 32 bits wide and may wrap.
        unsafe { u64::from(ffi::sqlite3_stmt_status(self.raw(), counter, reset.into()) as u32) }
    }
}

/// SAFETY: `start` must be null or have `size` bytes that live long enough.
unsafe fn bytes_at<'a>(start: *const u8, size: c_int) -> &'a [u8] {
    // SAFETY: as the caller promises; an empty value may be null.
    if start.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(start, size as usize) } }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: live until here; the code returned is that of the last step.
        unsafe { ffi::sqlite3_finalize(self.raw()) };
    }
}
