//! What others may ask of a live object besides events: to stop, to retire, to checkpoint, to make room, to
//! hibernate; and what they may know of it: its present life, and how many events its guest has.
//!
//! The directory asks, the object's loop looks whenever it turns; requests wake it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use durabo_model::failure::Failure;
use tokio::time::Instant;

use crate::life::Life;

/// What becomes of the sockets of an object whose code is deployed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OldSockets {
    /// They go over to the new code, but for those that end with the instance.
    Keep,
    /// They are broken off (WS-31).
    Cut,
}

/// Why an object takes no more events into its present instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Its class was deployed anew: the next event starts the new code (LC-13).
    CodeUpdated(OldSockets),
    /// The node stops.
    Stopping,
}

#[derive(Debug, Default)]
struct State {
    ending: Option<(Ending, Instant)>,
    checkpoint: bool,
    make_room: bool,
    has_instance: bool,
    starts: u64,
    /// Asked for by a test.
    hibernate: bool,
    /// Asked for by a test.
    reset: Option<Failure>,
    life: Arc<Life>,
    resets: u64,
    waker: Option<Waker>,
}

impl State {
    fn register(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

/// Requests to one object; the object looks at them whenever its loop turns.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    /// Apart from the lock, since it changes with every event.
    events_in_guest: AtomicUsize,
}

impl Control {
    /// Asks the instance to end: no new event from now on, events under way until `deadline`. Asking once
    /// more for the same gives no more time: deployments in a row must not keep old code alive.
    pub fn end(&self, ending: Ending, deadline: Instant) {
        self.change(|state| {
            state.ending = match state.ending {
                None => Some((ending, deadline)),
                Some((known, first)) if known < ending => {
                    Some((ending, if ending == Ending::Stopping { deadline } else { first }))
                }
                known => known,
            };
        });
    }

    /// The object's life up to its next reset.
    pub fn life(&self) -> Arc<Life> {
        self.lock().life.clone()
    }

    /// Ends the present life and begins another: stubs that reached this one are broken (ST-3).
    pub fn end_life(&self, failure: Failure) {
        let mut state = self.lock();
        state.resets += 1;
        let life = std::mem::take(&mut state.life);
        drop(state);
        life.end(failure);
    }

    /// How often the object was reset since it is in memory.
    pub fn resets(&self) -> u64 {
        self.lock().resets
    }

    /// Says whether an instance runs.
    pub fn set_has_instance(&self, has_instance: bool) {
        let mut state = self.lock();
        state.has_instance = has_instance;
        state.starts += u64::from(has_instance);
        // What was asked of another instance, or of none.
        (state.hibernate, state.reset) = (false, None);
    }

    /// Says how many events the guest has.
    pub(crate) fn set_events_in_guest(&self, events: usize) {
        self.events_in_guest.store(events, Ordering::Relaxed);
    }

    /// How many events the guest has, which have begun and not ended.
    pub(crate) fn events_in_guest(&self) -> usize {
        self.events_in_guest.load(Ordering::Relaxed)
    }

    /// How many instances have run since the object is in memory, the present one included.
    pub fn starts(&self) -> u64 {
        self.lock().starts
    }

    /// Asks for a reset of the instance with `failure`; false if there is none.
    pub fn reset(&self, failure: Failure) -> bool {
        let mut has_instance = false;
        self.change(|state| {
            has_instance = state.has_instance;
            state.reset = Some(failure);
        });
        has_instance
    }

    /// Ready with the failure of a reset that was asked for. Wakes at the next request, as after
    /// [`register`](Self::register).
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut state = self.lock();
        if let Some(failure) = state.reset.take() {
            return Poll::Ready(failure);
        }
        state.register(cx.waker());
        Poll::Pending
    }

    /// Whether an instance runs; an object in memory without one hibernates.
    pub fn has_instance(&self) -> bool {
        self.lock().has_instance
    }

    /// Asks for a checkpoint, since the log is held back.
    pub fn request_checkpoint(&self) {
        self.change(|state| state.checkpoint = true);
    }

    /// Asks the object to leave memory as soon as it has no work. Ends nothing.
    pub fn ask_for_room(&self) {
        self.change(|state| state.make_room = true);
    }

    /// Asks the instance to go as soon as it has no work, and the object to stay in memory. Ends nothing.
    pub fn ask_to_hibernate(&self) {
        self.change(|state| state.hibernate = true);
    }

    /// Takes [`ask_for_room`](Self::ask_for_room) and [`ask_to_hibernate`](Self::ask_to_hibernate) back: the object
    /// is used again.
    pub fn stay(&self) {
        let mut state = self.lock();
        (state.make_room, state.hibernate) = (false, false);
    }

    /// Whether the object is to leave as soon as it has no work.
    pub fn is_room_wanted(&self) -> bool {
        self.lock().make_room
    }

    /// Whether the instance is to go as soon as it has no work.
    pub fn is_hibernation_wanted(&self) -> bool {
        let state = self.lock();
        state.make_room || state.hibernate
    }

    /// The request to end, if there is one.
    pub fn ending(&self) -> Option<(Ending, Instant)> {
        self.lock().ending
    }

    /// Forgets a code update once a new instance has taken its place.
    pub fn code_is_current(&self) {
        let mut state = self.lock();
        state.ending = state.ending.filter(|(ending, _)| *ending == Ending::Stopping);
    }

    /// Whether a checkpoint was asked for; forgets it.
    pub fn take_checkpoint_request(&self) -> bool {
        std::mem::take(&mut self.lock().checkpoint)
    }

    /// Wakes `waker` at the next request.
    pub fn register(&self, waker: &Waker) {
        self.lock().register(waker);
    }

    fn change(&self, f: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        f(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("BUG: the lock is never held over a panic")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn b_60_a_further_deployment_gives_events_of_old_code_no_more_time() {
        let (control, now) = (Control::default(), Instant::now());
        let [first, second] = [1, 2].map(|seconds| now + Duration::from_secs(seconds));
        let [keep, cut] = [OldSockets::Keep, OldSockets::Cut].map(Ending::CodeUpdated);
        control.end(keep, first);
        control.end(keep, second);
        assert_eq!(control.ending(), Some((keep, first)));
        control.end(cut, second);
        control.end(keep, second);
        assert_eq!(control.ending(), Some((cut, first)), "one that cuts is enough");
        control.end(Ending::Stopping, second);
        control.end(cut, first);
        assert_eq!(control.ending(), Some((Ending::Stopping, second)));
        // Code that is current now can become old again.
        control.code_is_current();
        assert_eq!(control.ending(), Some((Ending::Stopping, second)));
    }
}
