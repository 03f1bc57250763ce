//! Numbers of events.
//!
//! They stand in logs and in call chains; no two events of a node's folder have the same.

use std::fmt;

/// Identifies an event on this node, over its starts: the start's number and a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
