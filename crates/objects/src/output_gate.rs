//! Output gate: holds back everything an object sends until its writes are on disk.
//!
//! What leaves takes the position of the newest commit before it and goes when that commit is durable,
//! in the order in which it was asked for (OG-3, OG-5). A commit that fails breaks the gate: what waits for
//! it or for a later one fails, what waits for earlier ones still passes (OG-6), until the object has gone
//! back to what is durable and opens it again. This is the one door: nothing leaves an object by any other
//! way.
//!
//! What is held is counted, here and over all gates, so that an object can stop taking events while the disk stalls.
//!
//! The object's task puts effects in, the committer lets them out; what would hold up its thread, and so all commits
//! of the node, it leaves to a task beside it. Knows nothing of SQLite.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::Sequence;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::append_outcome::AppendOutcome;
use crate::event::Outcome;
use crate::socket::Sending;

/// Sockets to which frames are handed in one go. Each is woken for it, some microseconds each; a broadcast to 10,000
/// would hold up all commits of the node for a hundredth of a second.
const RECEIVERS_AT_ONCE: usize = 64;

/// Runs a task beside the thread that asks for it.
pub type RunBeside = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// What leaves an object besides answers: called once, with `Ok` when it may leave, or with the failure
/// for which it must not. It runs in the thread that lets it out and must be short.
pub type Departure = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Something that the outside will see.
pub enum Effect {
    /// The answer to an event.
    Reply(oneshot::Sender<Outcome>, Outcome),
    /// A frame for the clients of some sockets.
    Frame(Sending),
    /// Anything else: a call, a request, a piece of a body.
    Send(Departure),
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Reply(..) => "Reply",
            Effect::Frame(..) => "Frame",
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
            Effect::Frame(sending) => sending.bytes(),
            Effect::Send(_) => 0,
        }
    }

    /// Sockets that it goes to.
    fn receivers(&self) -> usize {
        match self {
            Effect::Frame(sending) => sending.receivers(),
            Effect::Reply(..) | Effect::Send(_) => 0,
        }
    }

    fn release(self) {
        match self {
            // A caller that went away loses only the reply (ST-10).
            Effect::Reply(to, outcome) => drop(to.send(outcome)),
            Effect::Frame(mut sending) => drop(sending.leave_to(usize::MAX)),
            Effect::Send(depart) => depart(Ok(())),
        }
    }

    fn fail(self, failure: Failure) {
        match self {
            Effect::Reply(to, _) => drop(to.send(Err(failure))),
            Effect::Frame(sending) => sending.undo(),
            Effect::Send(depart) => depart(Err(failure)),
        }
    }
}

/// Bytes that all gates of a node hold. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct HeldBytes(Arc<AtomicUsize>);

/// The gate of one object. Lives as long as the object is in memory, over resets.
pub struct OutputGate {
    state: Mutex<State>,
    node_bytes: HeldBytes,
    beside: RunBeside,
}

impl fmt::Debug for OutputGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputGate").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Broken {
    failure: Failure,
    /// The change log has failed, and no gate opens again.
    is_final: bool,
}

#[derive(Debug)]
struct State {
    durable: Sequence,
    broken: Option<Broken>,
    /// The first commit that never comes into the log, and none behind it.
    failed_from: Option<Sequence>,
    /// Positions never decrease from front to back.
    held: VecDeque<(Sequence, Effect)>,
    /// Bytes of what is held.
    held_bytes: usize,
    /// Somebody lets effects out at this moment; whatever comes now goes behind them.
    is_releasing: bool,
    waiting: Option<Waker>,
    /// The loop of the object, which must learn that the gate is broken.
    watching: Option<Waker>,
}

impl OutputGate {
    /// A gate of an object whose commits up to `durable` are on disk. What it holds is counted in
    /// `node_bytes` too; what takes long to let out runs `beside` the log.
    pub fn new(durable: Sequence, node_bytes: HeldBytes, beside: RunBeside) -> Self {
        let state = State {
            durable,
            broken: None,
            failed_from: None,
            held: VecDeque::new(),
            held_bytes: 0,
            is_releasing: false,
            waiting: None,
            watching: None,
        };
        Self { state: Mutex::new(state), node_bytes, beside }
    }

