//! `schedule`: named alarms. Whatever uses time here counts against the event, as in `sql`.
//!
//! The rows are `storage`'s, and what a trigger means is known to `objects`.

use durabo_objects::context::schedule::{ShownSchedule, shown};
use durabo_objects::trigger::{self, CronRule};
use durabo_storage::schedule::ScheduleListOptions;

use super::alarm::run_to_guest;
use super::kv::write_options;
use crate::bindings::object::schedule::{Cron, Entry, Host, Run, Trigger};
use crate::bindings::object::types::{Failure, WriteFlags};
use crate::failure_record;
use crate::state::GuestState;
use crate::statement_costs::TextKey;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn set(
        &mut self,
        name: String,
        trigger: Trigger,
        payload: Vec<u8>,
        options: WriteFlags,
    ) -> Answer<()> {
        self.wait_for_room().await?;
        let trigger = of_guest(trigger);
        let new = match self.context.new_schedule(name, &trigger, payload, self.wakes.schedule) {
            Ok(new) => new,
            Err(refused) => return Ok(Err(failure_record::to_guest(refused))),
        };
        let (key, options) = (TextKey::of("schedule.set"), write_options(options));
        let set = self.on_database(key, move |database| database.set_schedule(new, options)).await?;
        Ok(set.map_err(|error| failure_record::to_guest(failure_record::of_schedule(error))))
    }

    async fn get(&mut self, name: String) -> Answer<Option<Entry>> {
        let running = self.context.running_schedule();
        let got = self.on_database(TextKey::of("schedule.get"), move |database| {
            let entry = database.schedule(&name)?;
            Ok(entry.map(|entry| shown(entry, running)).transpose()?.flatten())
        });
        let got = got.await?.map(|entry| entry.map(to_guest));
        Ok(got.map_err(|error| failure_record::to_guest(failure_record::of_schedule(error))))
    }

    async fn delete(&mut self, name: String, options: WriteFlags) -> Answer<bool> {
        self.wait_for_room().await?;
        // What runs at present and does not come again is gone already, for whoever looks.
        let running = self.context.running_schedule();
        let (key, options) = (TextKey::of("schedule.delete"), write_options(options));
        let deleted = self.on_database(key, move |database| {
            let entry = database.schedule(&name)?;
            let is_shown = entry.map(|entry| shown(entry, running)).transpose()?.flatten().is_some();
            Ok(database.delete_schedule(&name, options)? && is_shown)
        });
        Ok(deleted.await?.map_err(|error| failure_record::to_guest(failure_record::of_schedule(error))))
    }

    async fn list(
        &mut self,
        prefix: Option<String>,
        start_after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<Entry>> {
        let running = self.context.running_schedule();
        let options = ScheduleListOptions { prefix: prefix.unwrap_or_default(), start_after, limit };
        let listed = self.on_database(TextKey::of("schedule.list"), move |database| {
            let entries = database.list_schedules(&options)?.into_iter();
            let shown = entries.filter_map(|entry| shown(entry, running).transpose());
            Ok(shown.collect::<Result<Vec<_>, _>>()?)
        });
        let listed = listed.await?.map(|entries| entries.into_iter().map(to_guest).collect());
        Ok(listed.map_err(|error| failure_record::to_guest(failure_record::of_schedule(error))))
    }

    async fn history(&mut self, name: String, limit: u32) -> Answer<Vec<Run>> {
        let runs = self.context.alarm_runs(Some(&name), limit as usize);
        Ok(Ok(runs.into_iter().map(run_to_guest).collect()))
    }
}

fn of_guest(trigger: Trigger) -> trigger::Trigger {
    match trigger {
        Trigger::At(time) => trigger::Trigger::At(time),
        Trigger::Every(ms) => trigger::Trigger::Every(ms),
        Trigger::Cron(Cron { expression, time_zone }) => {
            trigger::Trigger::Cron(CronRule { expression, time_zone })
        }
    }
}

fn to_guest(entry: ShownSchedule) -> Entry {
    let trigger = match entry.trigger {
        trigger::Trigger::At(time) => Trigger::At(time),
        trigger::Trigger::Every(ms) => Trigger::Every(ms),
        trigger::Trigger::Cron(CronRule { expression, time_zone }) => {
            Trigger::Cron(Cron { expression, time_zone })
        }
    };
    Entry { name: entry.name, trigger, payload: entry.payload, next: entry.next.0 }
}
