//! A handle to the object index of a node, for upkeep, which writes it, and for whoever reads it.
//!
//! Each use has it alone and may wait for the disk and for the others, so it hands the other tasks of its thread over.

use std::sync::{Arc, Mutex};

use durabo_storage::object_index::ObjectIndex;

use crate::blocking::blocking;

/// The index; clones are the same.
#[derive(Debug, Clone)]
pub struct IndexHandle(Arc<Mutex<ObjectIndex>>);

impl IndexHandle {
    /// The first handle to an index.
    pub fn new(index: ObjectIndex) -> Self {
        Self(Arc::new(Mutex::new(index)))
    }

    /// Uses it. Not within another use.
    pub fn with<T>(&self, work: impl FnOnce(&mut ObjectIndex) -> T) -> T {
        blocking(|| work(&mut self.0.lock().expect("BUG: the index's lock is never held over a panic")))
    }
}
