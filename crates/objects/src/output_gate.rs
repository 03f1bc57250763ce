//! Output gate: holds back everything an object sends until its writes are on disk.
//!
//! What leaves takes the position of the newest commit before it and goes when that commit is durable,
//! in the order in which it was asked for (OG-3, OG-5). A broken gate fails what it still holds
//! (OG-6). This is the one door: nothing leaves an object by any other way.
//!
//! The object's task puts effects in, the committer lets them out. Knows nothing of SQLite.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use durabo_model::failure::Failure;
use durabo_model::sequence::Sequence;
use tokio::sync::oneshot;

use crate::event::Outcome;

/// What leaves an object besides answers: called once, with `Ok` when it may leave, or with the failure
/// for which it must not. It runs in the thread that lets it out and must be short.
pub type Departure = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Something that the outside will see.
pub enum Effect {
    /// The answer to an event.
    Reply(oneshot::Sender<Outcome>, Outcome),
    /// Anything else: a call, a request, a piece of a body.
    Send(Departure),
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Reply(..) => "Reply",
            Effect::Send(_) => "Send",
        })
    }
}

impl Effect {
    fn release(self) {
        match self {
            // A caller that went away loses only the reply (ST-10).
            Effect::Reply(to, outcome) => drop(to.send(outcome)),
            Effect::Send(depart) => depart(Ok(())),
        }
    }

    fn fail(self, failure: Failure) {
        match self {
            Effect::Reply(to, _) => drop(to.send(Err(failure))),
            Effect::Send(depart) => depart(Err(failure)),
        }
    }
}

/// The gate of one object. Lives as long as the object is in memory, over resets.
#[derive(Debug)]
pub struct OutputGate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    durable: Sequence,
    broken: Option<Failure>,
    /// Positions never decrease from front to back.
    held: VecDeque<(Sequence, Effect)>,
    waiting: Option<Waker>,
}

impl OutputGate {
    /// A gate of an object whose commits up to `durable` are on disk.
    pub fn new(durable: Sequence) -> Self {
        let state = State { durable, broken: None, held: VecDeque::new(), waiting: None };
        Self { state: Mutex::new(state) }
    }

    /// Lets `effect` out when the commit `position` is durable: at once if it is.
    pub fn release_after(&self, position: Sequence, effect: Effect) {
        let mut state = self.lock();
        if let Some(failure) = state.broken.clone() {
            drop(state);
            effect.fail(failure);
        } else if position <= state.durable && state.held.is_empty() {
            drop(state);
            effect.release();
        } else {
            debug_assert!(state.held.back().is_none_or(|(last, _)| *last <= position), "BUG: positions fall");
            state.held.push_back((position, effect));
        }
    }

    /// Says that the commits up to `through` are durable. Only the committer calls this, after the
    /// log's sync (invariant 1).
    pub fn advance(&self, through: Sequence) {
        let mut state = self.lock();
        assert!(through > state.durable, "BUG: commit {through:?} became durable after {:?}", state.durable);
        state.durable = through;
        let ready = state.held.iter().take_while(|(position, _)| *position <= through).count();
        let released: Vec<_> = state.held.drain(..ready).collect();
        let waiting = state.waiting.take();
        drop(state);
        released.into_iter().for_each(|(_, effect)| effect.release());
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Breaks the gate: all that it holds and all that comes later fails with `failure`.
    pub fn break_with(&self, failure: Failure) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| failure.clone());
        let held = std::mem::take(&mut state.held);
        let waiting = state.waiting.take();
        drop(state);
        held.into_iter().for_each(|(_, effect)| effect.fail(failure.clone()));
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Fails what was asked for in a turn that is discarded: everything behind `position` (OG-6).
    pub fn discard_after(&self, position: Sequence, failure: &Failure) {
        let mut state = self.lock();
        let kept = state.held.iter().take_while(|(held, _)| *held <= position).count();
        let discarded = state.held.split_off(kept);
        drop(state);
        discarded.into_iter().for_each(|(_, effect)| effect.fail(failure.clone()));
    }

    /// Newest durable commit.
    pub fn durable(&self) -> Sequence {
        self.lock().durable
    }

    /// Why the gate is broken, if it is.
    pub fn broken(&self) -> Option<Failure> {
        self.lock().broken.clone()
    }

    /// Ready when the commit `through` is durable, or with the failure that broke the gate. One task
    /// may wait.
    pub fn poll_durable(&self, cx: &mut Context<'_>, through: Sequence) -> Poll<Result<(), Failure>> {
        let mut state = self.lock();
        if let Some(failure) = &state.broken {
            return Poll::Ready(Err(failure.clone()));
        }
        if state.durable >= through {
            return Poll::Ready(Ok(()));
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a gate's lock is never held over a panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reply;
    use bytes::Bytes;
    use durabo_model::error_code::ErrorCode;

    fn reply(gate: &OutputGate, position: u64) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let outcome = Ok(Reply::Rpc(Bytes::from(position.to_string())));
        gate.release_after(Sequence(position), Effect::Reply(sender, outcome));
        receiver
    }

    fn failure() -> Failure {
        Failure::new(ErrorCode::StorageFailed, "commit failed")
    }

    #[test]
    fn a_reply_without_writes_leaves_at_once() {
        let gate = OutputGate::new(Sequence(3));
        assert!(reply(&gate, 3).try_recv().is_ok());
    }

    #[test]
    fn a_reply_waits_for_its_own_commit_and_not_for_later_ones() {
        let gate = OutputGate::new(Sequence(0));
        let (mut first, mut second) = (reply(&gate, 1), reply(&gate, 2));
        assert!(first.try_recv().is_err());
        gate.advance(Sequence(1));
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        gate.advance(Sequence(2));
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn a_read_only_reply_waits_for_the_newest_commit_before_it() {
        let gate = OutputGate::new(Sequence(0));
        let (mut write, mut read) = (reply(&gate, 1), reply(&gate, 1));
        assert!(read.try_recv().is_err());
        gate.advance(Sequence(1));
        assert!(write.try_recv().is_ok() && read.try_recv().is_ok());
    }

    #[test]
    fn whatever_else_leaves_keeps_its_place_among_the_answers() {
        let gate = OutputGate::new(Sequence(0));
        let (sender, mut sent) = oneshot::channel();
        let mut before = reply(&gate, 1);
        let departure = move |leave| sender.send((before.try_recv().is_ok(), leave)).expect("listening");
        gate.release_after(Sequence(1), Effect::Send(Box::new(departure)));
        assert!(sent.try_recv().is_err());
        gate.advance(Sequence(1));
        assert_eq!(sent.try_recv().expect("has left"), (true, Ok(())));
    }

    #[test]
    fn a_broken_gate_fails_what_it_holds_and_what_comes_later() {
        let gate = OutputGate::new(Sequence(0));
        let mut held = reply(&gate, 1);
        gate.break_with(failure());
        assert_eq!(held.try_recv().expect("answered"), Err(failure()));
        assert_eq!(reply(&gate, 0).try_recv().expect("answered"), Err(failure()));
    }

    #[test]
    fn a_discarded_turn_fails_its_own_effects_only() {
        let gate = OutputGate::new(Sequence(0));
        let (mut kept, mut discarded) = (reply(&gate, 1), reply(&gate, 2));
        gate.discard_after(Sequence(1), &failure());
        assert_eq!(discarded.try_recv().expect("answered"), Err(failure()));
        gate.advance(Sequence(1));
        assert!(kept.try_recv().expect("answered").is_ok());
    }
}
