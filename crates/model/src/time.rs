//! Moments and the clock that gives them.
//!
//! No crate but `server` reads the system's clock; all others are handed a [`Clock`], so that tests
//! decide what time it is.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Tells the time of day. May step back; nothing about safety may rest on it.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}
