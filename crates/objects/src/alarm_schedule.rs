//! Which objects are to be woken next: what the object index says, and what has changed since.
//!
//! The index holds every alarm there is; here stand those that come soonest, read from it in parts, and those of
//! objects that have committed a change which no checkpoint has brought into the index yet. So a million alarms
//! take no more memory than some thousand, and nothing has to be read when an alarm is set. Those that are held back
//! after faults of the node stay here until they have run, however many they are: the index has their old time only.
//!
//! Objects tell of a change when they hand its commit to the log, and again what is stored if that commit does
//! not come into it (AL-5). A wake-up that is wrong all the same is dropped by the object. `alarms` takes what is
//! due and says how it went. Knows nothing of how objects are woken.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::limits::ALARM_DOUBLINGS_MAX;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::time::Timestamp;
use durabo_storage::object_index::AlarmEntry;
use tokio::sync::Notify;

/// Entries that are read from the index at once.
pub(crate) const READ_AT_ONCE: usize = 1024;

/// More are read when fewer wait than this.
const WAITING_MIN: usize = 256;

/// Entries that are kept although the index has them too; beyond it the later half is forgotten.
const KEPT_MAX: usize = 4 * READ_AT_ONCE;

/// The schedule of a node; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct AlarmSchedule {
    shared: Arc<(Mutex<State>, Notify)>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<ObjectKey, Known>,
    /// Those that wait, by the time at which they are to be woken.
    order: BTreeSet<AlarmEntry>,
    running: usize,
    window: Window,
    /// The index is being read: nothing is forgotten meanwhile, since what is read may be older.
    is_reading: bool,
    /// To be looked at again when it is read.
    deferred: Vec<ObjectKey>,
    /// Rows that came into the index since it was last looked whether too many are kept.
    indexed_since: usize,
}

/// How far the index has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Window {
    #[default]
    Nothing,
    Through(AlarmEntry),
    Everything,
}

#[derive(Debug, Default)]
struct Known {
    /// As of the object's newest commit.
    due: Option<Timestamp>,
    /// What the index says, if that is known.
    indexed: Option<Option<Timestamp>>,
    /// After faults of the node.
    hold: Option<Hold>,
    is_running: bool,
    /// Counted among those that run.
    has_place: bool,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    until: Timestamp,
    faults: u32,
}

/// An object that is to be woken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WakeUp {
    /// Which, and the time for which it is woken.
    pub entry: AlarmEntry,
    /// The try before it failed for a fault of the node (AL-12).
    pub after_fault: bool,
}

/// How waking an object ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WokenEnd {
    /// The alarm ran, also if it failed for what its object has stored, or was not due any more.
    Done,
    /// It did not run to its end, and that was nobody's fault: at once again.
    Interrupted,
    /// A fault of the node kept it from running to its end. If the object has said a new time, that counts.
    Failed,
}

impl AlarmSchedule {
    /// Says that the object is to be woken at `due`, or not at all. In the order of the object's commits.
    pub(crate) fn changed(&self, key: ObjectKey, due: Option<Timestamp>) {
        if is_planted(Mutation::ScheduleUntold) {
            return;
        }
        let mut state = self.lock();
        let is_next = state.update(key, |known| (known.due, known.hold) = (due, None));
        drop(state);
        if is_next {
            self.shared.1.notify_one();
        }
    }

    /// Says that the index has this of an object.
    pub(crate) fn indexed(&self, key: ObjectKey, due: Option<Timestamp>) {
        let mut state = self.lock();
        if let Some(known) = state.known.get_mut(&key) {
            known.indexed = Some(due);
            state.forget_if_settled(key);
            state.indexed_since += 1;
            if state.indexed_since > READ_AT_ONCE {
                state.shrink();
            }
        }
    }

    /// Those that are due, the oldest first, as many as may run beside those that do.
    pub(crate) fn take_due(&self, now: Timestamp, runs_max: usize) -> Vec<WakeUp> {
        let mut state = self.lock();
        let mut due = Vec::new();
        while state.running < runs_max
            && let Some(first) = state.order.first().copied()
            && first.due <= now
        {
            state.order.remove(&first);
            state.running += 1;
            let known = state.known.get_mut(&first.key).expect("BUG: it waits and is not known");
            (known.is_running, known.has_place) = (true, true);
            let entry = AlarmEntry { due: known.due.unwrap_or(first.due), key: first.key };
            due.push(WakeUp { entry, after_fault: known.hold.is_some() });
        }
        due
    }

    /// Says that it takes long: others may run meanwhile.
    pub(crate) fn takes_long(&self, woken: ObjectKey) {
        self.lock().free_place(woken);
        self.shared.1.notify_one();
    }

    /// Says how it went. `hold_until` gives the time before which the object is not woken again, if the fault is
    /// the node's, from the number of such faults in a row.
    pub(crate) fn finished(
        &self,
        woken: AlarmEntry,
        end: WokenEnd,
        hold_until: impl FnOnce(u32) -> Timestamp,
    ) {
        let mut state = self.lock();
        state.free_place(woken.key);
        state.update(woken.key, |known| {
            known.is_running = false;
            let is_fault = end == WokenEnd::Failed && known.due == Some(woken.due);
            known.hold = is_fault.then(|| {
                let faults = known.hold.map_or(0, |hold| (hold.faults + 1).min(ALARM_DOUBLINGS_MAX));
                Hold { until: hold_until(faults), faults }
            });
        });
        drop(state);
        self.shared.1.notify_one();
    }

