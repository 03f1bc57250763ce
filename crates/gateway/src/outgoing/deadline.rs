//! Until when something must have been done for a request to the outside.
//!
//! Look-up, connection and encryption share one, so that together they take no longer than was allowed.

use std::time::Duration;

use durabo_model::failure::Failure;
use tokio::time::Instant;

use super::target::Target;

/// A time that was allowed, and when it is over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    time: Duration,
}

impl Deadline {
    /// So much time from now on.
    pub fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time, time }
    }

    /// Says that `what` was not there in time.
    pub fn missed(self, target: &Target, what: &str) -> Failure {
        target.failed(&format!("{what} within {} s", self.time.as_secs_f64()))
    }
}
