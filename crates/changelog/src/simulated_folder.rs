//! One folder of the simulated disk: its names now, its names on the disk, and the changes between.
//!
//! A power loss keeps the first few unsynced changes, or any of them that do not build on a lost one.
//! A rename is kept whole or not at all. Used by `simulated_disk` alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::seeded::Seeded;

/// Number of a file, whatever its name.
pub(crate) type FileNumber = u64;

enum NameChange {
    Set { name: String, file: FileNumber },
    Rename { from: String, to: String, file: FileNumber },
    Remove { name: String },
}

impl NameChange {
    fn names(&self) -> impl Iterator<Item = &String> {
        let (first, second) = match self {
            NameChange::Set { name, .. } | NameChange::Remove { name } => (name, None),
            NameChange::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    fn apply(&self, names: &mut BTreeMap<String, FileNumber>) {
        match self {
            NameChange::Set { name, file } => {
                names.insert(name.clone(), *file);
            }
            NameChange::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            NameChange::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

/// A folder.
#[derive(Default)]
pub(crate) struct Folder {
    current: BTreeMap<String, FileNumber>,
    synced: BTreeMap<String, FileNumber>,
    unsynced: Vec<NameChange>,
}

impl Folder {
    pub(crate) fn get(&self, name: &str) -> Option<FileNumber> {
        self.current.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.current.keys()
    }

    /// Files that have a name now.
    pub(crate) fn named(&self) -> impl Iterator<Item = FileNumber> {
        self.current.values().copied()
    }

    /// Files that have a name now, or may have one after a power loss.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileNumber> {
        let named = self.unsynced.iter().filter_map(|change| match change {
            NameChange::Set { file, .. } | NameChange::Rename { file, .. } => Some(*file),
            NameChange::Remove { .. } => None,
        });
        self.current.values().chain(self.synced.values()).copied().chain(named)
    }

    pub(crate) fn set(&mut self, name: &str, file: FileNumber) {
        self.change(NameChange::Set { name: name.to_owned(), file });
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.change(NameChange::Remove { name: name.to_owned() });
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, file: FileNumber) {
        self.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
        self.synced.clone_from(&self.current);
    }

    pub(crate) fn lose(&mut self, random: &mut Seeded) {
        let prefix = random.chance(50).then(|| random.below(self.unsynced.len() as u64 + 1) as usize);
        let mut lost = BTreeSet::new();
        for (at, change) in self.unsynced.drain(..).enumerate() {
            let kept = match prefix {
                Some(prefix) => at < prefix,
                None => random.chance(50),
            };
            if kept && !change.names().any(|name| lost.contains(name)) {
                change.apply(&mut self.synced);
            } else {
                lost.extend(change.names().cloned());
            }
        }
        self.current.clone_from(&self.synced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_leaves_the_old_or_the_new_file_and_never_none() {
        let (mut old, mut new) = (0, 0);
        for seed in 0..100 {
            let mut folder = Folder::default();
            folder.set("a", 1);
            folder.sync();
            folder.set("b", 2);
            folder.rename("b", "a", 2);
            folder.lose(&mut Seeded::new(seed));
            match folder.get("a") {
                Some(1) => old += 1,
                Some(2) => {
                    assert_eq!(folder.get("b"), None);
                    new += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(old > 10 && new > 10, "{old} {new}");
    }

    #[test]
    fn a_file_made_and_removed_may_come_back_and_is_still_known() {
        let mut folder = Folder::default();
        folder.set("a", 1);
        folder.remove("a");
        assert_eq!((folder.get("a"), folder.files().collect::<Vec<_>>()), (None, vec![1]));
    }

    #[test]
    fn synced_names_survive() {
        let mut folder = Folder::default();
        folder.set("a", 1);
        folder.set("b", 2);
        folder.remove("a");
        folder.sync();
        folder.lose(&mut Seeded::new(3));
        assert_eq!((folder.get("a"), folder.get("b")), (None, Some(2)));
    }
}
