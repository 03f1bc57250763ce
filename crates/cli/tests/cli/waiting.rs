//! Waiting for what comes by itself, until it has come or far more time has passed than it takes.
//!
//! Bounded by time and not by a number of looks: how long a look takes depends on the machine.

use std::time::Duration;

use tokio::time::Instant;

/// Far more than a frame, a line or a change takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until what is waited for is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "it never came to pass that {what}");
    }
}
