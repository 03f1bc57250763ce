//! What can go wrong with an object's storage as a whole; `sql_error` is about single statements.
//!
//! Apart from [`StorageError::Constraint`] and [`StorageError::Poisoned`], which are the guest's doing,
//! these are the node's own faults or those of whoever touched its files.

use std::io;
use std::path::{Path, PathBuf};

use durabo_changelog::disk;
use durabo_changelog::error::LogError;
use thiserror::Error;

use crate::sql_error::SqlError;

/// Why storage did not do what it was asked.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The disk refused something.
    #[error("{doing} `{}`: {source}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object's file is not as the node left it (invariant 10).
    #[error("the database file `{}` {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found, and the way out.
        reason: String,
    },
    /// The data folder cannot be used.
    #[error("data folder `{}` {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not, and the way out.
        reason: String,
    },
    /// SQLite refused one of the host's own statements.
    #[error("{doing}: {source}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: SqlError,
    },
    /// The turn's writes left constraints violated; the turn is undone (OG-11).
    #[error(
        "the object was rolled back to its last good state because its turn left constraints violated: {0}"
    )]
    Constraint(SqlError),
    /// An earlier statement failed critically; the turn is undone and the instance has to be reset
    /// (OG-10, SQ-32).
    #[error("{0}")]
    Poisoned(SqlError),
    /// The object index is damaged.
    #[error(
        "the object index `{}` is damaged: {reason}; restore the data folder from a backup", path.display()
    )]
    IndexDamaged {
        /// The index.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The change log cannot be read.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The change log holds what cannot be applied to an object's file.
    #[error("applying the change log to `{}`: {reason}", path.display())]
    Apply {
        /// The object's file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl StorageError {
    /// Whether it happened for lack of space, so that it may succeed when there is some.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Disk { source, .. } => disk::is_full(source),
            Self::Sql { source, .. } => source.is_full(),
            _ => false,
        }
    }
}

/// Turns what the system said into an error that says what was being done.
pub(crate) fn disk_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StorageError + 'a {
    move |source| StorageError::Disk { doing, path: path.to_owned(), source }
}

/// Turns an error of one of the host's own statements into one that says what was being done.
pub(crate) fn sql_failed(doing: &'static str) -> impl FnOnce(SqlError) -> StorageError {
    move |source| StorageError::Sql { doing, source }
}
