//! Bytes that may be held at once, by many who hold them.
//!
//! The more is held, the less may one have: half of what is free ([`Budget::share`]). So those that hold most are
//! refused first, one that holds little finds room however many others hold much, and nobody has to look for the
//! largest. A budget may lie within another one, in which its bytes count too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use durabo_model::limits::SOCKET_SHARE_BYTES_MIN;

/// A number of bytes; clones are the same budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    bytes_max: usize,
    held: AtomicUsize,
    around: Option<Budget>,
}

impl Budget {
    /// One of its own, of which nothing is held.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(State { bytes_max, held: AtomicUsize::new(0), around: None }))
    }

    /// One of `bytes_max` that lies within this one.
    pub(crate) fn within(&self, bytes_max: usize) -> Self {
        Self(Arc::new(State { bytes_max, held: AtomicUsize::new(0), around: Some(self.clone()) }))
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// What one of those who hold may have at present.
    pub(crate) fn share(&self) -> usize {
        let free = self.0.bytes_max.saturating_sub(self.held());
        (free / 2).min(self.share_around()).max(SOCKET_SHARE_BYTES_MIN)
    }

    /// What may be held of this budget at present.
    pub(crate) fn bytes_max(&self) -> usize {
        self.0.bytes_max.min(self.share_around())
    }

    /// Holds bytes, whether there is room for them or not.
    pub(crate) fn hold(&self, bytes: usize) -> Hold {
        self.add(bytes);
        Hold { budget: self.clone(), bytes }
    }

    /// Holds bytes, if there is room for them.
    pub(crate) fn try_hold(&self, bytes: usize) -> Option<Hold> {
        (self.held().saturating_add(bytes) <= self.bytes_max()).then(|| self.hold(bytes))
    }

    fn share_around(&self) -> usize {
        self.0.around.as_ref().map_or(usize::MAX, Budget::share)
    }

    fn add(&self, bytes: usize) {
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
        if let Some(around) = &self.0.around {
            around.add(bytes);
        }
    }

    fn subtract(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(around) = &self.0.around {
            around.subtract(bytes);
        }
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Budget,
    bytes: usize,
}

impl Hold {
    /// How many.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many from now on, whether there is room for them or not.
    pub(crate) fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => self.budget.add(more),
            None => self.budget.subtract(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// Takes so many of them away, which are held apart from then on.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn split(&mut self, bytes: usize) -> Hold {
        self.bytes = self.bytes.checked_sub(bytes).expect("BUG: more is taken away than is held");
        Hold { budget: self.budget.clone(), bytes }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn what_is_held_counts_until_it_is_dropped_also_around() {
        let node = Budget::new(1024 * KIB);
        let object = node.within(100 * KIB);
        let mut hold = object.hold(10 * KIB);
        assert_eq!((object.held(), node.held()), (10 * KIB, 10 * KIB));
        let part = hold.split(4 * KIB);
        assert_eq!((hold.bytes(), part.bytes(), node.held()), (6 * KIB, 4 * KIB, 10 * KIB));
        hold.set(20 * KIB);
        assert_eq!(node.held(), 24 * KIB);
        hold.set(KIB);
        assert_eq!(node.held(), 5 * KIB);
        drop((hold, part));
        assert_eq!((object.held(), node.held()), (0, 0));
    }

    #[test]
    fn no_more_is_given_than_there_is() {
        let node = Budget::new(1024 * KIB);
        let object = node.within(100 * KIB);
        let first = object.try_hold(60 * KIB).expect("room");
        assert!(object.try_hold(41 * KIB).is_none());
        let _second = object.try_hold(40 * KIB).expect("room");
        assert!(object.try_hold(1).is_none());
        drop(first);
        assert!(object.try_hold(60 * KIB).is_some());
    }

    #[test]
    fn the_more_others_hold_the_less_may_one_have_and_a_little_always() {
        let node = Budget::new(1024 * KIB);
        let [many, one] = [node.within(800 * KIB), node.within(800 * KIB)];
        assert!(one.try_hold(500 * KIB).is_some(), "half of all");
        let _held = many.hold(800 * KIB);
        assert_eq!(one.bytes_max(), 112 * KIB, "half of the rest");
        assert!(one.try_hold(113 * KIB).is_none());
        let held = one.try_hold(112 * KIB).expect("room");
        assert_eq!(one.share(), 56 * KIB);
        let _beyond = many.hold(800 * KIB);
        assert_eq!(one.share(), SOCKET_SHARE_BYTES_MIN);
        drop(held);
        assert!(one.try_hold(SOCKET_SHARE_BYTES_MIN).is_some());
        assert!(many.try_hold(1).is_none());
    }
}
