//! When to try again what has failed: pauses that double up to a bound, and begin anew with a success.
//!
//! Used by an object for copies to its file and for its way back into service. Decides nothing itself.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Retry {
    pause: Duration,
    pause_max: Duration,
    again_at: Option<Instant>,
}

impl Retry {
    /// Nothing has failed yet.
    pub(crate) fn new(pause_max: Duration) -> Self {
        Self { pause: FIRST, pause_max, again_at: None }
    }

    /// It has failed; gives when to try again.
    pub(crate) fn failed(&mut self) -> Instant {
        let again_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(self.pause_max);
        self.again_at = Some(again_at);
        again_at
    }

    /// It has succeeded; says whether it had failed before.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.pause = FIRST;
        self.again_at.take().is_some()
    }

    /// It has failed and not succeeded since.
    pub(crate) fn has_failed(&self) -> bool {
        self.again_at.is_some()
    }

    /// It has failed and is not to be tried yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.again_at.is_some_and(|at| Instant::now() < at)
    }

    /// It has failed and is to be tried again.
    pub(crate) fn is_due(&self) -> bool {
        self.has_failed() && !self.is_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_bound_and_begin_anew_after_a_success() {
        let mut retry = Retry::new(FIRST * 3);
        assert!(!retry.has_failed());
        for factor in [1, 2, 3, 3] {
            assert_eq!(retry.failed() - Instant::now(), FIRST * factor);
            assert!(retry.is_waiting() && !retry.is_due());
            tokio::time::advance(FIRST * factor).await;
            assert!(retry.is_due() && !retry.is_waiting());
        }
        assert!(retry.succeeded() && !retry.succeeded());
        assert_eq!(retry.failed() - Instant::now(), FIRST);
    }
}
