//! Memory of the write-ahead logs of all objects, counted together.
//!
//! Each object says after its commits, transactions and checkpoints what its log takes. While all of them
//! take more than they may, upkeep asks the largest for checkpoints: each of those gives back most for one
//! sync. Far beyond that, a turn waits before its first write and brings its own object's log into the file.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use durabo_model::limits::NODE_WAL_OVERRUN_FACTOR;
use durabo_model::object::ObjectKey;

/// What is asked for at once, as a part of the bound: an object that is asked gives back some time later.
const ASKED_PART: usize = 4;

#[derive(Debug, Default)]
struct Shared {
    bytes_total: AtomicUsize,
    objects: Mutex<HashMap<ObjectKey, Arc<AtomicUsize>>>,
}

/// The logs of a node; clones count together.
#[derive(Debug, Clone, Default)]
pub struct WalMemory {
    shared: Arc<Shared>,
}

impl WalMemory {
    /// Bytes of all logs.
    pub fn bytes(&self) -> usize {
        self.shared.bytes_total.load(Ordering::Relaxed)
    }

    /// Whether turns of objects that have a log must not write before it is in their file.
    pub(crate) fn is_far_beyond(&self, bytes_max: usize) -> bool {
        self.bytes() > bytes_max.saturating_mul(NODE_WAL_OVERRUN_FACTOR)
    }

    /// The objects that must checkpoint so that all logs take clearly less than `bytes_max`, the largest
    /// first; none while they take no more than that.
    pub(crate) fn to_checkpoint(&self, bytes_max: usize) -> Vec<ObjectKey> {
        let bytes = self.bytes();
        if bytes <= bytes_max {
            return Vec::new();
        }
        let mut logs: Vec<_> =
            self.lock().iter().map(|(key, bytes)| (bytes.load(Ordering::Relaxed), *key)).collect();
        logs.sort_unstable_by(|a, b| b.cmp(a));
        let mut excess = bytes - (bytes_max - bytes_max / ASKED_PART);
        let mut asked = Vec::new();
        for (bytes, key) in logs {
            if excess == 0 || bytes == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            asked.push(key);
        }
        asked
    }

    /// The share of an object that comes into memory.
    pub(crate) fn share(&self, key: ObjectKey) -> WalShare {
        let bytes = Arc::<AtomicUsize>::default();
        self.lock().insert(key, bytes.clone());
        WalShare { memory: self.clone(), key, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<AtomicUsize>>> {
        self.shared.objects.lock().expect("BUG: the table's lock is never held over a panic")
    }
}

/// What one object's log takes; nothing any more once this is dropped.
#[derive(Debug)]
pub(crate) struct WalShare {
    memory: WalMemory,
    key: ObjectKey,
    bytes: Arc<AtomicUsize>,
}

impl WalShare {
    /// The log takes so many bytes now. Says whether all logs take more than `bytes_max` by that and did not
    /// before.
    pub(crate) fn set(&self, bytes: usize, bytes_max: usize) -> bool {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let total = &self.memory.shared.bytes_total;
        if bytes <= before {
            total.fetch_sub(before - bytes, Ordering::Relaxed);
            return false;
        }
        let more = bytes - before;
        let others = total.fetch_add(more, Ordering::Relaxed);
        others <= bytes_max && others + more > bytes_max
    }
}

impl Drop for WalShare {
    fn drop(&mut self) {
        self.set(0, usize::MAX);
        self.memory.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;

    fn key(number: u8) -> ObjectKey {
        ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([number; 32]) }
    }

    fn with_logs(bytes: &[usize]) -> (WalMemory, Vec<WalShare>) {
        let memory = WalMemory::default();
        let shares = bytes.iter().zip(0..).map(|(bytes, number)| {
            let share = memory.share(key(number));
            share.set(*bytes, usize::MAX);
            share
        });
        let shares = shares.collect();
        (memory, shares)
    }

    #[test]
    fn the_largest_are_asked_until_the_rest_takes_clearly_less_than_it_may() {
        let (memory, _shares) = with_logs(&[10, 50, 30, 20]);
        assert_eq!(memory.bytes(), 110);
        assert!(memory.to_checkpoint(110).is_empty(), "no more than they may");
        assert_eq!(memory.to_checkpoint(100), [key(1)], "60 of 75 are left");
        assert_eq!(memory.to_checkpoint(60), [key(1), key(2)], "30 of 45 are left");
        assert_eq!(memory.to_checkpoint(0), [key(1), key(2), key(3), key(0)]);
    }

    #[test]
    fn a_log_counts_what_it_takes_now_and_nothing_when_its_object_has_left() {
        let (memory, mut shares) = with_logs(&[10, 50]);
        shares[1].set(5, usize::MAX);
        assert_eq!(memory.bytes(), 15);
        shares.remove(0);
        assert_eq!((memory.bytes(), memory.to_checkpoint(0)), (5, vec![key(1)]));
        drop(shares);
        assert_eq!((memory.bytes(), memory.to_checkpoint(0)), (0, Vec::new()));
    }

    #[test]
    fn whoever_passes_the_bound_says_so_once() {
        let (_memory, shares) = with_logs(&[0, 0]);
        assert!(!shares[0].set(100, 100));
        assert!(shares[1].set(1, 100));
        assert!(!shares[0].set(200, 100), "it was passed before");
        assert!(!shares[0].set(50, 100));
        assert!(shares[0].set(100, 100), "it was passed again");
    }

    #[test]
    fn turns_wait_only_far_beyond_the_bound() {
        let (memory, shares) = with_logs(&[0]);
        shares[0].set(NODE_WAL_OVERRUN_FACTOR * 100, usize::MAX);
        assert!(!memory.is_far_beyond(100));
        shares[0].set(NODE_WAL_OVERRUN_FACTOR * 100 + 1, usize::MAX);
        assert!(memory.is_far_beyond(100));
    }
}
