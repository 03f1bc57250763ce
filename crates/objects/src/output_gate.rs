//! Output gate: holds back everything an object sends until its writes are on disk.
//!
//! What leaves takes the position of the newest commit before it and goes when that commit is durable,
//! in the order in which it was asked for (OG-3, OG-5). A broken gate fails what it still holds
//! (OG-6). This is the one door: nothing leaves an object by any other way.
//!
//! What is held is counted, here and over all gates of the node, so that an object can stop taking
//! events while the disk stalls.
//!
//! The object's task puts effects in, the committer lets them out. Knows nothing of SQLite.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
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
    /// Bytes that it occupies while it is held, as far as they are known.
    fn bytes(&self) -> usize {
        match self {
            Effect::Reply(_, Ok(reply)) => reply.bytes(),
            Effect::Reply(_, Err(failure)) => {
                failure.message.len() + failure.details.as_ref().map_or(0, Vec::len)
            }
            Effect::Send(_) => 0,
        }
    }

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

/// Bytes that all gates of a node hold. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct HeldBytes(Arc<AtomicUsize>);

/// The gate of one object. Lives as long as the object is in memory, over resets.
#[derive(Debug)]
pub struct OutputGate {
    state: Mutex<State>,
    node_bytes: HeldBytes,
}

#[derive(Debug)]
struct State {
    durable: Sequence,
    broken: Option<Failure>,
    /// Positions never decrease from front to back.
    held: VecDeque<(Sequence, Effect)>,
    /// Bytes of what is held.
    held_bytes: usize,
    /// Somebody lets effects out at this moment; whatever comes now goes behind them.
    is_releasing: bool,
    waiting: Option<Waker>,
}

impl OutputGate {
    /// A gate of an object whose commits up to `durable` are on disk. What it holds is counted in
    /// `node_bytes` too.
    pub fn new(durable: Sequence, node_bytes: HeldBytes) -> Self {
        let state = State {
            durable,
            broken: None,
            held: VecDeque::new(),
            held_bytes: 0,
            is_releasing: false,
            waiting: None,
        };
        Self { state: Mutex::new(state), node_bytes }
    }

    /// Lets `effect` out when the commit `position` is durable: at once if it is.
    pub fn release_after(&self, position: Sequence, effect: Effect) {
        let mut state = self.lock();
        if let Some(failure) = state.broken.clone() {
            drop(state);
            effect.fail(failure);
        } else if position <= state.durable && state.held.is_empty() && !state.is_releasing {
            state.is_releasing = true;
            drop(state);
            effect.release();
            self.release_durable();
        } else {
            debug_assert!(
                state.held.back().is_none_or(|(last, _)| *last <= position)
                    || is_planted(Mutation::KeepDiscardedEffects),
                "BUG: positions fall"
            );
            let bytes = effect.bytes();
            state.held_bytes += bytes;
            self.node_bytes.0.fetch_add(bytes, Ordering::Relaxed);
            state.held.push_back((position, effect));
        }
    }

