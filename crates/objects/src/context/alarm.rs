//! The object's alarm: whether it may be set, when it begins to run, and what is asked about it from outside.
//!
//! The time stands in the object's database. A wake-up is a question: the object looks whether the stored alarm is
//! due, after its constructor has run, and drops the wake-up if it is not (AL-5, AL-22). While an alarm runs it
//! stays stored and counts as not set (AL-9), so that a crash makes it run again. How a run ends: `alarm_end`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::time::Timestamp;
use durabo_storage::alarm::{NewAlarm, StoredAlarm};
use durabo_storage::error::StorageError;
use durabo_storage::kv::KvWriteOptions;
use durabo_storage::sql_error::SqlError;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::alarm_end::RunEnd;
use super::in_flight::InFlight;
use super::{NextEvent, ObjectContext};
use crate::alarm_runs::AlarmRun;
use crate::event::{AlarmAnswer, AlarmRequest, Apart, Delivery, Event, EventId, Outcome, Reply, Work};
use crate::output_gate::Effect;

/// A run of the alarm that has begun.
pub(super) struct RunUnderWay {
    pub event: EventId,
    pub alarm: StoredAlarm,
    /// Of the named alarm that it is, if it has a name.
    pub name: Option<String>,
    pub started: Timestamp,
    /// Who asked for it.
    pub request: AlarmRequest,
    /// The handler has asked that it be given up (AL-19).
    pub is_given_up: bool,
    /// The handler has returned while a transaction over waits was open, so that nothing of it is stored yet.
    pub returned: Option<Result<(), Failure>>,
    /// The handler has returned, and its last turn is not committed yet.
    pub end: Option<RunEnd>,
    /// What it has returned, and who is told once the end is stored.
    pub answer: Option<(oneshot::Sender<Outcome>, Outcome)>,
    limit: Pin<Box<Sleep>>,
}

impl ObjectContext {
    /// What to set for a time that the guest gives; `handles` says whether its class has a handler, which a
    /// constructor need not know (AL-2).
    pub fn new_alarm(&self, time_ms: u64, handles: bool) -> Result<NewAlarm, Failure> {
        if !handles && self.instance.has_started {
            let text = "Your Durable Object class must have an alarm() handler in order to call setAlarm()";
            return Err(Failure::new(ErrorCode::HandlerMissing, text));
        }
        Ok(NewAlarm { time_ms, now: self.node.clock.now(), running: self.running_alarm() })
    }

    /// Which alarm runs at present: it counts as not set.
    pub fn running_alarm(&self) -> Option<u64> {
        self.alarm_run.as_ref().filter(|run| run.alarm.schedule.is_none()).map(|run| run.alarm.serial)
    }

    /// The last runs of the alarm without a name, or of the entry of that name, newest first, `limit` at most.
    pub fn alarm_runs(&self, name: Option<&str>, limit: usize) -> Vec<AlarmRun> {
        let runs = self.node.alarm_runs.of(&self.identity.key, usize::MAX).into_iter();
        runs.filter(|run| run.name.as_deref() == name).take(limit).collect()
    }

    /// Resets the object as [`abort`](Self::abort) does; if `event` is the run of the alarm, that is given up
    /// and not tried again (AL-19).
    pub fn abort_giving_up(&mut self, event: Option<EventId>, reason: Failure) {
        if let Some(run) = self.alarm_run.as_mut().filter(|run| Some(run.event) == event) {
            run.is_given_up = true;
        }
        self.abort(reason);
    }

    /// Tells the schedule when the object is to be woken, as of its newest commit.
    pub(super) fn tell_alarm(&self) {
        self.node.alarms.changed(self.identity.key, self.history.alarm());
    }

    /// Whether what is asked makes the alarm run, as it is stored now. If that cannot be read, the instance is to
    /// find out.
    pub(super) fn is_to_run(&mut self, request: AlarmRequest, now: Timestamp) -> bool {
        request != AlarmRequest::Cancel && !matches!(self.alarm_to_run(request, now), Ok(None))
    }

    fn alarm_to_run(
        &mut self,
        request: AlarmRequest,
        now: Timestamp,
    ) -> Result<Option<StoredAlarm>, SqlError> {
        let is_due = |alarm: &StoredAlarm| {
            request == AlarmRequest::RunNow || alarm.due <= now || is_planted(Mutation::RunEarly)
        };
        let next = match request {
            AlarmRequest::RunNow => self.database.alarm()?,
            _ => self.database.next_run()?,
        };
        Ok(next.filter(is_due))
    }