    /// Wakes those at once that are held back after faults of the node: what serves these namespaces has changed.
    pub(crate) fn let_go(&self, namespaces: &[NamespaceNumber]) {
        let mut state = self.lock();
        let is_held = |(key, known): (&ObjectKey, &Known)| {
            (known.hold.is_some() && namespaces.contains(&key.namespace)).then_some(*key)
        };
        let held: Vec<ObjectKey> = state.known.iter().filter_map(is_held).collect();
        for key in held {
            state.update(key, |known| {
                known.hold = known.hold.map(|hold| Hold { until: Timestamp::default(), ..hold });
            });
        }
        drop(state);
        self.shared.1.notify_one();
    }

    /// When the next object is to be woken; `None` if none waits or too many run.
    pub(crate) fn next_due(&self, runs_max: usize) -> Option<Timestamp> {
        let state = self.lock();
        state.order.first().filter(|_| state.running < runs_max).map(|first| first.due)
    }

    /// Waits until something comes that may be next.
    pub(crate) async fn something_new(&self) {
        self.shared.1.notified().await;
    }

    /// Behind which entry the index is to be read on, if it is; [`read`](Self::read) must follow.
    pub(crate) fn begin_reading(&self) -> Option<Option<AlarmEntry>> {
        let mut state = self.lock();
        let after = match state.window {
            Window::Everything => return None,
            Window::Nothing => None,
            Window::Through(last) => {
                if state.order.range(..=last).nth(WAITING_MIN - 1).is_some() {
                    return None;
                }
                Some(last)
            }
        };
        state.is_reading = true;
        Some(after)
    }

    /// What the index has there; fewer than [`READ_AT_ONCE`] if that is all. `None`: it could not be read.
    pub(crate) fn read(&self, entries: Option<&[AlarmEntry]>) {
        let mut state = self.lock();
        for entry in entries.unwrap_or_default() {
            // What is known is as new or newer.
            if !state.known.contains_key(&entry.key) {
                let indexed = Some(Some(entry.due));
                state.update(entry.key, |known| (known.due, known.indexed) = (Some(entry.due), indexed));
            }
        }
        match entries {
            Some(entries) if entries.len() < READ_AT_ONCE => state.window = Window::Everything,
            Some(entries) => {
                state.window = entries.last().map_or(Window::Everything, |last| Window::Through(*last))
            }
            None => {}
        }
        state.is_reading = false;
        for key in std::mem::take(&mut state.deferred) {
            state.forget_if_settled(key);
        }
        state.shrink();
    }

    /// What is known of a namespace's objects and may differ from the index: when they are to be woken.
    pub(crate) fn of_namespace(&self, namespace: NamespaceNumber) -> HashMap<ObjectKey, Option<Timestamp>> {
        let state = self.lock();
        let of_namespace = state.known.iter().filter(|(key, _)| key.namespace == namespace);
        of_namespace.map(|(key, known)| (*key, known.due)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().expect("BUG: the lock is never held over a panic")
    }
}

impl State {
    fn free_place(&mut self, woken: ObjectKey) {
        let known = self.known.get_mut(&woken).expect("BUG: it runs and is not known");
        self.running -= usize::from(std::mem::take(&mut known.has_place));
    }

    /// Changes what is known of an object; says whether it is the next to be woken.
    fn update(&mut self, key: ObjectKey, change: impl FnOnce(&mut Known)) -> bool {
        let known = self.known.entry(key).or_default();
        if let Some(before) = known.waits(key) {
            self.order.remove(&before);
        }
        change(known);
        let waits = known.waits(key);
        self.order.extend(waits);
        self.forget_if_settled(key);
        waits.is_some() && self.order.first() == waits.as_ref()
    }

    /// Forgets an object of which the index says all that there is, unless it belongs to those that come soon.
    fn forget_if_settled(&mut self, key: ObjectKey) {
        let Some(known) = self.known.get(&key).filter(|known| known.is_settled()) else { return };
        let is_soon = known.waits(key).is_some_and(|entry| match self.window {
            Window::Nothing => false,
            Window::Through(last) => entry <= last,
            Window::Everything => true,
        });
        if is_soon {
            return;
        }
        if self.is_reading {
            self.deferred.push(key);
            return;
        }
        if let Some(entry) = known.waits(key) {
            self.order.remove(&entry);
        }
        self.known.remove(&key);
    }

    /// Forgets the later part of those that the index has too, if they are many.
    fn shrink(&mut self) {
        self.indexed_since = 0;
        let count = match self.window {
            _ if self.is_reading => return,
            Window::Everything => self.order.len(),
            // What is behind the window is not in the index.
            Window::Through(last) if self.order.len() > KEPT_MAX => self.order.range(..=last).count(),
            _ => return,
        };
        if count <= KEPT_MAX {
            return;
        }
        let last = *self.order.iter().nth(count / 2).expect("BUG: it was counted");
        self.window = Window::Through(last);
        let later: Vec<ObjectKey> = self.order.range(last..).skip(1).map(|entry| entry.key).collect();
        later.into_iter().for_each(|key| self.forget_if_settled(key));
    }
}

impl Known {
    /// Its place among those that wait, if it waits.
    fn waits(&self, key: ObjectKey) -> Option<AlarmEntry> {
        let due = self.due.filter(|_| !self.is_running)?;
        Some(AlarmEntry { due: self.hold.map_or(due, |hold| due.max(hold.until)), key })
    }

    fn is_settled(&self) -> bool {
        !self.is_running && self.hold.is_none() && self.indexed == Some(self.due)
    }
}

#[cfg(test)]
mod tests;
