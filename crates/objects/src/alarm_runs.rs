//! Runs of alarms: how long to wait before a retry, and what the node remembers of past runs.
//!
//! What is remembered is the node's, not the object's: it outlives eviction and is not undone with a turn. It is
//! kept in memory alone, within bounds, and forgotten when the node stops.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use durabo_model::limits::{ALARM_RUNS_KEPT_MAX, NODE_ALARM_RUNS_KEPT_MAX};
use durabo_model::object::ObjectKey;
use durabo_model::random::Random;
use durabo_model::time::Timestamp;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The handler returned.
    Succeeded,
    /// It failed, and is or was tried again.
    Failed,
    /// It failed for the last time, or was given up.
    Abandoned,
}

/// A past run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRun {
    /// Of the named alarm that it was of, if it has a name.
    pub name: Option<String>,
    /// The time that was set.
    pub scheduled: Timestamp,
    /// When the handler was called.
    pub started: Timestamp,
    /// When it had returned, or was cut.
    pub finished: Timestamp,
    /// Counted tries before it.
    pub retry_count: u32,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What the failure said.
    pub error: Option<String>,
}

/// Past runs of all objects; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct AlarmRuns(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    runs: HashMap<ObjectKey, Runs>,
    /// Whose newest run has which number; the first was quiet for longest.
    by_newest: BTreeMap<u64, ObjectKey>,
    count: usize,
    newest: u64,
}

#[derive(Debug, Default)]
struct Runs {
    newest: u64,
    runs: VecDeque<AlarmRun>,
}

impl AlarmRuns {
    /// Remembers a run.
    pub(crate) fn push(&self, key: ObjectKey, run: AlarmRun) {
        let mut kept = self.lock();
        kept.newest += 1;
        kept.count += 1;
        let number = kept.newest;
        let of_object = kept.runs.entry(key).or_default();
        let before = std::mem::replace(&mut of_object.newest, number);
        of_object.runs.push_back(run);
        let is_full = of_object.runs.len() > ALARM_RUNS_KEPT_MAX;
        if is_full {
            of_object.runs.pop_front();
        }
        kept.count -= usize::from(is_full);
        kept.by_newest.remove(&before);
        kept.by_newest.insert(number, key);
        while kept.count > NODE_ALARM_RUNS_KEPT_MAX
            && let Some((_, quiet)) = kept.by_newest.pop_first()
        {
            let forgotten = kept.runs.remove(&quiet).map_or(0, |runs| runs.runs.len());
            kept.count -= forgotten;
        }
    }

    /// The last runs of an object's alarm, newest first, `limit` at most.
    pub fn of(&self, key: &ObjectKey, limit: usize) -> Vec<AlarmRun> {
        let kept = self.lock();
        kept.runs.get(key).map_or_else(Vec::new, |runs| runs.runs.iter().rev().take(limit).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("BUG: the lock is never held over a panic")
    }
}

/// How long to wait before a retry: `base`, doubled so often, and up to a quarter more, by chance, so that alarms
/// that failed together do not come back together (AL-11).
pub(crate) fn retry_wait(base: Duration, doublings: u32, random: &dyn Random) -> Duration {
    let wait = base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    wait + wait.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX) / 4.0)
}

/// The moment that is `wait` after `now`, at the latest millisecond that it may mean.
pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait_ms = wait.as_nanos().div_ceil(1_000_000);
    Timestamp(now.0.saturating_add(u64::try_from(wait_ms).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;

    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn key(number: u32) -> ObjectKey {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_le_bytes());
        ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes(id) }
    }

    fn run(scheduled: u64) -> AlarmRun {
        let time = Timestamp(scheduled);
        let outcome = RunOutcome::Succeeded;
        AlarmRun {
            name: None,
            scheduled: time,
            started: time,
            finished: time,
            retry_count: 0,
            outcome,
            error: None,
        }
    }

    #[test]
    fn al_11_waits_double_and_are_up_to_a_quarter_longer_by_chance() {
        let base = Duration::from_secs(2);
        let waits =
            |byte| (0..6).map(move |doublings| retry_wait(base, doublings, &Always(byte)).as_millis());
        assert_eq!(waits(0).collect::<Vec<_>>(), [2000, 4000, 8000, 16_000, 32_000, 64_000]);
        assert_eq!(waits(255).collect::<Vec<_>>(), [2500, 5000, 10_000, 20_000, 40_000, 80_000]);
        assert_eq!(retry_wait(base, 9, &Always(0)).as_secs(), 1024);
    }

    #[test]
    fn a_wait_never_ends_before_it_is_over() {
        assert_eq!(after(Timestamp(5), Duration::from_micros(1_001)), Timestamp(7));
        assert_eq!(after(Timestamp(u64::MAX), Duration::from_secs(1)), Timestamp(u64::MAX));
    }

    #[test]
    fn the_newest_runs_of_an_object_are_kept_and_come_first() {
        let runs = AlarmRuns::default();
        (0..ALARM_RUNS_KEPT_MAX as u64 + 5).for_each(|time| runs.push(key(1), run(time)));
        let kept = runs.of(&key(1), usize::MAX);
        assert_eq!(kept.len(), ALARM_RUNS_KEPT_MAX);
        assert_eq!((kept[0].scheduled, kept[99].scheduled), (Timestamp(104), Timestamp(5)));
        assert_eq!(runs.of(&key(1), 2).len(), 2);
        assert!(runs.of(&key(2), 2).is_empty());
    }

    #[test]
    fn runs_of_all_objects_are_bounded_and_those_quiet_for_longest_are_forgotten() {
        let runs = AlarmRuns::default();
        (0..NODE_ALARM_RUNS_KEPT_MAX as u32).for_each(|number| runs.push(key(number), run(0)));
        runs.push(key(0), run(1));
        assert_eq!(runs.lock().count, NODE_ALARM_RUNS_KEPT_MAX);
        assert_eq!(runs.of(&key(0), 9).len(), 2);
        assert!(runs.of(&key(1), 9).is_empty());
        assert_eq!(runs.of(&key(2), 9).len(), 1);
    }
}
