//! The folder of compiled code: where a component's code is kept, and where it is made.
//!
//! Code is made beside its place and renamed, so that a half-written file is never found under a final
//! name. What a crash leaves behind is dropped when the folder is opened again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use durabo_catalog::ComponentDigest;

/// Compiled code runs with the rights of the node: nobody else may write it, or read it.
const FILE_MODE: u32 = 0o600;

const TEMPORARY: &str = ".tmp";

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// The folder. Only one process may have it open: the data folder's lock sees to it.
pub struct CodeFolder {
    path: PathBuf,
    drafts: AtomicU64,
}

impl CodeFolder {
    /// Opens a folder, which must exist, and drops the unfinished files in it.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_unfinished) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path, drafts: AtomicU64::new(0) })
    }

    /// Where the code of a component is kept.
    pub fn path(&self, digest: ComponentDigest) -> PathBuf {
        self.path.join(format!("{}.cwasm", digest.hex()))
    }

    /// A place to compile in, which holds the component and, so far, no code.
    pub fn draft(&self, digest: ComponentDigest, component: &[u8]) -> io::Result<Draft> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let file = |kind| self.path.join(format!(".{}.{number}.{kind}{TEMPORARY}", digest.hex()));
        let draft = Draft { component: file("wasm"), code: file("cwasm"), place: self.path(digest) };
        write_private(&draft.component, component)?;
        Ok(draft)
    }
}

/// Two files that are gone when this is dropped.
pub struct Draft {
    /// The component.
    pub component: PathBuf,
    /// Where its code goes.
    pub code: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Puts the code in its place. It is not synced: its checksum tells whether it survived.
    pub fn keep(&self) -> io::Result<()> {
        fs::rename(&self.code, &self.place)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for path in [&self.component, &self.code] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "an unfinished file stays until the next start");
                }
                _ => {}
            }
        }
    }
}

/// Only files that carry a digest in their name are ours to drop.
fn is_unfinished(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(TEMPORARY)?.split_once('.'));
    parts.is_some_and(|(digest, _)| {
        digest.len() == DIGEST_DIGITS && digest.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Writes a file that only the node may read and write.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn names(folder: &TempDir) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("entry").file_name();
        let names = fs::read_dir(folder.path()).expect("folder").map(name);
        names.map(|name| name.into_string().expect("text")).collect()
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing_and_one_that_is_kept_its_code() {
        let folder = TempDir::new().expect("folder");
        let digest = ComponentDigest::of(b"component");
        let open = CodeFolder::open(folder.path().to_owned()).expect("open");
        let draft = open.draft(digest, b"component").expect("draft");
        write_private(&draft.code, b"half").expect("written");
        drop(draft);
        assert_eq!(names(&folder), [""; 0]);
        let draft = open.draft(digest, b"component").expect("draft");
        write_private(&draft.code, b"code").expect("written");
        draft.keep().expect("kept");
        drop(draft);
        assert_eq!(fs::read(open.path(digest)).expect("code"), b"code");
        assert_eq!(names(&folder).len(), 1);
    }

    #[test]
    fn what_a_crash_left_is_dropped_at_the_next_start_and_nothing_else() {
        let folder = TempDir::new().expect("folder");
        let digest = ComponentDigest::of(b"component");
        let open = CodeFolder::open(folder.path().to_owned()).expect("open");
        let draft = open.draft(digest, b"component").expect("draft");
        write_private(&draft.code, b"half").expect("written");
        std::mem::forget(draft);
        for foreign in [".notes.tmp", "notes.tmp"] {
            fs::write(folder.path().join(foreign), "").expect("written");
        }
        fs::write(open.path(digest), "code").expect("written");
        CodeFolder::open(folder.path().to_owned()).expect("open");
        let mut left = names(&folder);
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(left[..1], [".notes.tmp"]);
    }
}
