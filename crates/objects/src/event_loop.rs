//! The loop of one instance: constructor, then events, with a turn end between any two pieces of
//! guest code.
//!
//! Rules T1 to T7 of turns live here. The loop is one future that the guest's machinery polls between
//! any two entries into guest code; each poll first commits the open turn, then starts at most one
//! event, then collects finished calls. It never waits in between, since guest code goes on meanwhile.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use durabo_model::failure::Failure;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use crate::context::{NextEvent, ObjectContext};
use crate::event::{Event, EventId, Outcome, SqlRequest};
use crate::guest::GuestExit;
use crate::idle_timer::{Idle, IdleTimer};

/// What only the guest's machinery can do.
pub trait GuestCalls {
    /// Gives access to the object's context. Never held over a wait.
    fn with_context<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R;

    /// As [`with_context`](Self::with_context), for work that is not the guest's: its time is not charged to
    /// the guest.
    fn apart<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R;

    /// Runs the constructor, if the guest has one.
    fn construct(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Starts one event in the guest; resolves when its handler has returned. Never resolves if the
    /// guest traps: then the machinery drops the loop and reports the reset itself.
    fn call(&self, id: EventId, event: Event) -> impl Future<Output = Outcome> + Send;

    /// Ready when the guest has no work left behind by events that have returned (LC-15).
    fn poll_quiet(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Runs an instance until it is idle, retired or has to be reset.
pub async fn run_events<G: GuestCalls>(guest: &G) -> GuestExit {
    match construct(guest).await {
        Ok(()) => {
            guest.with_context(ObjectContext::started);
            deliver(guest).await
        }
        Err(failure) => GuestExit::Reset(failure),
    }
}

/// Runs the constructor. Its result is looked at before the turn is committed, so that what a failing
/// constructor wrote since its last wait is lost (LC-3).
async fn construct<G: GuestCalls>(guest: &G) -> Result<(), Failure> {
    let mut start = pin!(guest.construct());
    poll_fn(|cx| {
        let started = start.as_mut().poll(cx);
        if let Poll::Ready(Err(mut failure)) = started {
            failure.flags.object_reset = true;
            return Poll::Ready(Err(failure));
        }
        guest.with_context(ObjectContext::end_turn)?;
        if let Poll::Ready(failure) = guest.with_context(|context| context.poll_outcomes(cx)) {
            return Poll::Ready(Err(failure));
        }
        // What comes back to an object in its constructor would wait for it, and it for that.
        guest.with_context(|context| context.refuse_cycles(cx));
        if let Poll::Ready(failure) = guest.with_context(|context| context.poll_section_limit(cx)) {
            return Poll::Ready(Err(failure));
        }
        if started.is_pending()
            && let Poll::Ready(failure) = guest.with_context(|context| context.poll_start_limit(cx))
        {
            return Poll::Ready(Err(failure));
        }
        started
    })
    .await
}

/// The run of the alarm that is in the guest; there is one at most.
#[derive(Default)]
struct AlarmCall<'a>(Option<(EventId, BoxFuture<'a, Outcome>)>);

impl AlarmCall<'_> {
    fn count(&self) -> usize {
        usize::from(self.0.is_some())
    }

    /// Looks whether the handler has returned.
    fn poll_end<G: GuestCalls>(&mut self, guest: &G, cx: &mut Context<'_>) {
        let Some((id, call)) = &mut self.0 else { return };
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            let id = *id;
            self.0 = None;
            guest.with_context(|context| context.finish(id, outcome));
            cx.waker().wake_by_ref();
        }
    }
}

/// Runs an operator's SQL. An instance that rests gives back at once what that has cached: such work is no reason for
/// a further rest.
fn answer_sql(
    context: &mut ObjectContext,
    idle: &IdleTimer,
    request: &SqlRequest,
    reply: oneshot::Sender<Outcome>,
) -> Result<(), Failure> {
    context.answer_sql(request, reply)?;
    if idle.is_resting(context.active_at()) {
        context.rest();
    }
    Ok(())
}

async fn deliver<G: GuestCalls>(guest: &G) -> GuestExit {
    let hibernate_after = guest.with_context(|context| context.limits().hibernate_after);
    let mut in_flight = FuturesUnordered::new();
    let mut alarm = AlarmCall::default();
    let mut idle = IdleTimer::new(hibernate_after);
    poll_fn(|cx| {
        // What the end of an alarm's run writes belongs to the last turn of its handler (AL-10).
        alarm.poll_end(guest, cx);
        // T1: this is the turn end; nothing else ends a turn.
        if let Err(failure) = guest.with_context(ObjectContext::end_turn) {
            return Poll::Ready(GuestExit::Reset(failure));
        }
        // T7: one event per poll, taken only now, so that none slips past a gate closed meanwhile.
        let next = guest.with_context(|context| context.poll_next(cx, in_flight.len() + alarm.count()));
        match next {
            Poll::Ready(NextEvent::Deliver(id, event @ Event::Alarm(_))) => {
                alarm.0 = Some((id, Box::pin(guest.call(id, event))));
                cx.waker().wake_by_ref();
            }
            Poll::Ready(NextEvent::Deliver(id, event)) => {
                in_flight.push(async move { (id, guest.call(id, event).await) });
                cx.waker().wake_by_ref();
            }
            Poll::Ready(NextEvent::Sql(request, reply)) => {
                if let Err(failure) = guest.apart(|context| answer_sql(context, &idle, &request, reply)) {
                    return Poll::Ready(GuestExit::Reset(failure));
                }
                cx.waker().wake_by_ref();
            }
            Poll::Ready(NextEvent::Retired) => return Poll::Ready(GuestExit::Retired),
            Poll::Ready(NextEvent::Reset(failure)) => return Poll::Ready(GuestExit::Reset(failure)),
            Poll::Pending => {}
        }
        alarm.poll_end(guest, cx);
        while let Poll::Ready(Some((id, outcome))) = in_flight.poll_next_unpin(cx) {
            guest.with_context(|context| context.finish(id, outcome));
            // There is room for another event now, which was not looked for above.
            cx.waker().wake_by_ref();
        }
        if guest.with_context(|context| context.has_turn_to_commit()) {
            // A machinery that runs guest code inside the calls themselves has opened a turn after
            // the turn end above: come back for it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // An open body keeps the object in memory, also one that no guest code is waiting for.
        if !in_flight.is_empty()
            || alarm.count() > 0
            || guest.poll_quiet(cx).is_pending()
            || guest.with_context(|context| context.poll_bodies_closed(cx)).is_pending()
            || guest.with_context(|context| context.poll_sockets_sleep(cx)).is_pending()
        {
            // LC-15: but for so long only, if nobody waits.
            return guest.with_context(|context| context.poll_pending_limit(cx)).map(GuestExit::Reset);
        }
        let (is_to_go, active_at) =
            guest.with_context(|context| (context.is_hibernation_wanted(), context.active_at()));
        if is_to_go {
            return Poll::Ready(GuestExit::Idle);
        }
        while let Poll::Ready(now) = idle.poll(cx, active_at) {
            match now {
                Idle::Rests => guest.apart(ObjectContext::rest),
                Idle::Goes => return Poll::Ready(GuestExit::Idle),
            }
        }
        Poll::Pending
    })
    .await
}
