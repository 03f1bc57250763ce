//! Fresh folders for nodes, below the build's output, gone when their node is or at the latest when
//! the suite runs again.
//!
//! Nodes that several tests use are never dropped, so a run leaves a folder of its process behind; the
//! next run removes those of processes that have ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::eventually::eventually;

static PROCESS_FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = Path::new(env!("OUT_DIR")).join("nodes");
    remove_leftovers(&all);
    let own = all.join(process::id().to_string());
    fs::create_dir_all(&own).unwrap_or_else(|error| panic!("making {}: {error}", own.display()));
    own
});

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Names a folder that does not exist yet.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self { path: PROCESS_FOLDER.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string()) }
    }

    /// A copy of another folder.
    pub fn copy_of(other: &Path) -> Self {
        let folder = Self::new();
        copy(other, &folder.path);
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no node has it any more. One that has stopped may have a thread in the midst of a statement, which
    /// lets go of the folder as soon as it looks up.
    pub fn wait_until_free(&self) {
        let Ok(lock) = File::open(self.path.join("LOCK")) else { return };
        eventually("the stopped node lets go of its folder", || lock.try_lock().ok());
    }

    /// All files in it, as paths relative to it, in order, with their sizes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        collect(&self.path, &self.path, &mut files);
        files.sort();
        files
    }
}

impl Default for RunFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // what is left goes with the next run
    }
}

fn remove_leftovers(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let lives = Path::new("/proc").join(entry.file_name()).exists();
        if !lives {
            let _ = fs::remove_dir_all(entry.path()); // another run may be at it too
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let fault =
        |error: std::io::Error| -> ! { panic!("copying {} to {}: {error}", from.display(), to.display()) };
    fs::create_dir_all(to).unwrap_or_else(|error| fault(error));
    for entry in fs::read_dir(from).unwrap_or_else(|error| fault(error)) {
        let entry = entry.unwrap_or_else(|error| fault(error));
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap_or_else(|error| fault(error)).is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap_or_else(|error| fault(error));
        }
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, u64)>) {
    // A file may vanish between the listing and the look at it: the node recycles its log.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if let (Ok(meta), Ok(inner)) = (entry.metadata(), path.strip_prefix(root)) {
            files.push((inner.to_owned(), meta.len()));
        }
    }
}
