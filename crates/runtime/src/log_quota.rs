//! How much one instance may log per second: standard output, standard error and `log` together.
//!
//! Stops a guest from filling the disk with its lines or pushing those of others out of a log that is
//! rotated. What is over the quota is dropped and counted, and the count is told in one line as soon as
//! lines are taken again, or when the instance ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durabo_model::limits::{LOG_BYTES_PER_SECOND_MAX, LOG_LINES_PER_SECOND_MAX};
use durabo_model::object::ObjectIdentity;
use durabo_model::time::{Clock, Timestamp};

/// Lines that were not logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Dropped {
    lines: u64,
    bytes: u64,
}

/// What was logged in the present second.
#[derive(Debug, Default)]
struct Window {
    second: u64,
    lines: usize,
    bytes: usize,
    dropped: Dropped,
}

impl Window {
    /// Whether a line of that many bytes is to be logged now, and what was dropped before it.
    fn admit(&mut self, now: Timestamp, bytes: usize) -> (bool, Dropped) {
        let second = now.0 / 1000;
        // Also if the clock stepped back: then a second is merely longer or shorter.
        if second != self.second {
            (self.second, self.lines, self.bytes) = (second, 0, 0);
        }
        let is_over = self.lines >= LOG_LINES_PER_SECOND_MAX
            || self.bytes.saturating_add(bytes) > LOG_BYTES_PER_SECOND_MAX;
        if is_over {
            // Nothing more of this second: a line that happens to be short would hide the gap.
            self.lines = LOG_LINES_PER_SECOND_MAX;
            self.dropped.lines += 1;
            self.dropped.bytes += bytes as u64;
            return (false, Dropped::default());
        }
        self.lines += 1;
        self.bytes += bytes;
        (true, std::mem::take(&mut self.dropped))
    }
}

/// The quota of one instance.
pub struct LogQuota {
    identity: Arc<ObjectIdentity>,
    clock: Arc<dyn Clock>,
    window: Mutex<Window>,
}

impl LogQuota {
    /// A full quota for the instance of the object `identity`.
    pub fn new(identity: Arc<ObjectIdentity>, clock: Arc<dyn Clock>) -> Self {
        Self { identity, clock, window: Mutex::default() }
    }

    /// Whether a line of that many bytes is to be logged. Tells first what was dropped before it.
    pub fn admits(&self, bytes: usize) -> bool {
        let (is_admitted, dropped) = self.lock().admit(self.clock.now(), bytes);
        self.tell(dropped);
        is_admitted
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, dropped: Dropped) {
        let Dropped { lines, bytes } = dropped;
        if lines == 0 {
            return;
        }
        let class = self.identity.class.as_str();
        let object = self.identity.key.id;
        tracing::warn!(
            target: "guest",
            class,
            %object,
            "dropped {lines} lines of {bytes} bytes: an instance may log {LOG_LINES_PER_SECOND_MAX} lines and \
             {LOG_BYTES_PER_SECOND_MAX} bytes a second"
        );
    }
}

impl Drop for LogQuota {
    fn drop(&mut self) {
        let dropped = std::mem::take(&mut self.lock().dropped);
        self.tell(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    #[test]
    fn lines_over_the_number_of_a_second_are_dropped_and_told_in_the_next() {
        let mut window = Window::default();
        let admitted =
            |window: &mut Window, at| (0..5000).filter(|_| window.admit(Timestamp(at), 10).0).count();
        assert_eq!(admitted(&mut window, 5 * SECOND), LOG_LINES_PER_SECOND_MAX);
        assert_eq!(admitted(&mut window, 5 * SECOND + 999), 0);
        let dropped = 10_000 - LOG_LINES_PER_SECOND_MAX as u64;
        let told = Dropped { lines: dropped, bytes: 10 * dropped };
        assert_eq!(window.admit(Timestamp(6 * SECOND), 10), (true, told));
        assert_eq!(window.admit(Timestamp(6 * SECOND), 10), (true, Dropped::default()));
    }

    #[test]
    fn few_long_lines_are_dropped_by_their_bytes_and_short_ones_after_them_too() {
        let mut window = Window::default();
        assert!(window.admit(Timestamp(0), LOG_BYTES_PER_SECOND_MAX - 1).0);
        assert!(!window.admit(Timestamp(0), 2).0);
        assert!(!window.admit(Timestamp(0), 1).0);
        assert!(window.admit(Timestamp(SECOND), 1).0);
    }

    #[test]
    fn a_clock_that_steps_back_blocks_nobody() {
        let mut window = Window::default();
        assert!(window.admit(Timestamp(100 * SECOND), 1).0);
        assert!(window.admit(Timestamp(5 * SECOND), LOG_BYTES_PER_SECOND_MAX).0);
        assert!(!window.admit(Timestamp(5 * SECOND), 1).0);
    }
}
