//! What can go wrong here, with the code that a client sees for it.
//!
//! Two enums, because they end differently: a [`LookupError`] is the caller's mistake and names what
//! exists instead; a [`CatalogError`] is a refused deployment or a fault of the disk.

use std::fmt;
use std::io;
use std::path::PathBuf;

use durabo_model::error_code::ErrorCode;
use durabo_model::name::{AppName, ClassName};
use thiserror::Error;

use crate::digest::ComponentDigest;

/// Names shown in a text before it says how many more there are.
const NAMES_SHOWN_MAX: usize = 20;

/// Characters of a client's own text that are repeated to it.
const ECHO_CHARS_MAX: usize = 100;

/// Names in backticks for an error text; too many are counted instead of shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    pub(crate) fn new<N: fmt::Display>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(|name| name.to_string()).collect())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (at, name) in self.0.iter().take(NAMES_SHOWN_MAX).enumerate() {
            write!(f, "{}`{name}`", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// An address names nothing that is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LookupError {
    /// No such app.
    #[error("app `{app}` is not deployed on this node; deployed: {deployed}")]
    AppNotFound {
        /// As the caller wrote it, cut.
        app: String,
        /// What there is.
        deployed: Names,
    },
    /// No such class in the app's current deployment.
    #[error("class `{class}` is not exported by component `{digest}` of app `{app}`; it exports {exported}")]
    ClassNotFound {
        /// The app.
        app: AppName,
        /// As the caller wrote it, cut.
        class: String,
        /// Component of the current deployment.
        digest: ComponentDigest,
        /// What it has.
        exported: Names,
    },
    /// The class is there, but the app has an entry that stands before it.
    #[error(
        "class `{class}` of app `{app}` is not exposed, because the app has an entry that answers for it"
    )]
    NotExposed {
        /// The app.
        app: AppName,
        /// The class.
        class: ClassName,
    },
}

impl LookupError {
    /// Code of the failure that a client gets.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::AppNotFound { .. } => ErrorCode::AppNotFound,
            Self::ClassNotFound { .. } | Self::NotExposed { .. } => ErrorCode::ClassNotFound,
        }
    }
}

/// `text` as an error may repeat it.
pub(crate) fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

/// Why the catalog refused or failed.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// A file operation failed.
    #[error("{doing} `{path}`: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A statement on the catalog failed.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file was written by a newer version.
    #[error(
        "catalog `{path}` has schema {found}, this version reads schemas up to {known}; \
         start the newer durabo, or use another data folder"
    )]
    SchemaNewer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that is understood.
        known: i64,
    },
    /// The file is a database of something else.
    #[error("`{path}` is not a durabo catalog (application id {found:#x}); use another data folder")]
    NotACatalog {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: i64,
    },
    /// A row does not hold what was written.
    #[error("catalog row of {what} is damaged: {reason}; restore `catalog.sqlite` from a backup")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A component was never stored.
    #[error("component `{0}` is not stored on this node; upload it again")]
    ComponentMissing(ComponentDigest),
    /// A stored component has other bytes than its name says.
    #[error("component `{expected}` is damaged on disk (its bytes are `{found}`); deploy it again")]
    ComponentDamaged {
        /// Its name.
        expected: ComponentDigest,
        /// Digest of what is there.
        found: ComponentDigest,
    },
    /// A deployment without any class.
    #[error(
        "component `{0}` describes no class; build it with an SDK that describes its classes, \
         or name them with `--class`"
    )]
    NoClasses(ComponentDigest),
    /// A class would vanish from under its objects.
    #[error(
        "class `{class}` of app `{app}` has objects, but component `{digest}` does not export it (it exports \
         {exported}); export `{class}` again, or deploy under another app name"
    )]
    ClassHasObjects {
        /// The app.
        app: AppName,
        /// The class.
        class: ClassName,
        /// The component that was to be deployed.
        digest: ComponentDigest,
        /// Its classes.
        exported: Names,
    },
}

impl CatalogError {
    /// Code of the failure that a client of the control plane gets. `Internal` means that the text
    /// is for the log only (ST-6).
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { source, .. } if is_full(source) => ErrorCode::StorageFailed,
            Self::Sqlite { source, .. }
                if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) =>
            {
                ErrorCode::StorageFailed
            }
            Self::ClassHasObjects { .. } => ErrorCode::DeploymentRefused,
            Self::NoClasses(_) => ErrorCode::InvalidComponent,
            Self::ComponentMissing(_) => ErrorCode::NotFound,
            Self::Io { .. }
            | Self::Sqlite { .. }
            | Self::SchemaNewer { .. }
            | Self::NotACatalog { .. }
            | Self::Damaged { .. }
            | Self::ComponentDamaged { .. } => ErrorCode::Internal,
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) const fn sqlite(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { doing, source }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_to_the_client_and_other_faults_of_the_disk_are_not() {
        let code = |kind| CatalogError::io("storing component", "x")(io::Error::from(kind)).code();
        assert_eq!(code(io::ErrorKind::StorageFull), ErrorCode::StorageFailed);
        assert_eq!(code(io::ErrorKind::PermissionDenied), ErrorCode::Internal);
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let full =
            CatalogError::sqlite("committing the deployment")(rusqlite::Error::SqliteFailure(full, None));
        assert_eq!(full.code(), ErrorCode::StorageFailed);
    }

    #[test]
    fn names_are_listed_and_a_long_list_is_cut() {
        assert_eq!(Names::new(["A", "B"]).to_string(), "`A`, `B`");
        assert_eq!(Names::new(Vec::<String>::new()).to_string(), "nothing");
        assert!(Names::new(0..25).to_string().ends_with("`19` and 5 more"));
    }
}
