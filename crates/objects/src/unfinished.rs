//! Asynchronous imports of one instance that have not finished: sleeps, waits, calls.
//!
//! Each is held on the host's side, and each completion is a turn. An object takes events only while few
//! are open, else new events would come before the completions of old ones for ever; one instance may
//! never have more than a bound, or it would fill the host with waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;

/// Counts what has begun and not finished. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnfinishedImports(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    count: AtomicUsize,
    call_bytes: AtomicUsize,
    waker: AtomicWaker,
}

/// One import under way; it has finished when this is dropped, however it ended.
#[derive(Debug)]
pub struct ImportUnderWay(Arc<Counted>);

/// Bytes of a call that waits for leave; they count until this is dropped.
#[derive(Debug)]
pub struct CallBytes(Arc<Counted>, usize);

impl UnfinishedImports {
    /// Begins one, unless `max` are under way.
    pub(crate) fn begin(&self, max: usize) -> Option<ImportUnderWay> {
        // Only the instance's own thread begins; others may finish meanwhile, which only lowers it.
        if self.count() >= max {
            return None;
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Some(ImportUnderWay(self.0.clone()))
    }

    /// Counts the bytes of a call that is about to wait, unless those that wait would be over `max`.
    pub(crate) fn hold_call(&self, bytes: usize, max: usize) -> Option<CallBytes> {
        if self.0.call_bytes.load(Ordering::Relaxed) + bytes > max {
            return None;
        }
        self.0.call_bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(CallBytes(self.0.clone(), bytes))
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Whether fewer than `bound` are under way; if not, `waker` is woken when one has finished.
    pub(crate) fn is_below(&self, bound: usize, waker: &Waker) -> bool {
        if self.count() < bound {
            return true;
        }
        self.0.waker.register(waker);
        // One may have finished before the waker was there.
        self.count() < bound
    }
}

impl Drop for ImportUnderWay {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
        self.0.waker.wake();
    }
}

impl Drop for CallBytes {
    fn drop(&mut self) {
        self.0.call_bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_more_begin_than_are_allowed() {
        let imports = UnfinishedImports::default();
        let first = imports.begin(2).expect("room for one");
        let _second = imports.begin(2).expect("room for two");
        assert!(imports.begin(2).is_none());
        drop(first);
        assert!(imports.begin(2).is_some());
    }

    #[test]
    fn bytes_of_calls_that_wait_are_bounded_together() {
        let imports = UnfinishedImports::default();
        let first = imports.hold_call(6, 10).expect("room");
        assert!(imports.hold_call(5, 10).is_none());
        let _second = imports.hold_call(4, 10).expect("room");
        drop(first);
        assert!(imports.hold_call(6, 10).is_some());
    }

    #[test]
    fn who_waits_for_room_is_woken_by_an_end() {
        let imports = UnfinishedImports::default();
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let one = imports.begin(2).expect("room");
        assert!(imports.is_below(2, &waker));
        assert!(!imports.is_below(1, &waker));
        assert!(!flag.0.load(Ordering::Relaxed));
        drop(one);
        assert!(flag.0.load(Ordering::Relaxed));
        assert!(imports.is_below(1, &waker));
    }
}
