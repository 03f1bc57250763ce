//! Why a statement failed, with the text that programs expect (SQ-6).
//!
//! The text is SQLite's message, the offset if SQLite knows it, the primary code and, where it says
//! more, the extended one. Errors that the host raises itself have code 0 and a kebab-case name.

use std::borrow::Cow;

use thiserror::Error;

/// A failed statement. Its effects, and nothing else, are undone, unless the connection is poisoned
/// (OG-10).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SqlError {
    /// Extended result code of SQLite; 0 if the host refused the call.
    pub code: i32,
    /// Name of that code; for 0 a host code in kebab-case.
    pub name: String,
    /// The whole text.
    pub message: String,
    /// Byte offset of the offending token in the query, if SQLite knows it.
    pub offset: Option<u32>,
}

/// Name of host errors about bindings.
pub const WRONG_BINDINGS: &str = "wrong-bindings";
/// Name of the host error about text without a statement.
pub const NO_STATEMENT: &str = "no-statement";
/// Name of the host error about what `exec-many` does not take (EM-1).
pub const NOT_ONE_WRITE: &str = "not-one-write";
/// Name of the host error about transaction statements (SQ-16).
pub const TRANSACTION_STATEMENT: &str = "transaction-statement";
/// Name of the host error about cursors whose rows were given up (SQ-14).
pub const CURSOR_CLOSED: &str = "cursor-closed";
/// Name of host errors about limits.
pub const LIMIT_EXCEEDED: &str = "limit-exceeded";

const TRANSACTION_TEXT: &str = "transaction statements are not available in SQL; please use the \
    state.storage.transaction() or state.storage.transactionSync() APIs instead, which roll back when \
    they fail";

impl SqlError {
    /// An error of SQLite: `message` is its own text, `code` the extended result code.
    pub(crate) fn sqlite(code: i32, message: &str, offset: Option<u32>) -> Self {
        let primary = code_name(code & 0xff);
        let name = code_name(code);
        let mut text = message.to_owned();
        if let Some(offset) = offset {
            text.push_str(&format!(" at offset {offset}"));
        }
        text.push_str(&format!(": {primary}"));
        if name != primary {
            text.push_str(&format!(" (extended: {name})"));
        }
        Self { code, name: name.into_owned(), message: text, offset }
    }

    /// An error of rusqlite, in our form.
    pub(crate) fn of_rusqlite(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let message = message.unwrap_or_else(|| code.to_string());
                Self::sqlite(code.extended_code, &message, None)
            }
            other => Self::sqlite(rusqlite::ffi::SQLITE_ERROR, &other.to_string(), None),
        }
    }

    pub(crate) fn host(name: &str, message: impl Into<String>) -> Self {
        Self { code: 0, name: name.to_owned(), message: message.into(), offset: None }
    }

    pub(crate) fn not_authorized() -> Self {
        Self::sqlite(rusqlite::ffi::SQLITE_AUTH, "not authorized", None)
    }

    /// A PRAGMA that guests may not use, or not with this value (SQ-19).
    pub(crate) fn refused_pragma(name: &str) -> Self {
        let is_number_of_the_users =
            ["user_version", "application_id"].contains(&&*name.to_ascii_lowercase());
        let way_out = match is_number_of_the_users {
            true => "; keep a number such as the schema's version in a table or under a key",
            false => "",
        };
        let text =
            format!("PRAGMA `{name}` is not available, or not with this value{way_out}: not authorized");
        Self::sqlite(rusqlite::ffi::SQLITE_AUTH, &text, None)
    }

    pub(crate) fn transaction_statement() -> Self {
        Self::host(TRANSACTION_STATEMENT, TRANSACTION_TEXT)
    }

    pub(crate) fn cursor_closed() -> Self {
        Self::host(
            CURSOR_CLOSED,
            "the cursor was closed: its turn ended with more rows unread than are read ahead, or its \
             table went with a roll-back or with `delete-all`; run the query again",
        )
    }

    /// Whether a statement wanted more memory than it may have.
    pub fn is_out_of_memory(&self) -> bool {
        self.primary() == rusqlite::ffi::SQLITE_NOMEM
    }

    /// A PRAGMA in `exec-many`, which takes none (EM-1).
    pub(crate) fn pragma_for_groups(name: &str) -> Self {
        let text = format!("`exec-many` takes no PRAGMA, and this is `{name}`; run it with `exec`");
        Self::host(NOT_ONE_WRITE, text)
    }

    /// What runs was stopped from outside, as SQLite says it.
    pub(crate) fn interrupted() -> Self {
        Self::sqlite(rusqlite::ffi::SQLITE_INTERRUPT, "interrupted", None)
    }

    /// Whether what ran was stopped from outside.
    pub(crate) fn is_interrupt(&self) -> bool {
        self.primary() == rusqlite::ffi::SQLITE_INTERRUPT
    }

    pub(crate) fn full() -> Self {
        Self::sqlite(rusqlite::ffi::SQLITE_FULL, "database or disk is full", None)
    }

    /// Whether there was no space: on the disk, or in what the database may have.
    pub fn is_full(&self) -> bool {
        self.primary() == rusqlite::ffi::SQLITE_FULL
    }

    /// The primary result code of SQLite.
    pub(crate) fn primary(&self) -> i32 {
        self.code & 0xff
    }
}

