//! Registry: the table of objects in memory, in parts with a lock each.
//!
//! An entry and the task behind it come and go together: a [`Registration`] belongs to the task. Leaving
//! is checked under the same lock with which events are put in, so that no event falls between two
//! tasks, and the object's files are closed under it, so that they are never open twice. The entry of a
//! task that ended without leaving stays and refuses: what it had committed may be in the log alone.
//!
//! Tasks have places, of which there is a fixed number. When none is free, the objects that were not used
//! for longest are asked to leave as soon as they have no work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use durabo_model::name::ClassName;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use tokio::sync::Notify;

use crate::control::Control;
use crate::mailbox::Mailbox;

/// Parts of the table.
const SHARDS: usize = 64;

/// Every how manieth object is asked when there is no place.
const ASKED_PART: usize = 16;

/// An object in memory.
#[derive(Debug, Clone)]
pub struct LiveObject {
    /// The object.
    pub key: ObjectKey,
    /// Its class.
    pub class: ClassName,
    /// The name it was started by.
    pub name: Option<String>,
    /// How many instances have run since it is in memory.
    pub starts: u64,
    /// How often it was reset since it is in memory.
    pub resets: u64,
    /// Whether an instance of its code runs; without one it hibernates.
    pub has_instance: bool,
}

/// An entry: the object and the ways to its task.
pub(crate) struct Live {
    pub object: LiveObject,
    pub mailbox: Mailbox,
    pub control: Arc<Control>,
    /// The task has ended without leaving.
    pub has_fallen: bool,
    /// When it was last sent an event, as a count of such moments.
    pub used: u64,
}

impl Live {
    /// The object as it is now.
    pub(crate) fn shown(&self) -> LiveObject {
        let (starts, resets) = (self.control.starts(), self.control.resets());
        LiveObject { starts, resets, has_instance: self.control.has_instance(), ..self.object.clone() }
    }
}

pub(crate) type Shard = HashMap<ObjectKey, Live>;

/// The whole table.
pub(crate) struct Registry {
    shards: Vec<Mutex<Shard>>,
    left: Notify,
    places_max: usize,
    places_taken: AtomicUsize,
    /// Held by who looks for objects that could leave, since that looks at all of them.
    search: Mutex<()>,
    uses: AtomicU64,
}

impl Registry {
    /// A table for so many tasks.
    pub(crate) fn new(places_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            left: Notify::new(),
            places_max,
            places_taken: AtomicUsize::new(0),
            search: Mutex::default(),
            uses: AtomicU64::new(0),
        }
    }

    /// Takes a place for a task, if one is free. A [`Registration`] gives it back.
    pub(crate) fn take_place(&self) -> bool {
        let one_more = |taken| (taken < self.places_max).then_some(taken + 1);
        self.places_taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Number of the present use, for [`Live::used`].
    pub(crate) fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks a part of the objects to leave: of those not asked yet, the ones used longest ago. A part, so
    /// that a node that is always full looks at all its objects once per many starts.
    pub(crate) fn ask_for_room(&self) {
        let Ok(_search) = self.search.try_lock() else { return };
        let mut candidates = Vec::new();
        self.for_each(|live| {
            if !live.control.is_room_wanted() {
                candidates.push((live.used, live.object.key));
            }
        });
        let count = (self.len() / ASKED_PART).max(1).min(candidates.len());
        if count == 0 {
            return;
        }
        candidates.select_nth_unstable(count - 1);
        for (used, key) in &candidates[..count] {
            // It may have been used meanwhile.
            if let Some(live) = self.lock(key).get(key).filter(|live| live.used == *used) {
                live.control.ask_for_room();
            }
        }
    }

    fn give_place_back(&self) {
        self.places_taken.fetch_sub(1, Ordering::Relaxed);
        self.left.notify_waiters();
    }

    /// The part in which `key` stands, locked.
    pub(crate) fn lock(&self, key: &ObjectKey) -> MutexGuard<'_, Shard> {
        // Ids are hashes or random, so that any byte of them spreads evenly.
        Self::locked(&self.shards[usize::from(key.id.as_bytes()[0]) % SHARDS])
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(&Live)) {
        let mut visit = |shard: &Shard| shard.values().filter(|live| !live.has_fallen).for_each(&mut f);
        self.shards.iter().for_each(|shard| visit(&Self::locked(shard)));
    }

    /// Whether an object of this namespace has an entry, also one whose task has failed.
    pub(crate) fn has_any_of(&self, namespace: NamespaceNumber) -> bool {
        let is_in = |shard: &Shard| shard.keys().any(|key| key.namespace == namespace);
        self.shards.iter().any(|shard| is_in(&Self::locked(shard)))
    }

    /// Tasks that there are. Not counted part by part: while one leaves and another begins elsewhere, a
    /// walk would see both.
    pub(crate) fn len(&self) -> usize {
        self.places_taken.load(Ordering::Relaxed)
    }

    /// Told whenever an object has left.
    pub(crate) fn left(&self) -> &Notify {
        &self.left
    }

    fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
        shard.lock().expect("BUG: the registry's lock is never held over a panic")
    }
}

/// Stands for the entry of one task, which owns it.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    key: ObjectKey,
    has_left: AtomicBool,
}

impl Registration {
    pub(crate) fn new(registry: Arc<Registry>, key: ObjectKey) -> Self {
        Self { registry, key, has_left: AtomicBool::new(false) }
    }

    /// Drops what the task owns of the object and takes the entry out, unless an event waits: then
    /// everything comes back. The task must end once this has succeeded.
    pub(crate) fn leave<T>(&self, owned: T, has_event: impl FnOnce(&T) -> bool) -> Result<(), T> {
        let mut shard = self.registry.lock(&self.key);
        if has_event(&owned) {
            return Err(owned);
        }
        drop(owned);
        shard.remove(&self.key);
        self.has_left.store(true, Ordering::Relaxed);
        drop(shard);
        self.registry.give_place_back();
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.has_left.load(Ordering::Relaxed) {
            return;
        }
        if let Some(live) = self.registry.lock(&self.key).get_mut(&self.key) {
            live.has_fallen = true;
        }
        self.registry.give_place_back();
    }
}
