//! Wakers of all who wait for one thing.
//!
//! A waker only notes that it was called, so the lock around a list may be held meanwhile.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};

/// Who is to be woken, each once.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Notes one more who waits.
    pub(crate) fn add(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// Forgets one who waits no more.
    pub(crate) fn remove(&mut self, waker: &Waker) {
        self.0.retain(|known| !known.will_wake(waker));
    }

    /// Wakes all and forgets them.
    pub(crate) fn wake_all(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
impl Wakers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A list that is a waker itself, for what has a place for one only.
#[derive(Debug, Default)]
pub(crate) struct WakeAll(Mutex<Wakers>);

impl WakeAll {
    /// Notes one more who waits.
    pub(crate) fn add(&self, waker: &Waker) {
        self.lock().add(waker);
    }

    /// Wakes all and forgets them.
    pub(crate) fn wake_all(&self) {
        self.lock().wake_all();
    }

    fn lock(&self) -> MutexGuard<'_, Wakers> {
        self.0.lock().expect("BUG: a list of wakers is never held over a panic")
    }
}

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use futures::task::ArcWake;

    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl ArcWake for Count {
        fn wake_by_ref(count: &Arc<Self>) {
            count.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_is_woken_once_however_often_it_looked() {
        let [one, other] = [Arc::new(Count::default()), Arc::new(Count::default())];
        let all = Arc::new(WakeAll::default());
        let waker = futures::task::waker(one.clone());
        all.add(&waker);
        all.add(&waker);
        all.add(&futures::task::waker(other.clone()));
        let woken = || (one.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed));
        assert_eq!(woken(), (0, 0));
        Waker::from(all.clone()).wake();
        assert_eq!(woken(), (1, 1));
        all.wake_all();
        assert_eq!(woken(), (1, 1), "forgotten");
    }
}
