//! Why a statement failed, or why its rows are not what was asked for.
//!
//! Stands below `failure`, which keeps text and code of it; `sql` re-exports it.

use std::fmt;

use crate::bindings::durabo::object::sql as wit;

/// Why a statement failed (SQ-6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Extended result code of SQLite; 0 if the host or this crate refused.
    pub code: i32,
    /// Name of the code, such as `SQLITE_CONSTRAINT_PRIMARYKEY`; for 0 a code in kebab-case.
    pub name: String,
    /// The whole text, with offset and names of the codes.
    pub message: String,
    /// Byte offset of the offending token in the query, if known.
    pub offset: Option<u32>,
}

impl SqlError {
    /// An error that this crate finds, not SQLite.
    pub(crate) fn refused(name: &str, message: impl Into<String>) -> Self {
        Self { code: 0, name: name.to_owned(), message: message.into(), offset: None }
    }

    /// What the host reported.
    pub(crate) fn from_host(error: wit::Error) -> Self {
        Self { code: error.code, name: error.name, message: error.message, offset: error.offset }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}
