//! What a test may do with the objects of a node that was started for it (`NodeConfig::test_hooks`).
//!
//! Finds the object; `durabo_objects::test_hooks` does the rest. No listener leads here.

use std::sync::Arc;

use durabo_catalog::Catalog;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;
pub use durabo_objects::append_outcome::AppendOutcome;
pub use durabo_objects::commit_faults::CommitFault;
use durabo_objects::test_hooks::TestHooks as OfObjects;

/// The way in; a cheap handle.
#[derive(Clone)]
pub struct TestHooks {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) objects: OfObjects,
}

impl TestHooks {
    /// The object of a class that has this name. Fails if the class is not deployed.
    pub fn object(&self, app: &str, class: &str, name: &str) -> anyhow::Result<ObjectHooks> {
        let snapshot = self.catalog.snapshot();
        let target = snapshot.class_target(app, class)?;
        let key = ObjectKey { namespace: target.namespace, id: target.key.id_from_name(name) };
        Ok(ObjectHooks { key, objects: self.objects.clone() })
    }
}

/// The hooks of one object.
#[derive(Clone)]
pub struct ObjectHooks {
    key: ObjectKey,
    objects: OfObjects,
}

impl ObjectHooks {
    /// Plans what is to become of the object's next commit for which nothing is planned.
    pub fn plan_fault(&self, fault: CommitFault) {
        self.objects.plan_fault(self.key, fault);
    }

    /// How many commits of the object are held.
    pub fn held_commits(&self) -> usize {
        self.objects.held_commits(&self.key)
    }

    /// Says what becomes of the object's first commit that is held; false if none is.
    pub fn answer_held(&self, outcome: AppendOutcome) -> bool {
        self.objects.answer_held(&self.key, outcome)
    }

    /// How many events the object's guest has, which have begun and not ended; none if it is not in memory.
    pub fn events_in_guest(&self) -> usize {
        self.objects.events_in_guest(&self.key)
    }

    /// How many events wait in the object's mailbox; none if it is not in memory.
    pub fn events_waiting(&self) -> usize {
        self.objects.events_waiting(&self.key)
    }

    /// Asks the object to leave memory as soon as it has no work; the next event takes that back.
    pub fn evict(&self) {
        self.objects.evict(&self.key);
    }

    /// Asks the object to drop its instance as soon as that has no work, and to stay in memory; the next event takes
    /// that back.
    pub fn hibernate(&self) {
        self.objects.hibernate(&self.key);
    }

    /// Resets the object's instance now, with `failure` for its events; false if it has none.
    pub fn reset(&self, failure: Failure) -> bool {
        self.objects.reset(&self.key, failure)
    }
}