    /// Takes what concerns the alarm, while none runs: the next event, or nothing any more.
    pub(super) fn take_alarm(&mut self) -> Option<NextEvent> {
        while self.alarm_run.is_none()
            && let Some(delivery) = self.mailbox.take_alarm()
        {
            match self.begin_alarm(delivery, self.node.clock.now()) {
                Ok(None) => {}
                Ok(Some(next)) => return Some(next),
                Err(failure) => return Some(NextEvent::Reset(failure)),
            }
        }
        None
    }

    /// Removes the alarm as operators ask for, also while it runs or the guest has as many events as it may: nothing
    /// of the guest's is called. What waits to be run finds none then.
    pub(super) fn cancel_alarm(&mut self) -> Result<(), Failure> {
        while let Some(delivery) = self.mailbox.take_cancellation() {
            self.begin_alarm(delivery, self.node.clock.now())?;
        }
        Ok(())
    }

    /// Does what is asked about the alarm and needs no instance. An alarm that has become due meanwhile is left.
    pub(super) fn answer_alarm(&mut self) -> Result<(), Failure> {
        let Some(delivery) = self.mailbox.take_alarm() else { return Ok(()) };
        let now = self.node.clock.now();
        if let Some(Apart::Alarm(request)) = delivery.work.asked_apart()
            && self.is_to_run(request, now)
        {
            self.mailbox.put_alarm_back(delivery);
            return Ok(());
        }
        let begun = self.begin_alarm(delivery, now)?;
        assert!(begun.is_none(), "BUG: an alarm began without an instance");
        Ok(())
    }

    /// Begins the run, or answers. Between two turns.
    fn begin_alarm(&mut self, delivery: Delivery, now: Timestamp) -> Result<Option<NextEvent>, Failure> {
        let Delivery { id, work: Work::Alarm(request), origin, reply } = delivery else {
            unreachable!("BUG: the lane of the alarm holds something else");
        };
        if request == AlarmRequest::Cancel {
            return self.remove_alarm(reply).map(|()| None);
        }
        let found = self.alarm_to_run(request, now);
        let Some(alarm) = found.map_err(|error| self.storage_failed(StorageError::Poisoned(error)))? else {
            self.tell_alarm();
            let answer = match request {
                AlarmRequest::RunNow => Err(self.no_alarm()),
                _ => Ok(Reply::Alarm(AlarmAnswer::NotDue)),
            };
            self.gate.release_after(self.position(), Effect::Reply(reply, answer));
            return Ok(None);
        };
        let info = self.alarm_info(&alarm);
        let info = info.map_err(|error| self.storage_failed(StorageError::Poisoned(error)))?;
        let name = info.entry.as_ref().map(|entry| entry.name.clone());
        let event = Event::Alarm(info);
        let begun = self.begun(&event);
        self.in_flight.insert(id, InFlight { reply, origin, listeners: None, socket: None, begun });
        self.instance.has_delivered = true;
        self.instance.pending.active();
        self.alarm_run = Some(RunUnderWay {
            event: id,
            alarm,
            name,
            started: now,
            request,
            is_given_up: false,
            returned: None,
            end: None,
            answer: None,
            limit: Box::pin(sleep_until(Instant::now() + self.node.limits.alarm_run_timeout)),
        });
        Ok(Some(NextEvent::Deliver(id, event)))
    }

    /// Removes the alarm for an operator.
    fn remove_alarm(&mut self, reply: oneshot::Sender<Outcome>) -> Result<(), Failure> {
        let removed = self.operator_turn(|database| {
            let deleted = database.delete_alarm(KvWriteOptions::default());
            deleted.map_err(|error| Failure::new(ErrorCode::StorageFailed, error.to_string()))
        });
        let (outcome, ended) = match removed {
            Ok(Ok(true)) => (Ok(Reply::Alarm(AlarmAnswer::Cancelled)), Ok(())),
            Ok(Ok(false)) => (Err(self.no_alarm()), Ok(())),
            Ok(Err(failure)) => (Err(failure), Ok(())),
            Err(failure) => (Err(failure.clone()), Err(failure)),
        };
        let outcome = outcome.map_err(|failure| failure.of_object(self.identity.key.id));
        self.gate.release_after(self.position(), Effect::Reply(reply, outcome));
        ended
    }

    fn no_alarm(&self) -> Failure {
        Failure::new(ErrorCode::NotFound, "the object has no alarm").of_object(self.identity.key.id)
    }

    /// Ready with the failure for which the instance must be reset once the alarm has run for too long (AL-18).
    pub(super) fn poll_alarm_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(run) = &mut self.alarm_run else { return Poll::Pending };
        ready!(run.limit.as_mut().poll(cx));
        let text = format!(
            "Alarm exceeded its allowed execution time, which is {} s; the object was reset",
            self.node.limits.alarm_run_timeout.as_secs_f64()
        );
        Poll::Ready(Failure::new(ErrorCode::AlarmTimeout, text))
    }
}
