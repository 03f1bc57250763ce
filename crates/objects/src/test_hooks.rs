//! What tests may do with a node's objects and its users cannot: faults of commits, hibernation, eviction, resets,
//! and a look at where events are.
//!
//! Only for a node whose queue was made for it; nobody else has a way to these calls.

use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;

use crate::append_outcome::AppendOutcome;
use crate::commit_faults::CommitFault;
use crate::committer::CommitQueue;
use crate::directory::Directory;

/// The way in; a cheap handle.
#[derive(Clone)]
pub struct TestHooks {
    directory: Directory,
    commits: CommitQueue,
}

impl TestHooks {
    /// For the objects of `directory`, whose commits go into `commits`, a queue
    /// [`with_faults`](CommitQueue::with_faults).
    pub fn new(directory: Directory, commits: CommitQueue) -> Self {
        Self { directory, commits }
    }

    /// Plans what is to become of the object's next commit for which nothing is planned.
    pub fn plan_fault(&self, object: ObjectKey, fault: CommitFault) {
        self.commits.plan_fault(object, fault);
    }

    /// How many commits of the object are held.
    pub fn held_commits(&self, object: &ObjectKey) -> usize {
        self.commits.held_commits(object)
    }

    /// Says what becomes of the object's first commit that is held; false if none is.
    pub fn answer_held(&self, object: &ObjectKey, outcome: AppendOutcome) -> bool {
        self.commits.answer_held(object, outcome)
    }

    /// How many events the object's guest has, which have begun and not ended; none if it is not in memory.
    pub fn events_in_guest(&self, object: &ObjectKey) -> usize {
        self.directory.events_in_guest(object)
    }

    /// How many events wait in the object's mailbox; none if it is not in memory.
    pub fn events_waiting(&self, object: &ObjectKey) -> usize {
        self.directory.events_waiting(object)
    }

    /// Asks the object to leave memory as soon as it has no work; the next event takes that back.
    pub fn evict(&self, object: &ObjectKey) {
        self.directory.evict(object);
    }

    /// Asks the object to drop its instance as soon as that has no work, and to stay in memory; the next event takes
    /// that back.
    pub fn hibernate(&self, object: &ObjectKey) {
        self.directory.hibernate(object);
    }

    /// Resets the object's instance now, with `failure` for its events; false if it has none.
    pub fn reset(&self, object: &ObjectKey, failure: Failure) -> bool {
        self.directory.reset(object, failure)
    }
}
