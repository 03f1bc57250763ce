//! Calls that the object makes, and calls that come back to it.
//!
//! A call takes its place among all that leaves at the moment at which the guest asks for it (T5): it
//! leaves although the guest gives up waiting, and not if the turn is discarded. A call that comes back
//! to the object is let in past the mailbox's bounds, or refused where it would wait for itself (ST-12).

use std::task::Context;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::rpc;
use tokio::sync::oneshot;

use super::{NextEvent, ObjectContext};
use crate::address::ObjectAddress;
use crate::call_chain::{CallChain, Caller};
use crate::event::{Delivery, Event, EventId, Origin, Outcome, Work, unanswered};
use crate::import::Import;
use crate::outbound::{OnItsWay, Stub};
use crate::output_gate::Effect;

/// A call under way. Dropping it does not stop the callee; it does not even keep the call from leaving.
#[derive(Debug)]
pub struct Call {
    import: Import,
    outcome: oneshot::Receiver<Outcome>,
    to: ObjectAddress,
    id: EventId,
}

impl Call {
    /// Waits for the outcome, and until it may come back into the object.
    pub async fn outcome(self) -> Outcome {
        let Self { import, outcome, to, id } = self;
        let outcome = import.wait_for(outcome).await.unwrap_or_else(|_| Err(unanswered(to.key.id)));
        outcome.map_err(|failure| without_inner_detail(failure, id))
    }
}

/// A fault of the node goes to the log; a guest that calls gets a reference to it (ST-6).
fn without_inner_detail(failure: Failure, id: EventId) -> Failure {
    if failure.flags.remote || failure.listed_code() != Some(ErrorCode::Internal) {
        return failure;
    }
    tracing::error!(event = %id, %failure, "internal error");
    let object = failure.object;
    Failure { object, ..Failure::new(ErrorCode::Internal, format!("internal error; reference = {id}")) }
}

impl ObjectContext {
    /// A stub for an object. Nothing is called or started.
    pub fn stub(&self, to: ObjectAddress) -> Stub {
        Stub::new(to, self.post.clone())
    }

    /// Says that the constructor has returned.
    pub(crate) fn started(&mut self) {
        self.instance.has_started = true;
        self.instance.start_limit = None;
        self.instance.start_listeners.wake_all();
        self.instance.pending.active();
    }

    /// Says that the guest cannot suspend: it is busy until an event returns, gets one at a time, and a
    /// call that comes back to it meanwhile is refused (D2).
    pub fn set_blocking(&mut self) {
        self.instance.suspends = false;
        self.instance.events_in_flight_max = 1;
    }

    /// Calls another object from the code of `event`. Fails if the method is reserved (RP-3), what is sent
    /// is too large (RP-6), too much waits already, or the chain is too deep.
    pub fn call(
        &mut self,
        stub: &Stub,
        import: Import,
        event: Option<EventId>,
        call: Event,
    ) -> Result<Call, Failure> {
        let bytes = call.bytes();
        match &call {
            Event::Rpc { method, args } => {
                rpc::check_method(method)?;
                if args.len() > limits::RPC_BYTES_MAX {
                    return Err(Failure::new(ErrorCode::LimitExceeded, rpc::too_large(args.len())));
                }
            }
            // What is given whole was checked when it was taken over; a body in pieces has no limit.
            Event::Fetch(_) => {}
            Event::Alarm(_) => unreachable!("BUG: no object runs another's alarm"),
            Event::Socket(..) => unreachable!("BUG: no object calls another one's socket handler"),
        }
        let chain = self.chain_of(event).then(self.caller(event, &import))?;
        let max = limits::CALLS_WAITING_BYTES_MAX;
        let held = self.instance.imports.hold_call(bytes, max).ok_or_else(|| {
            let text = format!(
                "the calls that have not left the object would be more than {max} bytes with this one of \
                 {bytes}; wait for some before more are made"
            );
            Failure::new(ErrorCode::LimitExceeded, text)
        })?;
        let (reply, outcome) = oneshot::channel();
        let trace = event.and_then(|event| self.trace(event));
        let id = self.node.counters.next_event();
        let origin = Origin { trace, chain, ..Origin::default() };
        let delivery = Delivery { id, work: Work::Event(call), origin, reply };
        let on_its_way = OnItsWay { _import: import.under_way(), _bytes: held };
        let line = stub.clone();
        let depart = Box::new(move |leave: Result<(), Failure>| match leave {
            Ok(()) => line.send(delivery, on_its_way),
            Err(failure) => delivery.refuse(failure),
        });
        self.gate.release_after(self.position(), Effect::Send(depart));
        Ok(Call { import, outcome, to: stub.address().clone(), id })
    }

