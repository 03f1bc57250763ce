//! How a run of the alarm ends: it is cleared, tried again, or given up (AL-10 to AL-15).
//!
//! What has to be stored of that goes into the handler's last turn, or, if the instance was reset, into a turn of
//! the node's own. An alarm that was set meanwhile is another one and stays. A fault of the node is not counted:
//! nothing is stored, and the schedule wakes the object again. It learns of faults alone: what an object's code fails
//! for must hold back nothing else that is due (SC-14).

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, cut};
use durabo_model::limits::{ALARM_RETRIES_MAX, ALARM_RUN_ERROR_BYTES_MAX};
use durabo_model::time::Timestamp;
use durabo_storage::alarm::StoredAlarm;
use durabo_storage::error::StorageError;
use durabo_storage::sql_error::SqlError;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::ObjectContext;
use crate::alarm_runs::{AlarmRun, RunOutcome, after, retry_wait};
use crate::event::{AlarmAnswer, AlarmRequest, Delivery, EventId, Outcome, Reply, Work};
use crate::output_gate::Effect;

/// How a run ended, and why if it failed.
#[derive(Debug, Clone)]
pub(super) struct RunEnd {
    outcome: RunOutcome,
    error: Option<String>,
    /// What follows of it was written; after a fault of the node nothing is.
    is_settled: bool,
}

/// A run whose instance was reset.
pub(super) struct StoppedRun {
    /// `None` if the instance could not even start for it.
    begun: Option<Begun>,
    is_given_up: bool,
    request: AlarmRequest,
    reply: Option<oneshot::Sender<Outcome>>,
}

struct Begun {
    alarm: StoredAlarm,
    name: Option<String>,
    started: Timestamp,
}

/// Failures that say nothing of the object's code (AL-12).
const OF_NODE: [ErrorCode; 9] = [
    ErrorCode::AppNotFound,
    ErrorCode::ClassNotFound,
    ErrorCode::CodeUpdated,
    ErrorCode::CommitTimeout,
    ErrorCode::FileForeign,
    ErrorCode::Internal,
    ErrorCode::ObjectMoved,
    ErrorCode::Overloaded,
    ErrorCode::Stopping,
];

impl ObjectContext {
    /// Whether nobody but the node is to blame for a failure that reset the instance.
    pub(super) fn is_fault_of_node(&self, failure: &Failure) -> bool {
        self.is_broken() || self.database.lacked_space() || is_of_node(failure)
    }

    /// Says that a handler has returned. If it is the alarm's, what follows is written into its last turn; while a
    /// transaction over waits is open, which may be undone, into the turn that ends after that one.
    pub(super) fn alarm_returned(&mut self, event: EventId, outcome: Result<(), &Failure>) {
        let is_in_transaction = self.database.is_in_transaction();
        let Some(run) = self.alarm_run.as_mut().filter(|run| run.event == event) else { return };
        if is_in_transaction {
            run.returned = Some(outcome.map_err(Failure::clone));
            return;
        }
        let (alarm, after_fault) = (run.alarm, is_after_fault(run.request));
        let written = match outcome {
            Ok(()) => self.settle_run(alarm, None, RunOutcome::Succeeded, None),
            Err(failure) if is_of_node(failure) => Ok(RunEnd::of_fault(failure)),
            Err(failure) if is_without_handler(failure) => {
                let (class, object) = (self.identity.class.as_str(), self.identity.key.id);
                warn!(class, %object, "an alarm was dropped: the class has no handler for it any more");
                self.settle_run(alarm, None, RunOutcome::Abandoned, Some(failure))
            }
            Err(failure) => self.count_failure(alarm, after_fault, failure),
        };
        match written {
            Ok(end) => {
                if let Some(run) = &mut self.alarm_run {
                    run.end = Some(end);
                }
            }
            // The database is poisoned, and so the end of the turn will fail.
            Err(error) => {
                warn!(object = %self.identity.key.id, %error, "the end of an alarm's run was not stored")
            }
        }
    }

