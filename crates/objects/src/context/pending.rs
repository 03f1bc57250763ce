//! Work that nobody waits for, and for how long it keeps the object in memory (LC-15).
//!
//! Such is what events leave behind when they have answered, and what goes on for callers that have gone,
//! be it an event that waits for itself for ever. Who waits is looked at now and then only: nobody tells
//! the object that a caller has gone, and the usual event is over by the first look.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ObjectContext;
use crate::event::Origin;

/// Looks within the limit; by so much of it a caller's leaving may be taken for older than it is.
const LOOKS: u32 = 15;

/// What is known of those for whom an instance works.
#[derive(Debug)]
pub(super) struct PendingWork {
    /// When an event last came or ended.
    active_at: Instant,
    /// When somebody was last seen to wait.
    waited_for_at: Instant,
    next_look: Option<Pin<Box<Sleep>>>,
}

impl PendingWork {
    /// Of an instance that begins now.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { active_at: now, waited_for_at: now, next_look: None }
    }

    /// Says that an event has come or ended.
    pub fn active(&mut self) {
        self.active_at = Instant::now();
    }

    fn nobody_since(&self) -> Instant {
        self.active_at.max(self.waited_for_at)
    }

    fn look_at(&mut self, at: Instant) {
        match &mut self.next_look {
            Some(look) => look.as_mut().reset(at),
            None => self.next_look = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Ready when it is time to look.
    fn poll_look(&mut self, cx: &mut Context<'_>, pause: Duration) -> Poll<()> {
        if self.next_look.is_none() {
            self.look_at(Instant::now() + pause);
        }
        self.next_look.as_mut().map_or(Poll::Pending, |look| look.as_mut().poll(cx))
    }
}

impl ObjectContext {
    /// When an event of the present instance last came or ended.
    pub(crate) fn active_at(&self) -> Instant {
        self.instance.pending.active_at
    }

    /// To be asked while work is under way: ready with the failure for which the instance must be reset
    /// once nobody has waited for any of it for too long.
    pub(crate) fn poll_pending_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        // A constructor has a limit of its own.
        if !self.instance.has_started {
            return Poll::Pending;
        }
        let limit = self.node.limits.pending_work_timeout;
        let pause = limit / LOOKS;
        while self.instance.pending.poll_look(cx, pause).is_ready() {
            let now = Instant::now();
            if self.is_waited_for() {
                self.instance.pending.waited_for_at = now;
            }
            let over_at = self.instance.pending.nobody_since() + limit;
            if over_at <= now {
                return Poll::Ready(left_too_long(limit).of_object(self.identity.key.id));
            }
            self.instance.pending.look_at(over_at.min(now + pause));
        }
        Poll::Pending
    }

    /// Whether somebody outside waits for an event, or reads the rest of an answer.
    fn is_waited_for(&self) -> bool {
        if self.is_waited_for_by_socket() {
            return true;
        }
        let waits = |origin: &Origin| !origin.client.is_gone() && !self.is_own(origin);
        self.in_flight.values().any(|event| !event.reply.is_closed() && waits(&event.origin))
            || self
                .instance
                .answered
                .values()
                .any(|answered| !answered.reader.is_gone() && waits(&answered.origin))
    }

    /// Whether work of this instance waits for the event: then it is waited for only if that is.
    fn is_own(&self, origin: &Origin) -> bool {
        let caller = origin.chain.last_of(&self.identity.key);
        caller.is_some_and(|caller| caller.epoch == self.history.epoch())
    }
}

fn left_too_long(limit: Duration) -> Failure {
    let text = format!(
        "work that no caller waited for was not done within {} s after its event's answer or its caller's \
         leaving; the object was reset; let an alarm do what takes longer",
        limit.as_secs_f64()
    );
    Failure::new(ErrorCode::PendingWorkTimeout, text)
}
