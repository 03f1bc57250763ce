//! The VFS `durabo`: SQLite's calls, translated to `vfs_files`.
//!
//! Randomness, sleeping and the time of SQL's `now` come from SQLite's default VFS. There is no shared
//! memory: connections lock exclusively and keep the WAL index on the heap. Nothing is decided here.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::{self, ErrorKind};
use std::ptr;
use std::sync::OnceLock;

use rusqlite::ffi;

use crate::sql_memory;
use crate::vfs_files::{self, OpenFile};

/// Name under which connections ask for this VFS.
pub(crate) const VFS_NAME: &CStr = c"durabo";

/// Longest made-up path, its ending included.
const PATH_BYTES_MAX: c_int = 64;

/// What SQLite allocates for an open file: its own part first.
#[repr(C)]
struct VfsFile {
    base: ffi::sqlite3_file,
    /// Owned; null when closed.
    open: *mut OpenFile,
}

/// Registers the VFS, and the process-wide settings, once.
pub(crate) fn register() -> Result<(), i32> {
    static REGISTERED: OnceLock<Result<(), i32>> = OnceLock::new();
    *REGISTERED.get_or_init(|| {
        // Must come before SQLite is in use; without it no object's memory would be bounded.
        sql_memory::install()?;
        // SAFETY: called once; arguments are those that the option takes. It fails if SQLite is
        // already in use, which costs memory only.
        unsafe {
            ffi::sqlite3_config(
                ffi::SQLITE_CONFIG_PAGECACHE,
                ptr::null_mut::<c_void>(),
                0 as c_int,
                0 as c_int,
            )
        };
        // SAFETY: initialising is always allowed; the structure registered lives for ever.
        unsafe {
            check(ffi::sqlite3_initialize())?;
            let default = ffi::sqlite3_vfs_find(ptr::null());
            if default.is_null() {
                return Err(ffi::SQLITE_ERROR);
            }
            let vfs = Box::leak(Box::new(make_vfs(default)));
            check(ffi::sqlite3_vfs_register(vfs, 0))
        }
    })
}

fn check(code: c_int) -> Result<(), i32> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

fn make_vfs(default: *mut ffi::sqlite3_vfs) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<VfsFile>() as c_int,
        mxPathname: PATH_BYTES_MAX,
        pNext: ptr::null_mut(),
        zName: VFS_NAME.as_ptr(),
        pAppData: default.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

static IO_METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// The result code for a failed operation whose own code is `code`.
fn code_of(error: &io::Error, code: c_int) -> c_int {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ffi::SQLITE_FULL,
        _ => code,
    }
}

/// SAFETY: `name` must be null or a NUL-terminated string that outlives the result.
unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let file = file.cast::<VfsFile>();
    // SAFETY: SQLite gives `szOsFile` bytes at `file` and expects `pMethods` set in any case.
    unsafe {
        (*file).base.pMethods = ptr::null();
        (*file).open = ptr::null_mut();
    }
    // SAFETY: SQLite's file names are NUL-terminated. A nameless one would be a temporary file, which
    // connections here never have.
    let Some(name) = (unsafe { name_of(name.cast()) }) else { return ffi::SQLITE_CANTOPEN };
    match vfs_files::open(name) {
        Ok(opened) => {
            // SAFETY: as above; `flags_out` may be null.
            unsafe {
                (*file).open = Box::into_raw(Box::new(opened));
                (*file).base.pMethods = &raw const IO_METHODS;
                if !flags_out.is_null() {
                    *flags_out = flags;
                }
            }
            ffi::SQLITE_OK
        }
        Err(error) => code_of(&error, ffi::SQLITE_CANTOPEN),
    }
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _sync_dir: c_int) -> c_int {
    // SAFETY: SQLite's file names are NUL-terminated.
    let Some(name) = (unsafe { name_of(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    match vfs_files::delete(name) {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if error.kind() == ErrorKind::NotFound => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's file names are NUL-terminated.
    let Some(name) = (unsafe { name_of(name) }) else { return ffi::SQLITE_IOERR_ACCESS };
    match vfs_files::exists(name) {
        Ok(exists) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *result = exists.into() };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_ACCESS,
    }
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's file names are NUL-terminated.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > size as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite gives `size` bytes at `out`.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    ffi::SQLITE_OK
}

/// SAFETY: `vfs` must be ours, so that its data is the default VFS.
unsafe fn default_of<'a>(vfs: *mut ffi::sqlite3_vfs) -> (*mut ffi::sqlite3_vfs, &'a ffi::sqlite3_vfs) {
    // SAFETY: set in `make_vfs`; VFSs are never freed.
    unsafe {
        let default = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        (default, &*default)
    }
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite's own arguments, passed on.
    unsafe {
        let (default, methods) = default_of(vfs);
        methods.xRandomness.map_or(0, |call| call(default, size, out))
    }
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: SQLite's own arguments, passed on.
    unsafe {
        let (default, methods) = default_of(vfs);
        methods.xSleep.map_or(0, |call| call(default, microseconds))
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite's own arguments, passed on.
    unsafe {
        let (default, methods) = default_of(vfs);
        methods.xCurrentTime.map_or(ffi::SQLITE_ERROR, |call| call(default, out))
    }
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    // SAFETY: SQLite's own arguments, passed on.
    unsafe {
        let (default, methods) = default_of(vfs);
        methods.xCurrentTimeInt64.map_or(ffi::SQLITE_ERROR, |call| call(default, out))
    }
}

unsafe extern "C" fn last_error(_vfs: *mut ffi::sqlite3_vfs, _size: c_int, _out: *mut c_char) -> c_int {
    0
}

/// SAFETY: `file` must be one that `open` opened, and no other reference to it may live.
unsafe fn file_of<'a>(file: *mut ffi::sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: `open` put a box there, `close` takes it away; SQLite uses a file from one thread at a
    // time and calls nothing after `close`.
    unsafe { &mut *(*file.cast::<VfsFile>()).open }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let file = file.cast::<VfsFile>();
    // SAFETY: the box comes from `open` and is taken only once.
    unsafe {
        if !(*file).open.is_null() {
            drop(Box::from_raw((*file).open));
            (*file).open = ptr::null_mut();
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, size: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite gives `size` bytes at `out`, and an open file.
    let (file, buffer) =
        unsafe { (file_of(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), size as usize)) };
    match file.read_at(buffer, offset as u64) {
        Ok(count) if count == buffer.len() => ffi::SQLITE_OK,
        Ok(count) => {
            buffer[count..].fill(0); // as SQLite demands
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    size: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite gives `size` bytes at `from`, and an open file.
    let (file, bytes) =
        unsafe { (file_of(file), std::slice::from_raw_parts(from.cast::<u8>(), size as usize)) };
    outcome(file.write_at(bytes, offset as u64), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    outcome(unsafe { file_of(file) }.set_size(size as u64), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    match unsafe { file_of(file) }.sync() {
        Ok(()) => ffi::SQLITE_OK,
        // Also for lack of space: what a failed sync has lost no later one brings back.
        Err(_) => ffi::SQLITE_IOERR_FSYNC,
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: an open file.
    match unsafe { file_of(file) }.size() {
        Ok(size) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *out = size as i64 };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

fn outcome(result: io::Result<()>, code: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => code_of(&error, code),
    }
}

/// One connection per file: the lock against others is taken when the file is opened.
unsafe extern "C" fn lock(_file: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _op: c_int, _arg: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    0
}
