//! Registers the linear `instr` and `replace` of `search` in place of SQLite's.
//!
//! Same answers as SQLite's own, which are quadratic and cannot be interrupted within one call.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::ptr;

use rusqlite::ffi;

use crate::search;

/// Replaces the functions on one connection.
///
/// # Safety
/// `db` must be an open connection that no other thread uses.
pub(crate) unsafe fn register(db: *mut ffi::sqlite3) -> Result<(), i32> {
    let flags = ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS;
    type Function = unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);
    let functions: [(&std::ffi::CStr, c_int, Function); 2] = [(c"instr", 2, instr), (c"replace", 3, replace)];
    for (name, arguments, function) in functions {
        // SAFETY: the caller's promise; the function needs no data of its own.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                db,
                name.as_ptr(),
                arguments,
                flags,
                ptr::null_mut(),
                Some(function),
                None,
                None,
                None,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(code);
        }
    }
    Ok(())
}

/// SAFETY: `value` must be a value of the running call; the result is good until its next conversion.
unsafe fn text_of<'a>(value: *mut ffi::sqlite3_value) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises; the length must be asked for after the conversion.
    unsafe {
        let text = ffi::sqlite3_value_text(value);
        if text.is_null() {
            return None;
        }
        Some(std::slice::from_raw_parts(text, ffi::sqlite3_value_bytes(value) as usize))
    }
}

/// SAFETY: as for [`text_of`].
unsafe fn blob_of<'a>(value: *mut ffi::sqlite3_value) -> &'a [u8] {
    // SAFETY: as the caller promises; an empty blob is null.
    unsafe {
        let bytes = ffi::sqlite3_value_blob(value);
        let size = ffi::sqlite3_value_bytes(value) as usize;
        if bytes.is_null() { &[] } else { std::slice::from_raw_parts(bytes.cast(), size) }
    }
}

unsafe extern "C" fn instr(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite gives two arguments, as registered. A blob beside a text is copied before it is
    // read as text, so that the argument itself keeps its type.
    unsafe {
        let (haystack, needle) = (*arguments, *arguments.add(1));
        let types = (ffi::sqlite3_value_type(haystack), ffi::sqlite3_value_type(needle));
        if types.0 == ffi::SQLITE_NULL || types.1 == ffi::SQLITE_NULL {
            return;
        }
        if types == (ffi::SQLITE_BLOB, ffi::SQLITE_BLOB) {
            let found = search::position_in_bytes(blob_of(haystack), blob_of(needle));
            return ffi::sqlite3_result_int64(context, found);
        }
        let copies = (ffi::sqlite3_value_dup(haystack), ffi::sqlite3_value_dup(needle));
        match (text_of(copies.0), text_of(copies.1)) {
            (Some(haystack), Some(needle)) => {
                ffi::sqlite3_result_int64(context, search::position_in_text(haystack, needle));
            }
            _ => ffi::sqlite3_result_error_nomem(context),
        }
        ffi::sqlite3_value_free(copies.0);
        ffi::sqlite3_value_free(copies.1);
    }
}

unsafe extern "C" fn replace(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite gives three arguments, as registered. NULL anywhere gives NULL, except that an
    // empty pattern gives the text before the third argument is looked at, as in SQLite.
    unsafe {
        let Some(text) = text_of(*arguments) else { return };
        let Some(pattern) = text_of(*arguments.add(1)) else { return };
        if pattern.first().is_none_or(|byte| *byte == 0) {
            return result_text(context, text);
        }
        let Some(with) = text_of(*arguments.add(2)) else { return };
        let db = ffi::sqlite3_context_db_handle(context);
        let size_max = ffi::sqlite3_limit(db, ffi::SQLITE_LIMIT_LENGTH, -1);
        match search::replaced(text, pattern, with, size_max as usize) {
            Some(out) => result_text(context, &out),
            None => ffi::sqlite3_result_error_toobig(context),
        }
    }
}

/// SAFETY: `context` must be that of the running call.
unsafe fn result_text(context: *mut ffi::sqlite3_context, text: &[u8]) {
    let start = text.as_ptr().cast::<c_char>();
    // SAFETY: the text is copied at once. It is at most 4 MiB (SQ-24), so the length fits.
    unsafe { ffi::sqlite3_result_text(context, start, text.len() as c_int, ffi::SQLITE_TRANSIENT()) };
}
