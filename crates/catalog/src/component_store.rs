//! Bytes of components, one file for each digest: `components/{hex}.wasm`, readable by the node only.
//!
//! A file under its final name is whole and on disk: it is written under another name, synced, renamed,
//! and the folder synced. What a crash or a refused deployment leaves is dropped at the next start.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::ComponentDigest;
use crate::error::CatalogError;

const TEMPORARY: &str = ".new";

/// The folder `components`. Only one process may have it open: the data folder's lock sees to it.
#[derive(Debug)]
pub struct ComponentStore {
    folder: PathBuf,
    temporary_files: AtomicU64,
}

impl ComponentStore {
    /// Opens the folder, making it if need be. The parent folder is not synced.
    pub fn open(folder: PathBuf) -> Result<Self, CatalogError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(CatalogError::io("creating folder", &folder))?;
        Ok(Self { folder, temporary_files: AtomicU64::new(0) })
    }

    /// Where the component of this digest is kept.
    pub fn path(&self, digest: ComponentDigest) -> PathBuf {
        self.folder.join(format!("{}.wasm", digest.hex()))
    }

    /// Size of a stored component in bytes; `None` if it is not stored.
    pub fn size_bytes(&self, digest: ComponentDigest) -> Result<Option<u64>, CatalogError> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CatalogError::io("reading size of", path)(error)),
        }
    }

    /// Reads a component and checks that its bytes are what its name says.
    pub fn read(&self, digest: ComponentDigest) -> Result<Vec<u8>, CatalogError> {
        let path = self.path(digest);
        let component = match fs::read(&path) {
            Ok(component) => component,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CatalogError::ComponentMissing(digest));
            }
            Err(error) => return Err(CatalogError::io("reading", path)(error)),
        };
        let found = ComponentDigest::of(&component);
        if found != digest {
            return Err(CatalogError::ComponentDamaged { expected: digest, found });
        }
        Ok(component)
    }

    /// Stores a component under `digest`, which is that of its bytes. On return it is on disk. One that
    /// is there already and whole is left alone; a damaged one is replaced.
    pub fn put(&self, digest: ComponentDigest, component: &[u8]) -> Result<(), CatalogError> {
        match self.read(digest) {
            Ok(_) => return Ok(()),
            Err(CatalogError::ComponentMissing(_) | CatalogError::ComponentDamaged { .. }) => {}
            Err(error) => return Err(error),
        }
        let number = self.temporary_files.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}.{number}{TEMPORARY}", digest.hex()));
        let written = write_synced(&temporary, component);
        let renamed = written.and_then(|()| fs::rename(&temporary, self.path(digest)));
        if let Err(error) = renamed {
            // The first error is the one to report; what is left over goes at the next start.
            let _ = fs::remove_file(&temporary);
            return Err(CatalogError::io("storing component", temporary)(error));
        }
        sync_folder(&self.folder)
    }

    /// Drops what no deployment needs: unfinished files, and components (with the compiled code beside
    /// them) that are not in `kept`. Only at start, while nobody uploads.
    pub fn drop_leftovers(&self, kept: &HashSet<ComponentDigest>) -> Result<(), CatalogError> {
        let entries = fs::read_dir(&self.folder).map_err(CatalogError::io("listing", &self.folder))?;
        for entry in entries {
            let path = entry.map_err(CatalogError::io("listing", &self.folder))?.path();
            if is_leftover(&path, kept) {
                fs::remove_file(&path).map_err(CatalogError::io("removing", &path))?;
            }
        }
        Ok(())
    }
}

/// Only files that carry a digest in their name are ours to drop.
fn is_leftover(path: &Path, kept: &HashSet<ComponentDigest>) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, rest)) = name.split_once('.') else { return false };
    let Some(digest) = ComponentDigest::from_hex(stem) else { return false };
    name.ends_with(TEMPORARY) || (matches!(rest, "wasm" | "cwasm") && !kept.contains(&digest))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes names that were created or changed in `folder` survive a power loss.
pub fn sync_folder(folder: &Path) -> Result<(), CatalogError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(CatalogError::io("syncing folder", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, ComponentStore) {
        let folder = tempfile::tempdir().expect("folder");
        let store = ComponentStore::open(folder.path().join("components")).expect("store");
        (folder, store)
    }

    #[test]
    fn a_stored_component_is_read_back_and_private() {
        let (_folder, store) = store();
        let digest = ComponentDigest::of(b"code");
        store.put(digest, b"code").expect("put");
        store.put(digest, b"code").expect("put twice");
        assert_eq!(store.read(digest).expect("read"), b"code");
        assert_eq!(store.size_bytes(digest).expect("size"), Some(4));
        let mode = fs::metadata(store.path(digest)).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_component_is_refused_and_replaced_by_the_next_upload() {
        let (_folder, store) = store();
        let digest = ComponentDigest::of(b"code");
        store.put(digest, b"code").expect("put");
        fs::write(store.path(digest), b"cod3").expect("damage");
        assert!(matches!(store.read(digest), Err(CatalogError::ComponentDamaged { .. })));
        store.put(digest, b"code").expect("put again");
        assert_eq!(store.read(digest).expect("read"), b"code");
    }

    #[test]
    fn a_component_that_was_never_stored_is_missing() {
        let (_folder, store) = store();
        let digest = ComponentDigest::of(b"x");
        assert!(
            matches!(store.read(digest), Err(CatalogError::ComponentMissing(missing)) if missing == digest)
        );
        assert_eq!(store.size_bytes(digest).expect("size"), None);
    }

    #[test]
    fn leftovers_go_and_foreign_files_stay() {
        let (_folder, store) = store();
        let (kept, dropped) = (ComponentDigest::of(b"kept"), ComponentDigest::of(b"dropped"));
        store.put(kept, b"kept").expect("put");
        store.put(dropped, b"dropped").expect("put");
        let unfinished = store.folder.join(format!("{}.7.new", kept.hex()));
        let compiled = store.path(dropped).with_extension("cwasm");
        let foreign = store.folder.join("notes.wasm");
        for path in [&unfinished, &compiled, &foreign] {
            fs::write(path, b"x").expect("write");
        }
        store.drop_leftovers(&HashSet::from([kept])).expect("drop");
        assert!(store.path(kept).exists() && foreign.exists());
        assert!(!store.path(dropped).exists() && !unfinished.exists() && !compiled.exists());
    }
}
