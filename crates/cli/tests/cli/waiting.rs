//! Waiting for what comes by itself, until it has come or far more time has passed than it takes.
//!
//! Bounded by time and not by a number of looks: how long a look takes depends on the machine. What makes progress gets
//! more time, and a wait that fails ends the threads that work meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// Looks until nothing is left, for as long as it becomes less.
#[track_caller]
pub fn until_none_is_left(of_what: &str, mut left: impl FnMut() -> u64) {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let seen = left();
        if seen == 0 {
            return;
        }
        if seen < least {
            (least, since) = (seen, Instant::now());
        }
        assert!(since.elapsed() < DEADLINE, "there are still {seen} {of_what}");
    }
}

/// Tells threads that it is over, also when a test fails: a scope waits for them.
pub struct EndOnDrop<'a>(pub &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
