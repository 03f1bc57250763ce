//! The system's clock and generator, handed to everything else.
//!
//! The one place that reads them: what is given to a crate can be controlled by its tests.

use std::time::{SystemTime, UNIX_EPOCH};

use durabo_model::random::Random;
use durabo_model::time::{Clock, Timestamp};

/// The machine's time of day.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The machine's generator of random bytes.
#[derive(Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without it no id and no token would be safe: better no node than a guessable one.
        getrandom::fill(bytes).expect("the system's random generator failed");
    }
}
