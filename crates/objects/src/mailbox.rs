//! Mailbox: the bounded queue of events of one object.
//!
//! Full means refused at once with `overloaded` (ST-7): nothing waits to get in. Both the count and
//! the bytes of waiting events are bounded, so that neither many nor large events can fill memory.
//! Callers are served in turn, so that a flood of one does not hold up the others (IG-1).
//!
//! What happened to a socket stays there, and only a call of it waits here, one of each socket at most: it is never
//! refused for want of room.
//!
//! Calls that come back to the object, since it stands in their chain, have a lane of their own: the
//! object waits for them, so others must not fill their way (ST-12). So has what concerns the alarm, which comes
//! before all others: there is one run at a time, and it must not be lost because callers are many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::ObjectKey;

use crate::event::{AlarmRequest, CallerId, Delivery, Work};
use crate::round_robin::RoundRobin;

/// Requests of operators about the alarm that may wait. A wake-up, of which there is one at most, is never refused.
const ALARM_REQUESTS_MAX: usize = 16;

/// What waits in one lane.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    events: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    events: RoundRobin<CallerId, Delivery>,
    events_load: Load,
    /// In the order of their arrival.
    returning: VecDeque<Delivery>,
    returning_load: Load,
    /// What concerns the alarm.
    alarm: VecDeque<Delivery>,
    /// Who waits for whatever comes.
    waiting: Option<Waker>,
    /// Who waits for calls that come back, and for what concerns the alarm.
    waiting_for_returning: Option<Waker>,
    /// Nobody takes anything out any more.
    is_closed: bool,
}

/// The end where events are put in. Clones are the same mailbox.
#[derive(Debug, Clone)]
pub struct Mailbox(Arc<Mutex<State>>);

/// The end where the object takes them out. What is left when it is dropped is dropped with it.
#[derive(Debug)]
pub struct MailboxReceiver(Arc<Mutex<State>>);

/// An empty mailbox.
pub fn mailbox() -> (Mailbox, MailboxReceiver) {
    let state = Arc::new(Mutex::default());
    (Mailbox(state.clone()), MailboxReceiver(state))
}

impl Mailbox {
    /// Puts an event for the object `key` in, or gives it back with the failure that its caller gets.
    pub fn put(
        &self,
        key: &ObjectKey,
        delivery: Delivery,
        limits: &ObjectLimits,
    ) -> Result<(), (Delivery, Failure)> {
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        if state.is_closed {
            let text = "the object left memory while the event arrived; retry";
            return Err((delivery, Failure::new(ErrorCode::Stopping, text).of_object(key.id)));
        }
        if matches!(delivery.work, Work::Alarm(_)) {
            let told = state.put_alarm(key, delivery)?;
            drop(guard);
            told.into_iter().flatten().for_each(Waker::wake);
            return Ok(());
        }
        let returns = delivery.origin.chain.last_of(key).is_some();
        let load = if returns { &mut state.returning_load } else { &mut state.events_load };
        if is_counted(&delivery)
            && let Err(failure) = load.add(&delivery, key, limits)
        {
            return Err((delivery, failure));
        }
        let mut told = [state.waiting.take(), None];
        if returns {
            state.returning.push_back(delivery);
            told[1] = state.waiting_for_returning.take();
        } else {
            state.events.push(delivery.origin.caller(), delivery);
        }
        drop(guard);
        told.into_iter().flatten().for_each(Waker::wake);
        Ok(())
    }

    /// How many events wait, of all lanes.
    pub(crate) fn waiting(&self) -> usize {
        let state = lock(&self.0);
        state.events.len() + state.returning.len() + state.alarm.len()
    }
}

