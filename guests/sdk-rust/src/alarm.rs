//! The object's one alarm: a moment at which the node calls the class's `alarm` handler (rules AL).
//!
//! It is part of storage: it commits and is undone with the turn. Calls do not wait and let no other event in.

use std::time::Duration;

use crate::bindings::durabo::object::alarm as wit;
pub use crate::bindings::durabo::object::alarm::Outcome as AlarmOutcome;
use crate::bindings::durabo::object::types::WriteFlags;
use crate::bindings::exports::durabo::object::alarm_handler as handler;
use crate::failure::Failure;
use crate::timestamp::Timestamp;

/// The object's alarm.
#[derive(Debug, Clone, Copy)]
pub struct Alarm {
    pub(crate) flags: WriteFlags,
}

impl Alarm {
    /// The same, for changes that replies and messages need not wait for (OG-8). They commit with the turn; if
    /// that fails the object is reset all the same.
    pub fn unconfirmed(self) -> Self {
        Self { flags: WriteFlags::ALLOW_UNCONFIRMED }
    }

    /// The moment that is set; `None` if none is. Within the handler `None`, unless it has set a new one
    /// (AL-9); between the tries of one that fails, its own moment, which is past (AL-11).
    pub fn get(&self) -> Result<Option<Timestamp>, Failure> {
        Ok(wit::get().map_err(Failure::from_host)?.map(Timestamp::from_millis))
    }

    /// Sets or replaces it: a [`Timestamp`] or a `SystemTime`. A past moment means now. Fails for the epoch
    /// itself, beyond the year 2189 (AL-1), and in a class without an `alarm` handler, save in its constructor
    /// (AL-2).
    pub fn set(&self, time: impl Into<Timestamp>) -> Result<(), Failure> {
        wit::set(time.into().millis(), self.flags).map_err(Failure::from_host)
    }

    /// Sets it to `delay` from now, and gives that moment. As [`set`](Self::set) otherwise.
    pub fn set_in(&self, delay: Duration) -> Result<Timestamp, Failure> {
        let time = Timestamp::now() + delay;
        self.set(time)?;
        Ok(time)
    }

    /// The last runs since the node started, newest first, `limit` at most; the node keeps 100.
    pub fn history(&self, limit: u32) -> Result<Vec<AlarmRun>, Failure> {
        Ok(runs_from_host(wit::history(limit).map_err(Failure::from_host)?))
    }

    /// Clears it; clearing none is no error. Does not stop a run that is under way (AL-15).
    pub fn delete(&self) -> Result<(), Failure> {
        wit::delete(self.flags).map_err(Failure::from_host)
    }
}

/// What is known of a run of the `alarm` handler (AL-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmInfo {
    /// The moment that was set; the same on every try.
    pub scheduled_time: Timestamp,
    /// Tries before this one that failed and counted (AL-11, AL-12).
    pub retry_count: u32,
    /// Whether there was one.
    pub is_retry: bool,
}

/// A past run, of the alarm or of a named one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRun {
    /// The moment that was set.
    pub scheduled_time: Timestamp,
    /// When the handler was called.
    pub started: Timestamp,
    /// When it had returned, or was cut.
    pub finished: Timestamp,
    /// Tries before it that failed and counted.
    pub retry_count: u32,
    /// How it ended.
    pub outcome: AlarmOutcome,
    /// What the failure said.
    pub error: Option<String>,
}

pub(crate) fn runs_from_host(runs: Vec<wit::Run>) -> Vec<AlarmRun> {
    let run = |run: wit::Run| AlarmRun {
        scheduled_time: Timestamp::from_millis(run.scheduled_time),
        started: Timestamp::from_millis(run.started),
        finished: Timestamp::from_millis(run.finished),
        retry_count: run.retry_count,
        outcome: run.outcome,
        error: run.error,
    };
    runs.into_iter().map(run).collect()
}

impl AlarmInfo {
    pub(crate) fn from_host(info: handler::AlarmInfo) -> Self {
        Self {
            scheduled_time: Timestamp::from_millis(info.scheduled_time),
            retry_count: info.retry_count,
            is_retry: info.is_retry,
        }
    }
}
