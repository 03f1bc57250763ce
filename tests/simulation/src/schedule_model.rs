//! When a named alarm must run, worked out without the product's code: cron rules minute by minute.
//!
//! Its rules name minutes of the hour, in zones whose clocks never change, so that whole hours are all alike.

use durabo_objects::trigger::{CronRule, Trigger};
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60_000;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Zone {
    /// As none is named.
    Utc,
    /// Ahead by five hours and a half.
    Kolkata,
    /// Ahead by five hours and three quarters.
    Kathmandu,
}

impl Zone {
    fn name(self) -> Option<String> {
        match self {
            Zone::Utc => None,
            Zone::Kolkata => Some("Asia/Kolkata".to_owned()),
            Zone::Kathmandu => Some("Asia/Kathmandu".to_owned()),
        }
    }

    fn minutes_ahead(self) -> u64 {
        match self {
            Zone::Utc => 0,
            Zone::Kolkata => 330,
            Zone::Kathmandu => 345,
        }
    }
}

/// When an entry is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Once, so many milliseconds from now or before.
    In(i64),
    /// Again and again, in steps of so many milliseconds.
    Every(u64),
    /// At these minutes of each hour.
    Minutes(Vec<u64>, Zone),
}

impl When {
    /// What is set at `now`, in milliseconds since 1970 as all times here.
    pub fn trigger(&self, now: u64) -> Trigger {
        match self {
            When::In(ms) => Trigger::At(now.saturating_add_signed(*ms)),
            When::Every(ms) => Trigger::Every(*ms),
            When::Minutes(minutes, zone) => {
                let minutes: Vec<String> = minutes.iter().map(u64::to_string).collect();
                let expression = format!("{} * * * *", minutes.join(","));
                Trigger::Cron(CronRule { expression, time_zone: zone.name() })
            }
        }
    }

    /// The first run of what is set at `now`.
    pub fn first(&self, now: u64) -> u64 {
        match self {
            When::In(ms) => now.saturating_add_signed(*ms).max(now),
            When::Every(ms) => now + ms,
            When::Minutes(minutes, zone) => minute_after(now, minutes, *zone),
        }
    }

    /// The run after one for `ran_for` that has ended at `now`.
    pub fn next(&self, ran_for: u64, now: u64) -> Option<u64> {
        match self {
            When::In(_) => None,
            When::Every(ms) => {
                let mut next = ran_for + ms;
                while next <= now {
                    next += ms;
                }
                Some(next)
            }
            When::Minutes(minutes, zone) => Some(minute_after(ran_for.max(now), minutes, *zone)),
        }
    }
}

fn minute_after(after: u64, minutes: &[u64], zone: Zone) -> u64 {
    let mut next = after / MINUTE + 1;
    while !minutes.contains(&((next + zone.minutes_ahead()) % 60)) {
        next += 1;
    }
    next * MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sc_3_and_sc_4_runs_are_behind_the_present_and_behind_the_time_that_was_run_for() {
        let every = When::Every(1500);
        assert_eq!((every.first(100), every.next(1600, 1700)), (1600, Some(3100)));
        assert_eq!((every.next(1600, 3100), every.next(1600, 5)), (Some(4600), Some(3100)));
        let hour = 3_600_000;
        let rule = When::Minutes(vec![0, 20], Zone::Utc);
        assert_eq!((rule.first(0), rule.first(20 * MINUTE)), (20 * MINUTE, hour));
        assert_eq!(rule.next(20 * MINUTE, 3 * hour + 1), Some(3 * hour + 20 * MINUTE));
        assert_eq!(rule.next(hour, 20 * MINUTE), Some(hour + 20 * MINUTE));
        // Minute 0 of Kolkata is minute 30 of UTC, and of Kathmandu minute 15.
        assert_eq!(When::Minutes(vec![0], Zone::Kolkata).first(0), 30 * MINUTE);
        assert_eq!(When::Minutes(vec![0], Zone::Kathmandu).first(0), 15 * MINUTE);
        assert_eq!((When::In(-5).first(100), When::In(5).next(105, 105)), (100, None));
    }
}