    fn caller(&self, event: Option<EventId>, import: &Import) -> Caller {
        let asked = import.asked_at();
        Caller { key: self.identity.key, epoch: self.history.epoch(), event, asked }
    }

    /// Who waits for the code that runs as `event`. A constructor runs for the event that waits longest.
    fn chain_of(&self, event: Option<EventId>) -> CallChain {
        let chain = |delivery: &Delivery| delivery.origin.chain.clone();
        let waiting = match event {
            Some(event) => self.in_flight.get(&event).map(|event| &event.origin.chain),
            None if !self.instance.has_started => return self.mailbox.first(chain).unwrap_or_default(),
            None => None,
        };
        waiting.cloned().unwrap_or_default()
    }

    /// Refuses calls that came back and that the object would wait for for ever.
    pub(crate) fn refuse_cycles(&self, cx: &Context<'_>) {
        self.mailbox.watch_returning(cx);
        let id = self.identity.key.id;
        let why_busy = |delivery: &Delivery| {
            delivery.origin.chain.last_of(&self.identity.key).and_then(|caller| self.busy_with(caller))
        };
        while let Some(delivery) = self.mailbox.take_returning(|delivery| why_busy(delivery).is_some()) {
            let why = why_busy(&delivery).unwrap_or("is busy");
            let text = format!(
                "the call comes back to object {id}, which waits for it and {why}; it would wait for ever"
            );
            delivery.refuse(Failure::new(ErrorCode::ObjectBusy, text).of_object(id));
        }
    }

    /// What keeps the object from serving a call while it waits for that of `caller`.
    fn busy_with(&self, caller: &Caller) -> Option<&'static str> {
        if caller.epoch != self.history.epoch() {
            // That instance has gone, and nobody waits there.
            return None;
        }
        let is_under_way = caller.event.is_none_or(|event| self.in_flight.contains_key(&event));
        if !self.instance.has_started {
            Some("is in its constructor")
        } else if !self.instance.suspends && is_under_way && !self.in_flight.is_empty() {
            Some("cannot suspend")
        } else if self.instance.input.is_of_section(caller.asked) {
            Some("is in a critical section")
        } else {
            None
        }
    }

    /// Takes a call that came back, if it may be let in now. Neither the bound on events under way nor an
    /// end of the instance holds it back: an event of this instance waits for it.
    pub(super) fn take_returning(&mut self, cx: &mut Context<'_>, in_flight: usize) -> Option<NextEvent> {
        if !self.instance.input.is_open(cx.waker()) || !self.instance.suspends && in_flight > 0 {
            return None;
        }
        let epoch = self.history.epoch();
        let key = self.identity.key;
        let is_ours = |delivery: &Delivery| {
            delivery.origin.chain.last_of(&key).is_some_and(|caller| caller.epoch == epoch)
        };
        let delivery = self.mailbox.take_returning(is_ours)?;
        self.begin(delivery)
    }

    /// As [`take_returning`](Self::take_returning), for calls that an earlier instance waited for: to this
    /// one they are events like others.
    pub(super) fn take_orphan(&mut self) -> Option<NextEvent> {
        let delivery = self.mailbox.take_returning(|_| true)?;
        self.begin(delivery)
    }
}

#[cfg(test)]
mod tests {
    use durabo_model::failure::FailureFlags;

    use super::*;

    #[test]
    fn st_6_a_calling_guest_learns_nothing_of_the_nodes_own_faults() {
        let fault = Failure::new(ErrorCode::Internal, "secret path");
        let seen = without_inner_detail(fault.clone(), EventId(0xab));
        assert_eq!(seen.message, "internal error; reference = 00000000000000ab");
        assert_eq!((seen.kind, seen.code), (fault.kind, fault.code.clone()));
        // What an object says itself is its own business.
        let flags = FailureFlags { remote: true, ..fault.flags };
        let remote = Failure { flags, ..fault };
        assert_eq!(without_inner_detail(remote.clone(), EventId(1)), remote);
    }
}
