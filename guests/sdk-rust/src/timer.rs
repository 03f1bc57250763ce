//! Waiting inside an event.
//!
//! A wait ends the turn: what was written before is committed, and other events may run meanwhile.

use std::time::Duration;

use crate::bindings::durabo::object::timer as wit;

/// Returns after at least `duration`, counted in whole milliseconds, rounded up. Ends the turn, even
/// for zero. A pending sleep keeps the object in memory (LC-11); dropping it ends it.
pub async fn sleep(duration: Duration) {
    wit::sleep(milliseconds(duration)).await;
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_counts_as_one() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
