//! The wait for the time of the next alarm.
//!
//! An alarm's time is the beginning of a millisecond of the day's time. Timers of the runtime count in whole
//! milliseconds from a moment of their own and round up, so that what waits by them is one to two milliseconds late.
//! So who makes a node gives the wait; the one here is for where nothing finer is at hand, and for time that stands.

use std::sync::Arc;
use std::time::Duration;

use durabo_model::time::{Clock, Timestamp};
use futures::future::BoxFuture;
use tokio::time::sleep;

/// Waits for moments of the time of day, for one who waits.
pub trait AlarmTimer: Send + Sync + 'static {
    /// Ends when the clock has come to `moment`. May end at another time, if the clock is set meanwhile: the clock
    /// must be looked at. A new wait takes the place of one that was given up.
    fn wait_until(&self, moment: Timestamp) -> BoxFuture<'_, ()>;
}

/// Waits by the timers of the runtime, one or two milliseconds longer than was asked for.
pub struct RuntimeTimer(pub Arc<dyn Clock>);

impl AlarmTimer for RuntimeTimer {
    fn wait_until(&self, moment: Timestamp) -> BoxFuture<'_, ()> {
        let wait_ms = moment.0.saturating_sub(self.0.now().0);
        Box::pin(sleep(Duration::from_millis(wait_ms)))
    }
}