    /// Lets `effect` out when the commit `position` is durable: at once if it is.
    pub fn release_after(&self, position: Sequence, effect: Effect) {
        if is_planted(Mutation::ReleaseFramesAtOnce) && matches!(effect, Effect::Frame(..)) {
            return effect.release();
        }
        let mut state = self.lock();
        if let Some(failure) = state.failure() {
            drop(state);
            effect.fail(failure);
        } else if position <= state.durable && state.held.is_empty() && !state.is_releasing {
            state.is_releasing = true;
            drop(state);
            effect.release();
            self.release_durable(usize::MAX);
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

    /// Says what became of the commit `sequence` of `object`, whose gate this is. `Committed` only after the
    /// log's sync (invariant 1) and in order.
    pub fn settle(self: &Arc<Self>, object: &ObjectId, sequence: Sequence, outcome: &AppendOutcome) {
        let Some(failure) = outcome.failure(*object) else { return self.advance(sequence) };
        self.break_from(failure, |state| {
            if *outcome != AppendOutcome::Unknown {
                assert!(sequence > state.durable, "BUG: the durable commit {sequence:?} failed");
                state.failed_from.get_or_insert(sequence);
            }
            Some(sequence)
        });
    }

    /// Says that the commit `sequence` has taken too long (OG-7); false if it is durable. Whoever waits for
    /// any commit that is not durable fails. What becomes of these is open.
    pub fn time_out(&self, sequence: Sequence, failure: Failure) -> bool {
        let mut is_open = false;
        self.break_from(failure, |state| {
            is_open = state.durable < sequence;
            is_open.then(|| state.durable.next())
        });
        is_open
    }

    /// Says that the turn behind the commit `newest` has ended without one: what was asked for within it waits for
    /// no more than what was asked for before it.
    pub fn turn_without_commit(&self, newest: Sequence) {
        let mut state = self.lock();
        for (position, _) in state.held.iter_mut().rev().take_while(|(position, _)| *position > newest) {
            *position = newest;
        }
        if state.is_releasing || state.durable < newest {
            return;
        }
        state.is_releasing = true;
        drop(state);
        self.release_durable(usize::MAX);
    }

    /// Says that the commits up to `through` are durable.
    fn advance(self: &Arc<Self>, through: Sequence) {
        let mut state = self.lock();
        assert!(through > state.durable, "BUG: commit {through:?} became durable after {:?}", state.durable);
        state.durable = through;
        let waiting = state.waiting.take();
        let is_mine = !std::mem::replace(&mut state.is_releasing, true);
        drop(state);
        if is_mine && !self.release_durable(RECEIVERS_AT_ONCE) {
            (self.beside)(Box::pin(self.clone().release_beside()));
        }
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Lets out what may leave, one after the other: two threads at once would change the order of what
    /// they let out (ST-2). To be called by whoever has set `is_releasing`, which this takes back; unless it returns
    /// false, since what is left goes to more than `receivers_max` sockets.
    fn release_durable(&self, receivers_max: usize) -> bool {
        let mut receivers_left = receivers_max;
        loop {
            let mut state = self.lock();
            let durable = state.durable;
            let is_next = |(position, effect): &&(Sequence, Effect)| {
                let left = (*position <= durable).then(|| receivers_left.checked_sub(effect.receivers()));
                left.flatten().map(|left| receivers_left = left).is_some()
            };
            let ready = state.held.iter().take_while(is_next).count();
            if ready == 0 {
                let is_done = state.held.front().is_none_or(|(position, _)| *position > durable);
                state.is_releasing = !is_done;
                // Who waits for room or a commit may have looked while another thread was letting things out.
                let waiting = if is_done { state.waiting.take() } else { None };
                drop(state);
                waiting.into_iter().for_each(Waker::wake);
                return is_done;
            }
            let released: Vec<_> = state.held.drain(..ready).collect();
            self.count_left(&mut state, &released);
            let waiting = state.waiting.take();
            drop(state);
            released.into_iter().for_each(|(_, effect)| effect.release());
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Goes on with [`release_durable`](Self::release_durable), a few sockets at a time, so that neither the log nor
    /// the tasks of this thread wait. Whatever comes meanwhile goes behind it.
    async fn release_beside(self: Arc<Self>) {
        loop {
            if let Some(mut sending) = self.take_large() {
                while sending.leave_to(RECEIVERS_AT_ONCE) {
                    yield_now().await;
                }
            }
            if self.release_durable(RECEIVERS_AT_ONCE) {
                return;
            }
            yield_now().await;
        }
    }

    /// Takes the first effect, if it may leave and goes to so many sockets that it has to in parts.
    fn take_large(&self) -> Option<Sending> {
        let mut state = self.lock();
        let (position, effect) = state.held.front()?;
        if *position > state.durable || effect.receivers() <= RECEIVERS_AT_ONCE {
            return None;
        }
        let large = state.held.pop_front()?;
        self.count_left(&mut state, std::slice::from_ref(&large));
        match large.1 {
            Effect::Frame(sending) => Some(sending),
            Effect::Reply(..) | Effect::Send(_) => unreachable!("BUG: it goes to sockets"),
        }
    }

    /// Breaks the gate for good, since the change log has failed: what waits for a commit that is not durable, and all
    /// that comes later, fails with `failure`.
    pub fn break_with(&self, failure: Failure) {
        self.break_from(failure.clone(), |state| {
            if !state.is_final() {
                state.broken = Some(Broken { failure, is_final: true });
            }
            // What is durable leaves also when it is just on its way.
            Some(state.durable.next())
        });
    }

    /// Breaks the gate from the commit on that `first` gives, if it gives one.
    fn break_from(&self, failure: Failure, first: impl FnOnce(&mut State) -> Option<Sequence>) {
        let mut state = self.lock();
        let Some(first) = first(&mut state) else { return };
        state.broken.get_or_insert_with(|| Broken { failure: failure.clone(), is_final: false });
        let passing = state.held.iter().take_while(|(held, _)| *held < first).count();
        let failed: Vec<_> = state.held.drain(passing..).collect();
        self.count_left(&mut state, &failed);
        let wakers = [state.waiting.take(), state.watching.take()];
        drop(state);
        failed.into_iter().for_each(|(_, effect)| effect.fail(failure.clone()));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Opens the gate again. The object has gone back to the newest durable commit, and what became of later
    /// ones is known (invariant 7).
    pub fn reopen(&self) {
        let mut state = self.lock();
        assert!(!state.is_final(), "BUG: a gate is opened although the change log has failed");
        state.broken = None;
        state.failed_from = None;
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
        self.lock().failure()
    }

    /// Newest durable commit, or the failure that broke the gate.
    pub fn durable_unless_broken(&self) -> Result<Sequence, Failure> {
        let state = self.lock();
        state.failure().map_or(Ok(state.durable), Err)
    }

    /// Whether the gate is broken for good.
    pub fn is_final(&self) -> bool {
        self.lock().is_final()
    }

    /// Whether a commit is known to be missing in the log.
    pub fn has_failed_commit(&self) -> bool {
        self.lock().failed_from.is_some()
    }

    /// Ready with the failure that broke the gate. One task may watch.
    pub fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut state = self.lock();
        if let Some(failure) = state.failure() {
            return Poll::Ready(failure);
        }
        if state.watching.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            state.watching = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// As [`poll_known`](Self::poll_known), looked at now.
    pub fn known(&self, newest: Sequence) -> Option<Sequence> {
        self.lock().known(newest)
    }

    /// Ready when it is known of all commits up to `newest` what became of them; gives the last one that is
    /// durable, behind which none ever will be. Pending for ever once the log has failed. It shares its place with
    /// [`poll_durable`](Self::poll_durable).
    pub fn poll_known(&self, cx: &mut Context<'_>, newest: Sequence) -> Poll<Sequence> {
        let mut state = self.lock();
        if let Some(durable) = state.known(newest) {
            return Poll::Ready(durable);
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the commit `through` is durable and what waited for it has left, or with the failure that broke the
    /// gate: another gate of the object must let nothing out before. One task may wait.
    pub fn poll_durable(&self, cx: &mut Context<'_>, through: Sequence) -> Poll<Result<(), Failure>> {
        let mut state = self.lock();
        if let Some(failure) = state.failure() {
            return Poll::Ready(Err(failure));
        }
        if state.durable >= through && !state.is_releasing {
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

impl State {
    fn failure(&self) -> Option<Failure> {
        self.broken.as_ref().map(|broken| broken.failure.clone())
    }

    fn known(&self, newest: Sequence) -> Option<Sequence> {
        let durable = self.durable;
        let is_known = durable >= newest || self.failed_from == Some(durable.next());
        (is_known || is_planted(Mutation::StartBeforeKnown)).then_some(durable)
    }

    fn is_final(&self) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.is_final)
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
mod tests;
