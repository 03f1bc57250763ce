//! Counters that order what happens: epochs of instances, sequences of commits, positions in the log.
//!
//! Each is a type of its own, so that none is taken for another.

use std::fmt;

/// Bits of an epoch that count within one start of the node: at 10,000 loads a second enough for three years.
const LOAD_BITS: u32 = 40;

/// One loaded instance of an object, over the life of the data folder: the node's start number in
/// the high 24 bits, a counter of that start in the others. Grows with every load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The `counter`-th load of the node's `start`-th start. Loads that are too many to be counted have the last
    /// epoch of that start: the log takes an equal one, and refuses a lower one.
    pub const fn new(start: u32, counter: u64) -> Self {
        let last: u64 = (1 << LOAD_BITS) - 1;
        let counter = if counter < last { counter } else { last };
        Self(((start as u64) << LOAD_BITS) | counter)
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