    /// Says that the commits up to `through` are durable. Only the committer calls this, after the
    /// log's sync (invariant 1).
    pub fn advance(&self, through: Sequence) {
        let mut state = self.lock();
        assert!(through > state.durable, "BUG: commit {through:?} became durable after {:?}", state.durable);
        state.durable = through;
        let waiting = state.waiting.take();
        let is_mine = !std::mem::replace(&mut state.is_releasing, true);
        drop(state);
        if is_mine {
            self.release_durable();
        }
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Lets out what may leave, one after the other: two threads at once would change the order of what
    /// they let out (ST-2). To be called by whoever has set `is_releasing`, which this takes back.
    fn release_durable(&self) {
        loop {
            let mut state = self.lock();
            let durable = state.durable;
            let ready = state.held.iter().take_while(|(position, _)| *position <= durable).count();
            if ready == 0 {
                state.is_releasing = false;
                return;
            }
            let released: Vec<_> = state.held.drain(..ready).collect();
            self.count_left(&mut state, &released);
            // Who waits for room may have looked while another thread was letting these out.
            let waiting = state.waiting.take();
            drop(state);
            released.into_iter().for_each(|(_, effect)| effect.release());
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }

    /// Breaks the gate: all that it holds and all that comes later fails with `failure`.
    pub fn break_with(&self, failure: Failure) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| failure.clone());
        let held: Vec<_> = state.held.drain(..).collect();
        self.count_left(&mut state, &held);
        let waiting = state.waiting.take();
        drop(state);
        held.into_iter().for_each(|(_, effect)| effect.fail(failure.clone()));
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Fails what was asked for in a turn that is discarded: everything behind `position` (OG-6).
    pub fn discard_after(&self, position: Sequence, failure: &Failure) {
        if is_planted(Mutation::KeepDiscardedEffects) {
            return;
        }
        let mut state = self.lock();
        let kept = state.held.iter().take_while(|(held, _)| *held <= position).count();
        let discarded: Vec<_> = state.held.drain(kept..).collect();
        self.count_left(&mut state, &discarded);
        drop(state);
        discarded.into_iter().for_each(|(_, effect)| effect.fail(failure.clone()));
    }

    /// Whether so little is held that the object may take another event; if not, `waker` is woken when
    /// something has left. It shares its place with [`poll_durable`](Self::poll_durable).
    pub fn has_room(&self, limits: &ObjectLimits, waker: &Waker) -> bool {
        let mut state = self.lock();
        let node_bytes = self.node_bytes.0.load(Ordering::Relaxed);
        let is_full = state.held.len() >= limits.outputs_held_max
            || state.held_bytes >= limits.outputs_held_bytes_max
            || state.held_bytes > 0 && node_bytes >= limits.node_outputs_held_bytes_max;
        if is_full {
            state.waiting = Some(waker.clone());
        }
        !is_full
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

    fn count_left(&self, state: &mut State, left: &[(Sequence, Effect)]) {
        let bytes = left.iter().map(|(_, effect)| effect.bytes()).sum();
        state.held_bytes -= bytes;
        self.node_bytes.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a gate's lock is never held over a panic")
    }
}

impl Drop for OutputGate {
    fn drop(&mut self) {
        // What is held when its node ends never leaves.
        // A second panic on the way out of one would end the node.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let held_bytes = state.held_bytes;
        self.node_bytes.0.fetch_sub(held_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reply;
    use bytes::Bytes;
    use durabo_model::error_code::ErrorCode;

    fn gate(durable: u64) -> OutputGate {
        OutputGate::new(Sequence(durable), HeldBytes::default())
    }

    /// At most 3 outputs or 5 bytes in one gate, 8 bytes in all.
    fn limits() -> ObjectLimits {
        ObjectLimits {
            outputs_held_max: 3,
            outputs_held_bytes_max: 5,
            node_outputs_held_bytes_max: 8,
            ..ObjectLimits::default()
        }
    }

    fn has_room(gate: &OutputGate) -> bool {
        gate.has_room(&limits(), Waker::noop())
    }

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
        let gate = gate(3);
        assert!(reply(&gate, 3).try_recv().is_ok());
    }

    #[test]
    fn a_reply_waits_for_its_own_commit_and_not_for_later_ones() {
        let gate = gate(0);
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
        let gate = gate(0);
        let (mut write, mut read) = (reply(&gate, 1), reply(&gate, 1));
        assert!(read.try_recv().is_err());
        gate.advance(Sequence(1));
        assert!(write.try_recv().is_ok() && read.try_recv().is_ok());
    }

    #[test]
    fn whatever_else_leaves_keeps_its_place_among_the_answers() {
        let gate = gate(0);
        let (sender, mut sent) = oneshot::channel();
        let mut before = reply(&gate, 1);
        let departure = move |leave| sender.send((before.try_recv().is_ok(), leave)).expect("listening");
        gate.release_after(Sequence(1), Effect::Send(Box::new(departure)));
        assert!(sent.try_recv().is_err());
        gate.advance(Sequence(1));
        assert_eq!(sent.try_recv().expect("has left"), (true, Ok(())));
    }

    #[test]
    fn st_2_what_comes_while_others_are_let_out_goes_behind_them() {
        let gate = Arc::new(gate(0));
        let (sender, order) = std::sync::mpsc::channel();
        let send = |name: &'static str| {
            let sender = sender.clone();
            Effect::Send(Box::new(move |leave| {
                leave.expect("leaves");
                sender.send(name).expect("listening");
            }))
        };
        let (inner, late) = (gate.clone(), send("third"));
        let first = send("first");
        gate.release_after(
            Sequence(1),
            Effect::Send(Box::new(move |_| {
                first.release();
                inner.release_after(Sequence(1), late);
            })),
        );
        gate.release_after(Sequence(1), send("second"));
        gate.advance(Sequence(1));
        assert_eq!(order.try_iter().collect::<Vec<_>>(), ["first", "second", "third"]);
    }

    #[test]
    fn a_broken_gate_fails_what_it_holds_and_what_comes_later() {
        let gate = gate(0);
        let mut held = reply(&gate, 1);
        gate.break_with(failure());
        assert_eq!(held.try_recv().expect("answered"), Err(failure()));
        assert_eq!(reply(&gate, 0).try_recv().expect("answered"), Err(failure()));
    }

    #[test]
    fn a_discarded_turn_fails_its_own_effects_only() {
        let gate = gate(0);
        let (mut kept, mut discarded) = (reply(&gate, 1), reply(&gate, 2));
        gate.discard_after(Sequence(1), &failure());
        assert_eq!(discarded.try_recv().expect("answered"), Err(failure()));
        gate.advance(Sequence(1));
        assert!(kept.try_recv().expect("answered").is_ok());
    }

    #[test]
    fn an_answer_is_counted_from_its_return_until_it_leaves() {
        for end in [
            (|gate| gate.advance(Sequence(1))) as fn(&OutputGate),
            |gate| gate.break_with(failure()),
            |gate| gate.discard_after(Sequence(0), &failure()),
        ] {
            let gate = gate(0);
            let _kept: Vec<_> = (0..3)
                .map(|number| {
                    assert!(has_room(&gate), "with {number} held");
                    reply(&gate, 1)
                })
                .collect();
            assert!(!has_room(&gate));
            end(&gate);
            assert!(has_room(&gate));
            assert_eq!(gate.node_bytes.0.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn bytes_are_bounded_in_one_gate_and_over_all_but_a_gate_without_any_has_room() {
        let all = HeldBytes::default();
        let gates = [(); 3].map(|()| OutputGate::new(Sequence(0), all.clone()));
        let hold = |gate: &OutputGate, bytes: usize| {
            let outcome = Ok(Reply::Rpc(Bytes::from(vec![0; bytes])));
            gate.release_after(Sequence(1), Effect::Reply(oneshot::channel().0, outcome));
        };
        hold(&gates[0], 5);
        assert!(!has_room(&gates[0]), "its own bytes");
        hold(&gates[1], 2);
        assert!(has_room(&gates[1]));
        hold(&gates[1], 1);
        assert!(!has_room(&gates[1]), "those of all");
        assert!(has_room(&gates[2]), "it holds none");
        gates[0].advance(Sequence(1));
        assert!(has_room(&gates[0]) && has_room(&gates[1]));
        drop(gates);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_waits_for_room_is_woken_when_something_leaves() {
        use futures::task::{ArcWake, waker};
        use std::sync::atomic::AtomicBool;

        #[derive(Default)]
        struct Flag(AtomicBool);
        impl ArcWake for Flag {
            fn wake_by_ref(flag: &Arc<Self>) {
                flag.0.store(true, Ordering::Relaxed);
            }
        }
        let (gate, flag) = (gate(0), Arc::new(Flag::default()));
        let _held: Vec<_> = (0..3).map(|_| reply(&gate, 1)).collect();
        assert!(!gate.has_room(&limits(), &waker(flag.clone())));
        assert!(!flag.0.load(Ordering::Relaxed));
        gate.advance(Sequence(1));
        assert!(flag.0.load(Ordering::Relaxed));
    }
}
