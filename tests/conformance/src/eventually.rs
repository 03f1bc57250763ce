//! Waiting for what the node does by itself and tells nobody: eviction, recycling of the log.
//!
//! Every wait of the suite sleeps here. Whether an event is under way is no matter of time: a journal, a body that is
//! asked for, or a hook tells it.

use std::thread;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(10);
const STEPS_MAX: u32 = 1000;

/// Looks until `condition` gives a value, for ten seconds at most, and fails with `what` then.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    for _ in 0..STEPS_MAX {
        if let Some(value) = condition() {
            return value;
        }
        // waits: the node to act by its own timers, of which no event tells
        thread::sleep(STEP);
    }
    panic!("it never came to pass that {what}");
}

/// Sees to it that `condition` holds for a while.
pub fn holds_for(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        assert!(condition(), "it does not hold that {what}");
        // waits: time to pass in which the node must not act
        thread::sleep(STEP);
    }
}