    /// Writes what waited for the end of a transaction, if that has ended.
    pub(super) fn store_alarm_end(&mut self) {
        let Some(run) = self.alarm_run.as_mut().filter(|_| !self.database.is_in_transaction()) else {
            return;
        };
        if let Some(returned) = run.returned.take() {
            let event = run.event;
            self.alarm_returned(event, returned.as_ref().copied());
        }
    }

    /// To be called when a turn has ended well: a run whose handler has returned is over, and who asked for it is
    /// told when that is durable.
    pub(super) fn close_alarm_run(&mut self) {
        let Some(run) = self.alarm_run.take_if(|run| run.end.is_some()) else { return };
        if let (Some((reply, outcome)), Some(end)) = (run.answer, &run.end) {
            let told = end.told(run.request, outcome);
            self.gate.release_after(self.position(), Effect::Reply(reply, told));
        }
        self.remember(run.alarm, run.name, run.started, run.end);
    }

    /// Takes the run that is under way out of an instance that is reset.
    pub(super) fn stop_alarm_run(&mut self, failure: &Failure) -> Option<StoppedRun> {
        let run = self.alarm_run.take()?;
        let reply = match self.in_flight.remove(&run.event) {
            Some(event) => {
                self.tell_handled(run.event, event.begun, Some(failure));
                Some(event.reply)
            }
            // Its handler had returned, and the end of its last turn is undone.
            None => run.answer.map(|(reply, _)| reply),
        };
        Some(StoppedRun {
            begun: Some(Begun { alarm: run.alarm, name: run.name, started: run.started }),
            is_given_up: run.is_given_up,
            request: run.request,
            reply,
        })
    }

    /// Takes the wake-up for which an instance was started that could not start.
    pub(super) fn take_waiting_alarm(&mut self) -> Option<StoppedRun> {
        let is_to_run =
            |first: &Delivery| matches!(first.work, Work::Alarm(request) if request != AlarmRequest::Cancel);
        self.mailbox.first(is_to_run).filter(|is_to_run| *is_to_run)?;
        let Delivery { work: Work::Alarm(request), reply, .. } = self.mailbox.take_alarm()? else {
            unreachable!("BUG: the lane of the alarm holds something else");
        };
        Some(StoppedRun { begun: None, is_given_up: false, request, reply: Some(reply) })
    }

    /// After a reset: writes what follows of the run that was under way, and tells who waits for it.
    pub(super) fn alarm_failed(
        &mut self,
        run: StoppedRun,
        failure: Failure,
        is_fault: bool,
    ) -> Result<(), Failure> {
        let StoppedRun { begun, is_given_up, request, reply } = run;
        let stored = self.database.next_run().map_err(|error| self.alarm_not_stored(error))?;
        let started = self.node.clock.now();
        let due = stored.filter(|alarm| begun.is_none() && alarm.due <= started);
        let begun = match due {
            None => begun,
            Some(alarm) => {
                let info = self.alarm_info(&alarm).map_err(|error| self.alarm_not_stored(error))?;
                Some(Begun { alarm, name: info.entry.map(|entry| entry.name), started })
            }
        };
        let told = match begun {
            Some(Begun { alarm, name, started }) => {
                let end = if is_given_up {
                    self.settle_run(alarm, None, RunOutcome::Abandoned, Some(&failure))
                } else if is_fault {
                    Ok(RunEnd::of_fault(&failure))
                } else {
                    self.count_failure(alarm, is_after_fault(request), &failure)
                };
                let end = end.map_err(|error| self.alarm_not_stored(error))?;
                self.end_turn()?;
                let told = end.told(request, Err(failure));
                self.remember(alarm, name, started, Some(end));
                told
            }
            // Nothing is due any more, as the schedule must know too.
            None if is_wake_up(request) => {
                self.tell_alarm();
                Ok(Reply::Alarm(AlarmAnswer::NotDue))
            }
            None => Err(failure),
        };
        if let Some(reply) = reply {
            self.gate.release_after(self.position(), Effect::Reply(reply, told));
        }
        Ok(())
    }

