//! What an object can be told to do with its named alarms, and how it shows them.
//!
//! Each of these steps is done at once and ends no turn.

use std::time::Duration;

use durabo::alarm::{AlarmOutcome, AlarmRun};
use durabo::schedule::{Entry, Trigger};
use durabo::{Context, Failure, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One step. Times are milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NamedStep {
    /// Name, trigger, payload.
    Set(String, When, String),
    SetUnconfirmed(String, When, String),
    /// Name, and the size of a payload.
    SetLarge(String, usize),
    Get(String),
    /// Prefix, start after, limit: gives the names.
    List(String, Option<String>, u32),
    Delete(String),
    History(String),
    /// Of the alarm without a name.
    AlarmHistory,
}

/// When an entry is to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    At(u64),
    /// Once, so long from now.
    In(u64),
    Every(u64),
    /// In UTC.
    Cron(String),
    /// In a time zone.
    CronIn(String, String),
}

impl NamedStep {
    /// Does it.
    pub(crate) fn perform(&self, ctx: &Context) -> Result<Value, Failure> {
        let schedule = ctx.schedule();
        Ok(match self {
            Self::Set(name, when, payload) => json!(schedule.set(name, &when.trigger(), payload)?),
            Self::SetUnconfirmed(name, when, payload) => {
                json!(schedule.unconfirmed().set(name, &when.trigger(), payload)?)
            }
            Self::SetLarge(name, size) => {
                json!(schedule.set(name, &Trigger::Every(Duration::from_secs(3600)), vec![b'x'; *size])?)
            }
            Self::Get(name) => json!(schedule.get(name)?.map(shown)),
            Self::List(prefix, after, limit) => {
                let entries = schedule.list(prefix, after.as_deref(), *limit)?;
                json!(entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>())
            }
            Self::Delete(name) => json!(schedule.delete(name)?),
            Self::History(name) => runs(schedule.history(name, 100)?),
            Self::AlarmHistory => runs(ctx.alarm().history(100)?),
        })
    }
}

impl When {
    fn trigger(&self) -> Trigger {
        match self {
            Self::At(time) => Trigger::At(Timestamp::from_millis(*time)),
            Self::In(ms) => Trigger::At(Timestamp::now() + Duration::from_millis(*ms)),
            Self::Every(ms) => Trigger::Every(Duration::from_millis(*ms)),
            Self::Cron(expression) => Trigger::cron(expression),
            Self::CronIn(expression, time_zone) => Trigger::cron_in(expression, time_zone),
        }
    }
}

fn shown(entry: Entry) -> Value {
    let trigger = match entry.trigger {
        Trigger::At(time) => json!({"at": time}),
        Trigger::Every(interval) => json!({"every": interval.as_millis()}),
        Trigger::Cron { expression, time_zone } => json!({"cron": expression, "in": time_zone}),
    };
    let payload = String::from_utf8_lossy(&entry.payload);
    json!({"name": entry.name, "trigger": trigger, "payload": payload, "next": entry.next})
}

fn runs(runs: Vec<AlarmRun>) -> Value {
    let run = |run: AlarmRun| {
        let outcome = match run.outcome {
            AlarmOutcome::Succeeded => "succeeded",
            AlarmOutcome::Failed => "failed",
            AlarmOutcome::Abandoned => "abandoned",
        };
        json!([run.scheduled_time, run.retry_count, outcome, run.error])
    };
    runs.into_iter().map(run).collect()
}