impl MailboxReceiver {
    /// The next event: of each caller in turn, first in first out. Pending while none is there.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.lock();
        match state.take_event() {
            Some(delivery) => Poll::Ready(delivery),
            None => {
                wake_later(&mut state.waiting, cx);
                Poll::Pending
            }
        }
    }

    /// Wakes whoever polls when a call comes back, or something that concerns the alarm.
    pub fn watch_returning(&self, cx: &Context<'_>) {
        wake_later(&mut self.lock().waiting_for_returning, cx);
    }

    /// Takes the first call that came back for which `may_be_taken` says so.
    pub fn take_returning(&self, may_be_taken: impl FnMut(&Delivery) -> bool) -> Option<Delivery> {
        let mut state = self.lock();
        let at = state.returning.iter().position(may_be_taken)?;
        state.take_returning(at)
    }

    /// Takes what concerns the alarm and came first.
    pub fn take_alarm(&self) -> Option<Delivery> {
        self.lock().alarm.pop_front()
    }

    /// Takes what came first of requests to remove the alarm, past those to run it.
    pub(crate) fn take_cancellation(&self) -> Option<Delivery> {
        let mut state = self.lock();
        let is_cancellation =
            |delivery: &Delivery| matches!(delivery.work, Work::Alarm(AlarmRequest::Cancel));
        let at = state.alarm.iter().position(is_cancellation)?;
        state.alarm.remove(at)
    }

    /// Puts back what [`take_alarm`](Self::take_alarm) took, as the first.
    pub(crate) fn put_alarm_back(&self, delivery: Delivery) {
        self.lock().alarm.push_front(delivery);
    }

    /// Takes what an operator asks besides what concerns the alarm, if that is the next event.
    pub(crate) fn take_operators(&self) -> Option<Delivery> {
        let mut state = self.lock();
        state.events.front().filter(|next| matches!(next.work, Work::Sql(_) | Work::ToSocket(..)))?;
        state.take_event()
    }

    /// Ready when an event waits.
    pub fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.is_empty() {
            return Poll::Ready(());
        }
        wake_later(&mut state.waiting, cx);
        Poll::Pending
    }

    /// Takes an event if one is there.
    pub fn try_take(&self) -> Option<Delivery> {
        let mut state = self.lock();
        let alarm = state.alarm.pop_front();
        alarm.or_else(|| state.take_event()).or_else(|| state.take_returning(0))
    }

    /// Takes out all but the calls of sockets. One step, since a call of a socket may come at any moment.
    pub(crate) fn take_all_but_sockets(&self) -> Vec<Delivery> {
        let mut state = self.lock();
        let mut taken: Vec<_> = state.alarm.drain(..).collect();
        let mut sockets = Vec::new();
        while let Some(delivery) = state.take_event() {
            let is_socket =
                matches!(delivery.work, Work::Socket(_)) && !is_planted(Mutation::FailCallsOfSockets);
            if is_socket { &mut sockets } else { &mut taken }.push(delivery);
        }
        sockets.into_iter().for_each(|delivery| state.events.push(delivery.origin.caller(), delivery));
        while let Some(delivery) = state.take_returning(0) {
            taken.push(delivery);
        }
        taken
    }

    /// Shows what [`try_take`](Self::try_take) would take, if anything.
    pub fn first<T>(&self, look: impl FnOnce(&Delivery) -> T) -> Option<T> {
        let state = self.lock();
        state.alarm.front().or(state.events.front()).or(state.returning.front()).map(look)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Drop for MailboxReceiver {
    fn drop(&mut self) {
        let left = {
            let mut state = self.lock();
            state.is_closed = true;
            let State { events, returning, alarm, .. } = &mut *state;
            (std::mem::take(events), std::mem::take(returning), std::mem::take(alarm))
        };
        // Whoever waits for an answer is told by this.
        drop(left);
    }
}

impl State {
    /// Puts in what concerns the alarm; gives whom to wake.
    fn put_alarm(
        &mut self,
        key: &ObjectKey,
        delivery: Delivery,
    ) -> Result<[Option<Waker>; 2], (Delivery, Failure)> {
        let is_wake_up = matches!(delivery.work, Work::Alarm(AlarmRequest::RunIfDue { .. }));
        if !is_wake_up && self.alarm.len() >= ALARM_REQUESTS_MAX {
            let text = format!(
                "Durable Object is overloaded. {ALARM_REQUESTS_MAX} requests about its alarm wait; retry later"
            );
            return Err((delivery, Failure::new(ErrorCode::Overloaded, text).of_object(key.id)));
        }
        self.alarm.push_back(delivery);
        // Who is too busy for events may still remove the alarm.
        Ok([self.waiting.take(), self.waiting_for_returning.take()])
    }

    fn take_event(&mut self) -> Option<Delivery> {
        self.events.pop().inspect(|delivery| self.events_load.remove(delivery))
    }

    fn take_returning(&mut self, at: usize) -> Option<Delivery> {
        self.returning.remove(at).inspect(|delivery| self.returning_load.remove(delivery))
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.returning.is_empty() && self.alarm.is_empty()
    }
}

impl Load {
    /// Counts what is about to wait, unless that is too much.
    fn add(&mut self, delivery: &Delivery, key: &ObjectKey, limits: &ObjectLimits) -> Result<(), Failure> {
        let (Self { events, bytes }, id) = (*self, key.id);
        let size = delivery.work.bytes();
        let refusal = if events >= limits.mailbox_events_max {
            Some(format!("Too many requests queued: mailbox of object {id} holds {events} events"))
        } else if events > 0 && bytes + size > limits.mailbox_bytes_max {
            Some(format!("Too much data queued: mailbox of object {id} holds {bytes} bytes"))
        } else {
            None
        };
        if let Some(detail) = refusal {
            let text = format!("Durable Object is overloaded. {detail}; retry later");
            return Err(Failure::new(ErrorCode::Overloaded, text).of_object(id));
        }
        *self = Self { events: events + 1, bytes: bytes + size };
        Ok(())
    }

    fn remove(&mut self, delivery: &Delivery) {
        if is_counted(delivery) {
            self.events -= 1;
            self.bytes -= delivery.work.bytes();
        }
    }
}

/// Whether it takes room. Sockets are bounded themselves.
fn is_counted(delivery: &Delivery) -> bool {
    !matches!(delivery.work, Work::Socket(_))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("BUG: a mailbox's lock is never held over a panic")
}

fn wake_later(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(known) => known.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
