//! Named alarms: what the guest may set and see of them, and when one runs next (SC-7 to SC-17).
//!
//! They run by the mechanism of the alarm (`alarm`, `alarm_end`), which asks here for what is different: what the
//! handler is handed, and that a repeating entry goes on after its run.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::time::Timestamp;
use durabo_storage::alarm::StoredAlarm;
use durabo_storage::schedule::{NewSchedule, StoredSchedule};
use durabo_storage::sql_error::SqlError;

use super::ObjectContext;
use crate::event::{AlarmInfo, ScheduledEntry};
use crate::trigger::Trigger;

/// A named alarm, as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSchedule {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub trigger: Trigger,
    /// For the handler.
    pub payload: Vec<u8>,
    /// Its next run, or the next try of one that has failed.
    pub next: Timestamp,
}

/// Which entry runs at present.
#[derive(Debug, Clone, Copy)]
pub struct RunningSchedule {
    run: StoredAlarm,
    now: Timestamp,
}

impl ObjectContext {
    /// What to set for an entry that the guest gives; `handles` says whether its class has a handler, which a
    /// constructor need not know (SC-8).
    pub fn new_schedule(
        &self,
        name: String,
        trigger: &Trigger,
        payload: Vec<u8>,
        handles: bool,
    ) -> Result<NewSchedule, Failure> {
        if !handles && self.instance.has_started {
            let text = "Your Durable Object class must have a scheduled() handler in order to set a schedule";
            return Err(Failure::new(ErrorCode::HandlerMissing, text));
        }
        let time = trigger
            .first(self.node.clock.now())
            .map_err(|error| Failure::new(ErrorCode::InvalidArgument, error.to_string()))?;
        // Of what runs at present only an entry without a next time is gone.
        let running = self.running_schedule().filter(|_| matches!(trigger, Trigger::At(_)));
        let gone = running.map(|running| running.run.serial);
        Ok(NewSchedule { name, rule: trigger.text(), payload, time, gone })
    }

    /// The entry that runs at present, if one does.
    pub fn running_schedule(&self) -> Option<RunningSchedule> {
        let run = self.alarm_run.as_ref().map(|run| run.alarm).filter(|run| run.schedule.is_some())?;
        Some(RunningSchedule { run, now: self.node.clock.now() })
    }

    /// What the handler is told of a run.
    pub(super) fn alarm_info(&mut self, alarm: &StoredAlarm) -> Result<AlarmInfo, SqlError> {
        let entry = match alarm.schedule {
            None => None,
            Some(_) => self.database.schedule_of(alarm)?,
        };
        let entry = entry.map(|entry| ScheduledEntry { name: entry.name, payload: entry.payload });
        Ok(AlarmInfo { scheduled_time: alarm.time, retry_count: alarm.retries, entry })
    }

    /// The run of an entry that follows on one that has succeeded or was given up; `None` if there is none.
    pub(super) fn following(&mut self, alarm: &StoredAlarm) -> Result<Option<StoredAlarm>, SqlError> {
        if alarm.schedule.is_none() {
            return Ok(None);
        }
        let Some(entry) = self.database.schedule_of(alarm)? else { return Ok(None) };
        let next = trigger_of(&entry)?.next(alarm.time, self.node.clock.now());
        Ok(next.map(|time| StoredAlarm { time, due: time, retries: 0, doublings: 0, ..*alarm }))
    }
}

/// The entry as the guest sees it; `None` if it runs at present and does not come again (SC-12).
pub fn shown(
    entry: StoredSchedule,
    running: Option<RunningSchedule>,
) -> Result<Option<ShownSchedule>, SqlError> {
    let trigger = trigger_of(&entry)?;
    let is_running = |running: &RunningSchedule| {
        (running.run.schedule, running.run.serial) == (entry.run.schedule, entry.run.serial)
    };
    let next = match running.filter(is_running) {
        None => Some(entry.run.due),
        Some(RunningSchedule { run, now }) => trigger.next(run.time, now),
    };
    let StoredSchedule { name, payload, .. } = entry;
    Ok(next.map(|next| ShownSchedule { name, trigger, payload, next }))
}

fn trigger_of(entry: &StoredSchedule) -> Result<Trigger, SqlError> {
    Trigger::of_text(&entry.rule).ok_or_else(|| entry.damaged())
}