    /// Stores the next try of an alarm that has failed, or removes it if there were too many. Its error goes to the
    /// log and to nobody else (AL-23).
    fn count_failure(
        &mut self,
        alarm: StoredAlarm,
        after_fault: bool,
        failure: &Failure,
    ) -> Result<RunEnd, SqlError> {
        let (class, object, retries) = (self.identity.class.as_str(), self.identity.key.id, alarm.retries);
        error!(class, %object, retries, %failure, "alarm failed");
        if alarm.retries >= ALARM_RETRIES_MAX {
            error!(class, %object, "alarm failed too often and was given up");
            return self.settle_run(alarm, None, RunOutcome::Abandoned, Some(failure));
        }
        let doublings = if after_fault { 0 } else { alarm.doublings };
        let wait = retry_wait(self.node.limits.alarm_retry_wait, doublings, &*self.node.random);
        // Never before the time that was set, also if the clock has stepped back since it began (AL-6).
        let due = after(self.node.clock.now(), wait).max(alarm.time);
        let next = StoredAlarm { due, retries: alarm.retries + 1, doublings: doublings + 1, ..alarm };
        self.settle_run(alarm, Some(next), RunOutcome::Failed, Some(failure))
    }

    fn settle_run(
        &mut self,
        alarm: StoredAlarm,
        next: Option<StoredAlarm>,
        outcome: RunOutcome,
        failure: Option<&Failure>,
    ) -> Result<RunEnd, SqlError> {
        // First, since what follows is found out from what will be committed.
        self.database.roll_back_savepoints();
        let next = match next {
            None => self.following(&alarm)?,
            next => next,
        };
        let is_still_set = match alarm.schedule {
            None => self.database.settle_alarm(alarm.serial, next)?,
            Some(_) => self.database.settle_schedule(&alarm, next)?,
        };
        // One that was replaced or deleted by its handler is not tried again (AL-14, AL-15).
        let outcome =
            if outcome == RunOutcome::Failed && !is_still_set { RunOutcome::Abandoned } else { outcome };
        Ok(RunEnd { outcome, error: failure.map(|failure| failure.message.clone()), is_settled: true })
    }

    fn remember(&self, alarm: StoredAlarm, name: Option<String>, started: Timestamp, end: Option<RunEnd>) {
        let Some(RunEnd { outcome, error, .. }) = end else { return };
        let finished = self.node.clock.now();
        let error = error.map(|error| cut(error, ALARM_RUN_ERROR_BYTES_MAX));
        let run = AlarmRun {
            name,
            scheduled: alarm.time,
            started,
            finished,
            retry_count: alarm.retries,
            outcome,
            error,
        };
        self.node.alarm_runs.push(self.identity.key, run);
    }

    fn alarm_not_stored(&self, error: SqlError) -> Failure {
        self.storage_failed(StorageError::Poisoned(error))
    }
}

impl RunEnd {
    /// Of a run that failed for a fault of the node.
    fn of_fault(failure: &Failure) -> Self {
        Self { outcome: RunOutcome::Failed, error: Some(failure.message.clone()), is_settled: false }
    }

    /// What is said to who asked for the run, whose outcome this is. A wake-up that fails is taken for a fault of the
    /// node, so it does not once the run is settled.
    fn told(&self, request: AlarmRequest, outcome: Outcome) -> Outcome {
        match outcome {
            Err(_) if self.is_settled && is_wake_up(request) => Ok(Reply::Alarm(AlarmAnswer::Failed)),
            outcome => outcome,
        }
    }
}

fn is_wake_up(request: AlarmRequest) -> bool {
    matches!(request, AlarmRequest::RunIfDue { .. })
}

fn is_after_fault(request: AlarmRequest) -> bool {
    matches!(request, AlarmRequest::RunIfDue { after_fault: true })
}

/// A failure that the object's code has returned is its own, whatever it says.
fn is_of_node(failure: &Failure) -> bool {
    !failure.flags.remote && failure.listed_code().is_some_and(|code| OF_NODE.contains(&code))
}

fn is_without_handler(failure: &Failure) -> bool {
    !failure.flags.remote && failure.listed_code() == Some(ErrorCode::HandlerMissing)
}
