//! Named alarms: any number of wake-up times under names, once, at intervals or by a cron rule (rules SC).
//!
//! They are part of storage as the alarm is, and independent of it. Setting exactly what is stored changes nothing,
//! so that an entry may be set in the constructor at each start.

use std::time::Duration;

use crate::alarm::{AlarmRun, runs_from_host};
use crate::bindings::durabo::object::schedule as wit;
use crate::bindings::durabo::object::types::WriteFlags;
use crate::bindings::exports::durabo::object::schedule_handler as handler;
use crate::failure::Failure;
use crate::timestamp::Timestamp;

/// The object's named alarms.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub(crate) flags: WriteFlags,
}

/// When a named alarm runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Once; then the entry is gone.
    At(Timestamp),
    /// Again and again, first after one interval; 1 s at least (SC-3).
    Every(Duration),
    /// By a rule of five fields: minute, hour, day, month, weekday (SC-4).
    Cron {
        /// The fields.
        expression: String,
        /// Name of the IANA database; UTC if there is none (SC-5).
        time_zone: Option<String>,
    },
}

/// One named alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub trigger: Trigger,
    /// For the handler.
    pub payload: Vec<u8>,
    /// Its next run, or the next try of one that has failed.
    pub next: Timestamp,
}

/// What is known of a run of the `scheduled` handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleInfo {
    /// Name of the entry.
    pub name: String,
    /// As it was set.
    pub payload: Vec<u8>,
    /// The time for which it runs; the same on every try.
    pub scheduled_time: Timestamp,
    /// Tries before this one that failed and counted.
    pub retry_count: u32,
    /// Whether there was one.
    pub is_retry: bool,
}

impl Trigger {
    /// By a cron rule, in UTC.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), time_zone: None }
    }

    /// By a cron rule, in a time zone such as `Europe/Berlin`.
    pub fn cron_in(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), time_zone: Some(time_zone.into()) }
    }

    fn to_host(&self) -> wit::Trigger {
        match self {
            Self::At(time) => wit::Trigger::At(time.millis()),
            Self::Every(interval) => {
                wit::Trigger::Every(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Cron { expression, time_zone } => {
                let (expression, time_zone) = (expression.clone(), time_zone.clone());
                wit::Trigger::Cron(wit::Cron { expression, time_zone })
            }
        }
    }

    fn from_host(trigger: wit::Trigger) -> Self {
        match trigger {
            wit::Trigger::At(time) => Self::At(Timestamp::from_millis(time)),
            wit::Trigger::Every(ms) => Self::Every(Duration::from_millis(ms)),
            wit::Trigger::Cron(wit::Cron { expression, time_zone }) => Self::Cron { expression, time_zone },
        }
    }
}

impl Schedule {
    /// The same, for changes that replies and messages need not wait for (OG-8).
    pub fn unconfirmed(self) -> Self {
        Self { flags: WriteFlags::ALLOW_UNCONFIRMED }
    }

    /// Adds or replaces the entry `name`, whose handler gets `payload`, 64 KiB at most. Fails for a rule or a time
    /// zone that there is none of, beyond 10,000 entries, and in a class without a `scheduled` handler, save in its
    /// constructor (SC-8).
    pub fn set(&self, name: &str, trigger: &Trigger, payload: impl AsRef<[u8]>) -> Result<(), Failure> {
        wit::set(name, &trigger.to_host(), payload.as_ref(), self.flags).map_err(Failure::from_host)
    }

    /// The entry of that name. `None` also within the run of one that comes once only (SC-12).
    pub fn get(&self, name: &str) -> Result<Option<Entry>, Failure> {
        Ok(wit::get(name).map_err(Failure::from_host)?.map(Entry::from_host))
    }

    /// Removes an entry; whether it was there. Does not stop a run (SC-16).
    pub fn delete(&self, name: &str) -> Result<bool, Failure> {
        wit::delete(name, self.flags).map_err(Failure::from_host)
    }

    /// Entries in the order of their names, `limit` at most: those whose names begin with `prefix`, and come after
    /// `start_after` if there is one.
    pub fn list(&self, prefix: &str, start_after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Failure> {
        let entries = wit::list(Some(prefix), start_after, limit).map_err(Failure::from_host)?;
        Ok(entries.into_iter().map(Entry::from_host).collect())
    }

    /// The last runs of that name since the node started, newest first, `limit` at most (SC-23).
    pub fn history(&self, name: &str, limit: u32) -> Result<Vec<AlarmRun>, Failure> {
        Ok(runs_from_host(wit::history(name, limit).map_err(Failure::from_host)?))
    }
}

impl Entry {
    fn from_host(entry: wit::Entry) -> Self {
        let wit::Entry { name, trigger, payload, next } = entry;
        Self { name, trigger: Trigger::from_host(trigger), payload, next: Timestamp::from_millis(next) }
    }
}

impl ScheduleInfo {
    pub(crate) fn from_host(info: handler::ScheduleInfo) -> Self {
        let handler::ScheduleInfo { name, payload, scheduled_time, retry_count, is_retry } = info;
        let scheduled_time = Timestamp::from_millis(scheduled_time);
        Self { name, payload, scheduled_time, retry_count, is_retry }
    }
}
