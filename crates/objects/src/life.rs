//! Life of an object between two resets, as its stubs see it.
//!
//! A stub belongs to the life that it first reached. Once that has ended by a reset, the stub answers with
//! the reset's failure for good (ST-3). Eviction ends nothing.

use std::sync::OnceLock;

use durabo_model::failure::Failure;

/// One life.
#[derive(Debug, Default)]
pub struct Life(OnceLock<Failure>);

impl Life {
    /// Ends it.
    pub(crate) fn end(&self, failure: Failure) {
        // The first failure counts.
        drop(self.0.set(failure));
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<&Failure> {
        self.0.get()
    }
}
