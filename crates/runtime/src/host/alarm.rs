//! `alarm`: the object's one alarm. Whatever uses time here counts against the event, as in `sql`.
//!
//! An alarm that runs stays stored until its run has ended and is shown to nobody meanwhile (AL-9).

use durabo_objects::alarm_runs::{AlarmRun, RunOutcome};

use super::kv::write_options;
use crate::bindings::object::alarm::{Host, Outcome, Run};
use crate::bindings::object::types::{Failure, Timestamp, WriteFlags};
use crate::failure_record;
use crate::state::GuestState;
use crate::statement_costs::TextKey;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn get(&mut self) -> Answer<Option<Timestamp>> {
        let running = self.context.running_alarm();
        let got = self.on_database(TextKey::of("alarm.get"), |database| database.alarm()).await?;
        Ok(match got {
            Ok(alarm) => Ok(alarm.filter(|alarm| Some(alarm.serial) != running).map(|alarm| alarm.time.0)),
            Err(error) => Err(failure_record::to_guest(failure_record::of_alarm(error.into()))),
        })
    }

    async fn set(&mut self, time: Timestamp, options: WriteFlags) -> Answer<()> {
        self.wait_for_room().await?;
        let new = match self.context.new_alarm(time, self.wakes.alarm) {
            Ok(new) => new,
            Err(refused) => return Ok(Err(failure_record::to_guest(refused))),
        };
        let options = write_options(options);
        let set =
            self.on_database(TextKey::of("alarm.set"), move |database| database.set_alarm(new, options));
        Ok(set.await?.map_err(|error| failure_record::to_guest(failure_record::of_alarm(error))))
    }

    async fn delete(&mut self, options: WriteFlags) -> Answer<()> {
        self.wait_for_room().await?;
        let options = write_options(options);
        let key = TextKey::of("alarm.delete");
        let deleted = self.on_database(key, move |database| database.delete_alarm(options)).await?;
        Ok(match deleted {
            Ok(_) => Ok(()),
            Err(error) => Err(failure_record::to_guest(failure_record::of_alarm(error.into()))),
        })
    }

    async fn history(&mut self, limit: u32) -> Answer<Vec<Run>> {
        let runs = self.context.alarm_runs(None, limit as usize);
        Ok(Ok(runs.into_iter().map(run_to_guest).collect()))
    }
}

pub(super) fn run_to_guest(run: AlarmRun) -> Run {
    Run {
        scheduled_time: run.scheduled.0,
        started: run.started.0,
        finished: run.finished.0,
        retry_count: run.retry_count,
        outcome: match run.outcome {
            RunOutcome::Succeeded => Outcome::Succeeded,
            RunOutcome::Failed => Outcome::Failed,
            RunOutcome::Abandoned => Outcome::Abandoned,
        },
        error: run.error,
    }
}
