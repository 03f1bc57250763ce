//! SQLite's memory, counted by connection: a statement that wants more than its share gets SQLITE_NOMEM.
//!
//! Sorts, common table expressions and aggregates hold their rows in memory that no limit of SQLite's own
//! sees by connection. So its allocator is wrapped once for the process, and whoever enters SQLite for a
//! guest opens a scope on its thread, in which what is allocated counts. Outside of scopes, as for
//! commits, nothing is refused.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use rusqlite::ffi;

use crate::index_blocks::{self, BLOCK_BYTES};

/// SQLite's own allocator, without its application data, which it does not use. Blocks of the size of a WAL index
/// come from `index_blocks`, if that has any.
struct Allocator {
    malloc: unsafe extern "C" fn(c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    realloc: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    size: unsafe extern "C" fn(*mut c_void) -> c_int,
}

impl Allocator {
    /// SAFETY: as `xMalloc` of SQLite.
    unsafe fn take(&self, bytes: c_int) -> *mut c_void {
        let block = if bytes as usize == BLOCK_BYTES { index_blocks::take() } else { None };
        // SAFETY: the caller's promise.
        block.map_or_else(|| unsafe { (self.malloc)(bytes) }, NonNull::as_ptr)
    }

    /// SAFETY: as `xFree` of SQLite.
    unsafe fn give(&self, block: *mut c_void) {
        if index_blocks::owns(block) {
            return index_blocks::give(block);
        }
        // SAFETY: the caller's promise; the block is not one of ours.
        unsafe { (self.free)(block) };
    }

    /// SAFETY: as `xRealloc` of SQLite.
    unsafe fn resize(&self, block: *mut c_void, bytes: c_int) -> *mut c_void {
        // SAFETY: the caller's promise; what is copied is in both blocks.
        unsafe {
            if !index_blocks::owns(block) {
                return (self.realloc)(block, bytes);
            }
            let other = self.take(bytes);
            if !other.is_null() {
                block.copy_to_nonoverlapping(other, BLOCK_BYTES.min(bytes as usize));
                self.give(block);
            }
            other
        }
    }

    /// SAFETY: as `xSize` of SQLite.
    unsafe fn size(&self, block: *mut c_void) -> c_int {
        if index_blocks::owns(block) {
            return BLOCK_BYTES as c_int;
        }
        // SAFETY: the caller's promise; the block is not one of ours.
        unsafe { (self.size)(block) }
    }
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();

#[derive(Debug, Clone, Copy)]
struct Account {
    used: i64,
    max: i64,
    refused: bool,
}

thread_local! {
    static ACCOUNT: Cell<Option<Account>> = const { Cell::new(None) };
}

/// Counts what SQLite allocates and frees on this thread until it is left.
pub(crate) struct MemoryScope {
    outer: Option<Account>,
}

impl MemoryScope {
    /// Begins with `used` bytes of at most `max`.
    pub(crate) fn enter(used: i64, max: usize) -> Self {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        Self { outer: ACCOUNT.replace(Some(Account { used, max, refused: false })) }
    }

    /// Bytes used now, and whether an allocation was refused.
    pub(crate) fn leave(self) -> (i64, bool) {
        ACCOUNT.get().map_or((0, false), |account| (account.used, account.refused))
    }
}

impl Drop for MemoryScope {
    fn drop(&mut self) {
        ACCOUNT.set(self.outer);
    }
}

/// Runs `work` outside of any scope, also within one: what it allocates counts for nobody.
pub(crate) fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let _outer = MemoryScope { outer: ACCOUNT.replace(None) };
    work()
}

/// Puts the counting allocator into SQLite. Fails if SQLite is in use already.
pub(crate) fn install() -> Result<(), i32> {
    // SAFETY: all fields are pointers that may be null.
    let mut methods: ffi::sqlite3_mem_methods = unsafe { std::mem::zeroed() };
    // SAFETY: the option fills the structure given.
    let result = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut methods) };
    if result != ffi::SQLITE_OK {
        return Err(result);
    }
    let (Some(malloc), Some(free), Some(realloc), Some(size)) =
        (methods.xMalloc, methods.xFree, methods.xRealloc, methods.xSize)
    else {
        return Err(ffi::SQLITE_ERROR);
    };
    if ALLOCATOR.set(Allocator { malloc, free, realloc, size }).is_err() {
        return Err(ffi::SQLITE_MISUSE);
    }
    methods.xMalloc = Some(counted_malloc);
    methods.xFree = Some(counted_free);
    methods.xRealloc = Some(counted_realloc);
    methods.xSize = Some(size_of_block);
    // SAFETY: SQLite copies the structure; its functions keep the promises of those they wrap.
    let result = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
    if result == ffi::SQLITE_OK { Ok(()) } else { Err(result) }
}

/// Whether so many bytes more are allowed now.
fn admits(bytes: i64) -> bool {
    let Some(account) = ACCOUNT.get() else { return true };
    let fits = bytes <= 0 || account.used.saturating_add(bytes) <= account.max;
    if !fits {
        ACCOUNT.set(Some(Account { refused: true, ..account }));
    }
    fits
}

fn count(bytes: i64) {
    if let Some(account) = ACCOUNT.get() {
        ACCOUNT.set(Some(Account { used: account.used.saturating_add(bytes), ..account }));
    }
}

unsafe extern "C" fn counted_malloc(bytes: c_int) -> *mut c_void {
    let Some(allocator) = ALLOCATOR.get().filter(|_| admits(i64::from(bytes))) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the arguments are those of SQLite; the block is of the same allocator.
    unsafe {
        let block = allocator.take(bytes);
        if !block.is_null() {
            count(i64::from(allocator.size(block)));
        }
        block
    }
}

unsafe extern "C" fn counted_free(block: *mut c_void) {
    let Some(allocator) = ALLOCATOR.get().filter(|_| !block.is_null()) else { return };
    // SAFETY: SQLite frees what the allocator gave out.
    unsafe {
        count(-i64::from(allocator.size(block)));
        allocator.give(block);
    }
}

unsafe extern "C" fn counted_realloc(block: *mut c_void, bytes: c_int) -> *mut c_void {
    let Some(allocator) = ALLOCATOR.get() else { return std::ptr::null_mut() };
    // SAFETY: SQLite gives a block that the allocator gave out; it stays valid if null comes back.
    unsafe {
        let before = i64::from(allocator.size(block));
        if !admits(i64::from(bytes) - before) {
            return std::ptr::null_mut();
        }
        let grown = allocator.resize(block, bytes);
        if !grown.is_null() {
            count(i64::from(allocator.size(grown)) - before);
        }
        grown
    }
}

unsafe extern "C" fn size_of_block(block: *mut c_void) -> c_int {
    let Some(allocator) = ALLOCATOR.get().filter(|_| !block.is_null()) else { return 0 };
    // SAFETY: SQLite asks for what the allocator gave out.
    unsafe { allocator.size(block) }
}