macro_rules! code_names {
    ($($name:ident)+) => {
        fn known_name(code: i32) -> Option<&'static str> {
            $(if code == rusqlite::ffi::$name { return Some(stringify!($name)); })+
            None
        }
    };
}

code_names! {
    SQLITE_ERROR SQLITE_INTERNAL SQLITE_PERM SQLITE_ABORT SQLITE_BUSY SQLITE_LOCKED SQLITE_NOMEM
    SQLITE_READONLY SQLITE_INTERRUPT SQLITE_IOERR SQLITE_CORRUPT SQLITE_NOTFOUND SQLITE_FULL
    SQLITE_CANTOPEN SQLITE_PROTOCOL SQLITE_EMPTY SQLITE_SCHEMA SQLITE_TOOBIG SQLITE_CONSTRAINT
    SQLITE_MISMATCH SQLITE_MISUSE SQLITE_NOLFS SQLITE_AUTH SQLITE_FORMAT SQLITE_RANGE SQLITE_NOTADB
    SQLITE_ERROR_MISSING_COLLSEQ SQLITE_ERROR_RETRY SQLITE_ERROR_SNAPSHOT
    SQLITE_IOERR_READ SQLITE_IOERR_SHORT_READ SQLITE_IOERR_WRITE SQLITE_IOERR_FSYNC
    SQLITE_IOERR_DIR_FSYNC SQLITE_IOERR_TRUNCATE SQLITE_IOERR_FSTAT SQLITE_IOERR_UNLOCK
    SQLITE_IOERR_RDLOCK SQLITE_IOERR_DELETE SQLITE_IOERR_BLOCKED SQLITE_IOERR_NOMEM
    SQLITE_IOERR_ACCESS SQLITE_IOERR_CHECKRESERVEDLOCK SQLITE_IOERR_LOCK SQLITE_IOERR_CLOSE
    SQLITE_IOERR_DIR_CLOSE SQLITE_IOERR_SHMOPEN SQLITE_IOERR_SHMSIZE SQLITE_IOERR_SHMLOCK
    SQLITE_IOERR_SHMMAP SQLITE_IOERR_SEEK SQLITE_IOERR_DELETE_NOENT SQLITE_IOERR_MMAP
    SQLITE_IOERR_GETTEMPPATH SQLITE_IOERR_CONVPATH SQLITE_IOERR_VNODE SQLITE_IOERR_AUTH
    SQLITE_IOERR_BEGIN_ATOMIC SQLITE_IOERR_COMMIT_ATOMIC SQLITE_IOERR_ROLLBACK_ATOMIC
    SQLITE_IOERR_DATA SQLITE_IOERR_CORRUPTFS
    SQLITE_LOCKED_SHAREDCACHE SQLITE_LOCKED_VTAB SQLITE_BUSY_RECOVERY SQLITE_BUSY_SNAPSHOT
    SQLITE_BUSY_TIMEOUT SQLITE_CANTOPEN_NOTEMPDIR SQLITE_CANTOPEN_ISDIR SQLITE_CANTOPEN_FULLPATH
    SQLITE_CORRUPT_VTAB SQLITE_CORRUPT_SEQUENCE SQLITE_CORRUPT_INDEX SQLITE_READONLY_RECOVERY
    SQLITE_READONLY_CANTLOCK SQLITE_READONLY_ROLLBACK SQLITE_READONLY_DBMOVED
    SQLITE_READONLY_CANTINIT SQLITE_READONLY_DIRECTORY SQLITE_ABORT_ROLLBACK
    SQLITE_CONSTRAINT_CHECK SQLITE_CONSTRAINT_COMMITHOOK SQLITE_CONSTRAINT_FOREIGNKEY
    SQLITE_CONSTRAINT_FUNCTION SQLITE_CONSTRAINT_NOTNULL SQLITE_CONSTRAINT_PRIMARYKEY
    SQLITE_CONSTRAINT_TRIGGER SQLITE_CONSTRAINT_UNIQUE SQLITE_CONSTRAINT_VTAB SQLITE_CONSTRAINT_ROWID
    SQLITE_CONSTRAINT_PINNED SQLITE_CONSTRAINT_DATATYPE
}

fn code_name(code: i32) -> Cow<'static, str> {
    match known_name(code) {
        Some(name) => name.into(),
        None => format!("SQLITE_{code}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extended_code_is_named_only_where_it_says_more() {
        let plain = SqlError::sqlite(1, "near \"bunk\": syntax error", Some(9));
        assert_eq!(plain.message, "near \"bunk\": syntax error at offset 9: SQLITE_ERROR");
        let extended = SqlError::sqlite(1555, "UNIQUE constraint failed: u.id", None);
        assert_eq!(
            extended.message,
            "UNIQUE constraint failed: u.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)"
        );
        assert_eq!(extended.name, "SQLITE_CONSTRAINT_PRIMARYKEY");
    }
}
