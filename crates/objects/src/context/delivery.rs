//! Events on their way in and out: which may begin, what becomes of those under way when the instance ends.
//!
//! Rule T7 lives here: an event begins only while no section is open and nothing else of the object must come
//! first. Calls that come back pass what would make them wait for themselves.

use std::future::Future;
use std::task::{Context, Poll, ready};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::in_flight::{InFlight, SocketInFlight};
use super::{NextEvent, ObjectContext};
use crate::control::Ending;
use crate::event::{Delivery, Event, EventId, Outcome, Work};
use crate::output_gate::Effect;

impl ObjectContext {
    /// Whether an instance without work is to go at once: others want the object's place, or a test wants it to
    /// hibernate.
    pub fn is_hibernation_wanted(&self) -> bool {
        self.control.is_hibernation_wanted()
    }

    /// Takes the next event, if the object may have one now (T7). `in_flight` is how many the guest
    /// has at present.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, in_flight: usize) -> Poll<NextEvent> {
        if let Poll::Ready(failure) = self.control.poll_reset(cx) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        if let Poll::Ready(failure) = self.poll_outcomes(cx) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        if let Poll::Ready(failure) = self.poll_section_limit(cx) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        if let Poll::Ready(failure) = self.poll_alarm_limit(cx) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        if let Poll::Ready(failure) = self.poll_socket_limit(cx) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        self.refuse_cycles(cx);
        if let Some(ending) = self.control.ending() {
            return match self.take_returning(cx, in_flight) {
                Some(next) => Poll::Ready(next),
                None => self.poll_ending(cx, ending, in_flight),
            };
        }
        if let Err(failure) = ready!(self.poll_checkpoint(cx)) {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        if !self.is_gate_open(cx) {
            return Poll::Pending;
        }
        if let Some(next) = self.take_returning(cx, in_flight) {
            return Poll::Ready(next);
        }
        if let Err(failure) = self.cancel_alarm() {
            return Poll::Ready(NextEvent::Reset(failure));
        }
        let room = self.instance.imports.is_below(self.node.limits.imports_while_taking_max, cx.waker());
        if !room || in_flight >= self.instance.events_in_flight_max || !self.has_output_room(cx) {
            return Poll::Pending;
        }
        if let Some(next) = self.take_orphan() {
            return Poll::Ready(next);
        }
        if let Some(next) = self.take_alarm() {
            return Poll::Ready(next);
        }
        loop {
            let delivery = ready!(self.mailbox.poll_take(cx));
            if let Some(next) = self.begin(delivery) {
                return Poll::Ready(next);
            }
        }
    }

    /// Begins what was delivered; `None` if it has come to nothing meanwhile.
    pub(super) fn begin(&mut self, delivery: Delivery) -> Option<NextEvent> {
        let Delivery { id, work, origin, reply } = delivery;
        Some(match work {
            Work::Event(event) => {
                let begun = self.begun(&event);
                self.deliver(id, InFlight { reply, origin, listeners: None, socket: None, begun });
                NextEvent::Deliver(id, event)
            }
            Work::Sql(request) => NextEvent::Sql(request, reply),
            Work::ToSocket(socket, request) => {
                self.answer_to_socket(socket, request, reply);
                return None;
            }
            Work::Alarm(_) => unreachable!("BUG: what concerns the alarm has a lane of its own"),
            Work::Socket(call) => {
                let (incident, handling) = call.begin()?;
                let (socket, (reply, _outcome)) = (handling.socket.id, oneshot::channel());
                let in_flight = SocketInFlight { handling, over_at: self.socket_handler_over_at(), _outcome };
                let event = Event::Socket(socket, incident);
                let (begun, socket) = (self.begun(&event), Some(in_flight));
                self.deliver(id, InFlight { reply, origin, listeners: None, socket, begun });
                NextEvent::Deliver(id, event)
            }
        })
    }

    fn deliver(&mut self, id: EventId, event: InFlight) {
        self.in_flight.insert(id, event);
        self.instance.has_delivered = true;
        self.instance.pending.active();
    }

    /// Whether the gate holds so little that a further event may be taken; wakes when that changes.
    pub(super) fn has_output_room(&self, cx: &Context<'_>) -> bool {
        self.gate.has_room(&self.node.limits, cx.waker())
    }

    /// Says that an event's handler has returned. The outcome leaves through the gate; that of the alarm's run when
    /// the turn has ended that stores it.
    pub fn finish(&mut self, id: EventId, outcome: Outcome) {
        self.instance.has_answered = true;
        self.alarm_returned(id, outcome.as_ref().map(|_| ()));
        self.instance.pending.active();
        if let Some(event) = self.in_flight.remove(&id) {
            let outcome = outcome.map_err(|failure| failure.of_object(self.identity.key.id));
            self.tell_handled(id, event.begun, outcome.as_ref().err());
            if let (Some(socket), Err(failure)) = (&event.socket, &outcome) {
                self.log_socket_failure(socket.handling.socket.id, failure);
            }
            match self.alarm_run.as_mut().filter(|run| run.event == id) {
                // How it went is known when its end is stored.
                Some(run) => run.answer = Some((event.reply, outcome)),
                None => self.gate.release_after(self.position(), Effect::Reply(event.reply, outcome)),
            }
            self.tell_answered(id, event.listeners);
        }
    }

    fn poll_ending(
        &mut self,
        cx: &mut Context<'_>,
        ending: (Ending, Instant),
        in_flight: usize,
    ) -> Poll<NextEvent> {
        if in_flight == 0 && self.poll_bodies_closed(cx).is_ready() {
            return Poll::Ready(NextEvent::Retired);
        }
        self.poll_drained(cx, ending).map(NextEvent::Reset)
    }

    /// Ready when the time for events under way is over.
    pub(super) fn poll_drained(
        &mut self,
        cx: &mut Context<'_>,
        (ending, deadline): (Ending, Instant),
    ) -> Poll<Failure> {
        let drain = self.instance.drain.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if drain.deadline() != deadline {
            drain.as_mut().reset(deadline);
        }
        ready!(drain.as_mut().poll(cx));
        Poll::Ready(match ending {
            Ending::CodeUpdated(_) => {
                Failure::new(ErrorCode::CodeUpdated, "Durable Object reset because its code was updated.")
            }
            Ending::Stopping => Failure::new(ErrorCode::Stopping, "the node stopped before the event ended"),
        })
    }
}
