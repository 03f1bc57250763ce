//! Times within which a case must act itself, or the node does: tried with ever longer ones.
//!
//! A machine that stalls is too slow for a short time though the node is right; a node that is wrong is so with the
//! longest one as well. Alarms that a case must be ahead of are in `waking`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Tries a case with these times, in milliseconds, each on a node of its own, until it passes; the last one decides.
pub fn with_growing_times(times_ms: [u64; 3], attempt: impl Fn(Duration)) {
    let [short, longer, last] = times_ms.map(Duration::from_millis);
    let passes = |time| catch_unwind(AssertUnwindSafe(|| attempt(time))).is_ok();
    if !passes(short) && !passes(longer) {
        attempt(last);
    }
}
