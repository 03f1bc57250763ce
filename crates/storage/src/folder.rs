//! The data folder: where everything lies, and the lock that keeps a second node out (D14).
//!
//! The lock is held before anything is read. A folder of a newer durabo, or one that is not durabo's,
//! is refused and left untouched.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use durabo_model::object::{NamespaceNumber, ObjectKey};
use serde::{Deserialize, Serialize};

use crate::error::{StorageError, disk_error};

/// Newest layout of a data folder that this program knows.
pub const FORMAT_VERSION: u32 = 1;

const LOCK_NAME: &str = "LOCK";
const FORMAT_NAME: &str = "FORMAT";
const FORMAT_NEW_NAME: &str = "FORMAT.new";

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    durabo: u32,
}

/// An opened data folder; locked as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Opens the folder, making it if it does not exist, and keeps every other process out.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        make_folder(path)?;
        let lock = lock(path)?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.check_format()?;
        for inner in [folder.objects_dir(), folder.components_dir()] {
            make_folder(&inner)?;
        }
        sync_folder(path)?;
        Ok(folder)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where an object's database lies.
    pub fn object_path(&self, key: &ObjectKey) -> PathBuf {
        let id = key.id.to_string();
        self.namespace_dir(key.namespace).join(&id[..2]).join(format!("{id}.sqlite"))
    }

    /// Folder of a namespace's objects.
    pub fn namespace_dir(&self, namespace: NamespaceNumber) -> PathBuf {
        self.objects_dir().join(namespace.to_string())
    }

    /// Folder of the change log.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The object index.
    pub fn index_path(&self) -> PathBuf {
        self.path.join("index.sqlite")
    }

    /// The catalog of deployments.
    pub fn catalog_path(&self) -> PathBuf {
        self.path.join("catalog.sqlite")
    }

    /// Folder of uploaded and compiled components.
    pub fn components_dir(&self) -> PathBuf {
        self.path.join("components")
    }

    /// The token of the control plane.
    pub fn token_path(&self) -> PathBuf {
        self.path.join("token")
    }

    fn objects_dir(&self) -> PathBuf {
        self.path.join("objects")
    }

    fn check_format(&self) -> Result<(), StorageError> {
        let path = self.path.join(FORMAT_NAME);
        let refuse = |reason: String| StorageError::Folder { path: self.path.clone(), reason };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.begin(),
            Err(error) => return Err(disk_error("reading", &path)(error)),
        };
        let format: Format = serde_json::from_slice(&text).map_err(|error| {
            refuse(format!("has a damaged FORMAT file ({error}); restore the folder from a backup"))
        })?;
        if format.durabo > FORMAT_VERSION {
            return Err(refuse(format!(
                "has format {}, this program knows up to {FORMAT_VERSION}; use a newer durabo",
                format.durabo
            )));
        }
        Ok(())
    }

    /// Claims an empty folder.
    fn begin(&self) -> Result<(), StorageError> {
        let entries = fs::read_dir(&self.path).map_err(disk_error("listing", &self.path))?;
        for entry in entries {
            let name = entry.map_err(disk_error("listing", &self.path))?.file_name();
            if name != LOCK_NAME && name != FORMAT_NEW_NAME {
                let name = name.to_string_lossy();
                return Err(StorageError::Folder {
                    path: self.path.clone(),
                    reason: format!(
                        "holds `{name}` but no FORMAT file, so it is not durabo's; name an empty folder"
                    ),
                });
            }
        }
        let new = self.path.join(FORMAT_NEW_NAME);
        let text =
            serde_json::to_string(&Format { durabo: FORMAT_VERSION }).expect("BUG: a format is always JSON");
        write_private(&new, text.as_bytes()).map_err(disk_error("writing", &new))?;
        fs::rename(&new, self.path.join(FORMAT_NAME)).map_err(disk_error("renaming", &new))
    }
}

fn make_folder(path: &Path) -> Result<(), StorageError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(disk_error("making folder", path))?;
    // A folder that an earlier umask or a person made wider.
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(disk_error("protecting folder", path))
}

fn sync_folder(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(disk_error("syncing folder", path))
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let lock_path = path.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&lock_path).map_err(disk_error("opening", &lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Folder {
            path: path.to_owned(),
            reason: "is in use by another durabo process; stop that one or name another folder".to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(disk_error("locking", &lock_path)(error)),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_model::object_id::ObjectId;

    #[test]
    fn a_new_folder_is_private_and_opens_again() {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join("a/data");
        drop(DataFolder::open(&path).expect("new"));
        let folder = DataFolder::open(&path).expect("again");
        let mode = |path: &Path| fs::metadata(path).expect("meta").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("FORMAT")), 0o600);
        let key = ObjectKey { namespace: NamespaceNumber(7), id: ObjectId::from_bytes([0xab; 32]) };
        assert_eq!(
            folder.object_path(&key),
            path.join("objects/7/ab").join(format!("{}.sqlite", "ab".repeat(32)))
        );
    }

    #[test]
    fn a_second_node_on_one_folder_is_told_which_folder_it_is() {
        let temp = tempfile::tempdir().expect("temp");
        let _first = DataFolder::open(temp.path()).expect("first");
        let text = DataFolder::open(temp.path()).expect_err("second").to_string();
        assert!(text.contains(&temp.path().display().to_string()), "{text}");
        assert!(text.contains("in use by another durabo process"), "{text}");
    }

    #[test]
    fn a_newer_folder_is_refused() {
        let temp = tempfile::tempdir().expect("temp");
        fs::write(temp.path().join("FORMAT"), r#"{"durabo":99}"#).expect("write");
        let text = DataFolder::open(temp.path()).expect_err("newer").to_string();
        assert!(text.contains("has format 99, this program knows up to 1"), "{text}");
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().expect("temp");
        fs::write(temp.path().join("thesis.txt"), "mine").expect("write");
        let text = DataFolder::open(temp.path()).expect_err("foreign").to_string();
        assert!(text.contains("holds `thesis.txt` but no FORMAT file"), "{text}");
        assert!(!temp.path().join("objects").exists());
    }
}
