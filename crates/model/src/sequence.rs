//! Counters that order what happens: epochs of instances, sequences of commits, positions in the log.
//!
//! Each is a type of its own, so that none is taken for another.

use std::fmt;

/// One loaded instance of an object, over the life of the data folder: the node's start number in
/// the high half, a counter of that start in the low half. Grows with every load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The `counter`-th load of the node's `start`-th start.
    pub const fn new(start: u32, counter: u32) -> Self {
        Self(((start as u64) << 32) | counter as u64)
    }
}

/// Number of a commit of one object: 1 for the first, without gaps, for the life of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Byte position in the node's change log, counted over all segments there ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition(pub u64);

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
