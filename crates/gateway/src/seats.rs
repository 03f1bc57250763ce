//! The connections of a listener, and which of them makes room when all places are taken.
//!
//! A connection is idle while no request of it is answered and nothing is left to be written. If a client waits
//! for a place, the connection that has been idle longest is closed, about: they are gone through in turn, and
//! one that was used since the last time is spared once. A connection that answers is never closed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::sync::Notify;

/// The places of one listener; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Seats(Arc<Shared>);

/// Entries of places that were given back are dropped when the list has grown to this, at least.
const SWEPT_AT_MIN: usize = 16;

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    is_wanted: AtomicBool,
    changed: Notify,
}

/// The places that are taken, and some that were given back since the last sweep.
#[derive(Debug, Default)]
struct Taken {
    /// In the order in which they are looked at next.
    order: VecDeque<Weak<State>>,
    /// Length at which the next sweep is due: twice what the last one left, so that a sweep costs a place no more
    /// than a step and the list is bounded by the connections that were open at once.
    swept_at: usize,
}

impl Taken {
    fn add(&mut self, seat: Weak<State>) {
        if self.order.len() >= self.swept_at.max(SWEPT_AT_MIN) {
            self.order.retain(|seat| seat.strong_count() > 0);
            self.swept_at = 2 * self.order.len();
        }
        self.order.push_back(seat);
    }
}

/// The place of one connection, until this is dropped.
#[derive(Debug)]
pub struct Seat {
    state: Arc<State>,
    seats: Arc<Shared>,
}

#[derive(Debug)]
struct State {
    is_idle: AtomicBool,
    /// It has answered since it was looked at last, or is new.
    was_used: AtomicBool,
    must_go: AtomicBool,
    waker: AtomicWaker,
}

impl Seats {
    /// A place for a new connection, which is idle.
    pub fn take(&self) -> Seat {
        let state = Arc::new(State {
            is_idle: true.into(),
            was_used: true.into(),
            must_go: false.into(),
            waker: AtomicWaker::new(),
        });
        self.lock().add(Arc::downgrade(&state));
        Seat { state, seats: self.0.clone() }
    }

    /// Tells an idle connection to go; false if there is none. It may say no, see [`changed`](Self::changed).
    pub fn free_one(&self) -> bool {
        self.0.is_wanted.store(true, Ordering::SeqCst);
        let order = &mut self.lock().order;
        // Twice round, since each may be spared once.
        for _ in 0..2 * order.len() {
            let Some(seat) = order.pop_front() else { return false };
            let Some(state) = seat.upgrade() else { continue };
            order.push_back(seat);
            if state.is_idle.load(Ordering::SeqCst) && !state.was_used.swap(false, Ordering::SeqCst) {
                state.must_go.store(true, Ordering::SeqCst);
                state.waker.wake();
                return true;
            }
        }
        false
    }

    /// Says that no place is wanted any more.
    pub fn is_enough(&self) {
        self.0.is_wanted.store(false, Ordering::SeqCst);
    }

    /// Waits until a connection has become idle, or has said no, since a place was wanted.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.taken.lock().expect("BUG: this lock is never held over a panic")
    }
}

impl Seat {
    /// Says whether the connection is idle now. Ready if it is and has to go.
    pub fn poll_go(&self, cx: &mut Context<'_>, is_idle: bool) -> Poll<()> {
        self.state.waker.register(cx.waker());
        let was_idle = self.state.is_idle.swap(is_idle, Ordering::SeqCst);
        if !is_idle {
            self.state.was_used.store(true, Ordering::SeqCst);
        }
        let must_go = self.state.must_go.swap(false, Ordering::SeqCst);
        if must_go && is_idle {
            return Poll::Ready(());
        }
        let has_changed = must_go || is_idle && !was_idle;
        if has_changed && self.seats.is_wanted.load(Ordering::SeqCst) {
            self.seats.changed.notify_one();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::FutureExt;

    use super::*;

    fn goes(seat: &Seat, is_idle: bool) -> bool {
        seat.poll_go(&mut Context::from_waker(Waker::noop()), is_idle).is_ready()
    }

    /// Which of the seats was told to go.
    fn freed(seats: &Seats, of: &[Seat]) -> Option<usize> {
        seats.free_one().then(|| of.iter().position(|seat| goes(seat, true)).expect("one was told"))
    }

    #[test]
    fn the_one_that_was_idle_longest_goes_first() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..3).map(|_| seats.take()).collect();
        assert_eq!(freed(&seats, &taken), Some(0));
        taken.remove(0);
        // It was used meanwhile.
        goes(&taken[0], false);
        goes(&taken[0], true);
        assert_eq!(freed(&seats, &taken), Some(1));
        taken.remove(1);
        assert_eq!(freed(&seats, &taken), Some(0));
        taken.remove(0);
        assert_eq!(freed(&seats, &taken), None);
    }

    #[test]
    fn a_connection_that_answers_is_never_told_and_is_found_when_it_has() {
        let seats = Seats::default();
        let seat = seats.take();
        assert!(!goes(&seat, false));
        assert!(!seats.free_one());
        assert!(seats.changed().now_or_never().is_none());
        assert!(!goes(&seat, true));
        seats.changed().now_or_never().expect("it has become idle");
        assert!(seats.free_one() && goes(&seat, true));
    }

    #[test]
    fn one_that_has_begun_to_answer_since_it_was_told_says_no() {
        let seats = Seats::default();
        let seat = seats.take();
        assert!(seats.free_one());
        assert!(!goes(&seat, false));
        seats.changed().now_or_never().expect("it has said no");
        assert!(!goes(&seat, true), "it was told once");
    }

    #[test]
    fn connections_that_come_and_go_leave_nothing_behind() {
        let seats = Seats::default();
        let staying: Vec<_> = (0..100).map(|_| seats.take()).collect();
        for _ in 0..10_000 {
            drop(seats.take());
        }
        assert!(seats.lock().order.len() <= 3 * staying.len(), "{} are listed", seats.lock().order.len());
        assert_eq!(freed(&seats, &staying), Some(0), "those that stay are in order");
    }

    #[test]
    fn nobody_is_woken_while_no_place_is_wanted() {
        let seats = Seats::default();
        let seat = seats.take();
        goes(&seat, false);
        assert!(!seats.free_one());
        seats.is_enough();
        goes(&seat, true);
        assert!(seats.changed().now_or_never().is_none());
    }
}
