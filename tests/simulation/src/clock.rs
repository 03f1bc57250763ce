//! A clock that stands still unless the test moves it, in either direction.
//!
//! Timers go by the runtime's paused time instead; this is the time of day.

use std::sync::atomic::{AtomicU64, Ordering};

use durabo_model::time::{Clock, Timestamp};

/// The clock of a simulated node.
#[derive(Debug)]
pub struct SimulatedClock(AtomicU64);

impl SimulatedClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Sets it, forwards or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}
