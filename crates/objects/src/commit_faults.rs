//! Faults of commits on demand: what a change log that others share may do, and the node's own never does.
//!
//! Off unless a node is started for tests. A commit for which a fault is planned waits here with its room in
//! the log, and all later ones of its object behind it, so that the log gets them in order or not at all
//! (invariant 6). Other objects go on.
//!
//! The committer's queue owns this, and its lock is held over every call.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use durabo_changelog::codec::EncodedRecord;
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::segment_pool::Claim;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;

use crate::append_outcome::AppendOutcome;
use crate::output_gate::OutputGate;

/// What is to become of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitFault {
    /// It waits until a test says what becomes of it.
    Hold,
    /// This becomes of it at once. `Committed` is no fault, and leaves the next one to a later commit.
    Answer(AppendOutcome),
}

/// A commit on its way into the queue.
#[derive(Debug)]
pub(crate) struct Commit {
    pub record: EncodedRecord,
    pub gate: Arc<OutputGate>,
    /// Room that it holds in the log.
    pub claim: Claim,
}

/// The commits of one object.
#[derive(Debug, Default)]
struct Lane {
    planned: VecDeque<CommitFault>,
    /// In order; the first one waits for an answer.
    held: VecDeque<(Commit, Option<CommitFault>)>,
}

/// What is planned and what is held, by object.
#[derive(Debug, Default)]
pub(crate) struct CommitFaults {
    lanes: HashMap<ObjectKey, Lane>,
}

impl CommitFaults {
    /// Plans what is to become of the object's next commit for which nothing is planned.
    pub(crate) fn plan(&mut self, key: ObjectKey, fault: CommitFault) {
        self.lanes.entry(key).or_default().planned.push_back(fault);
    }

    /// How many commits of the object are held.
    pub(crate) fn held(&self, key: &ObjectKey) -> usize {
        self.lanes.get(key).map_or(0, |lane| lane.held.len())
    }

    /// Takes a commit, and gives those that go into the log now.
    pub(crate) fn pass(&mut self, commit: Commit) -> Vec<Commit> {
        if commit.gate.has_failed_commit() && !is_planted(Mutation::KeepLaterRecords) {
            // An instance that does not know yet; what it holds in the log is given back.
            return Vec::new();
        }
        let Some(lane) = self.lanes.get_mut(&commit.record.key) else { return vec![commit] };
        let fault = lane.planned.pop_front();
        lane.held.push_back((commit, fault));
        if lane.held.len() == 1 { lane.meet_first() } else { Vec::new() }
    }

    /// Says what becomes of the object's first commit that is held, and gives those that go into the log now.
    /// `None`: none is held.
    pub(crate) fn answer(&mut self, key: &ObjectKey, outcome: AppendOutcome) -> Option<Vec<Commit>> {
        let lane = self.lanes.get_mut(key).filter(|lane| !lane.held.is_empty())?;
        lane.held[0].1 = Some(CommitFault::Answer(outcome));
        Some(lane.meet_first())
    }

    /// The log has failed: breaks the gates of all that is held, and drops it.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        for (_, lane) in self.lanes.drain() {
            lane.held.iter().for_each(|(commit, _)| commit.gate.break_with(failure.clone()));
        }
    }
}

impl Lane {
    /// Does with the first commit what is planned for it, and goes on with those behind it if it has gone.
    fn meet_first(&mut self) -> Vec<Commit> {
        let mut passed = Vec::new();
        while let Some((first, fault)) = self.held.front_mut() {
            match fault {
                None | Some(CommitFault::Answer(AppendOutcome::Committed)) => {
                    passed.extend(self.held.pop_front().map(|(commit, _)| commit));
                }
                Some(CommitFault::Hold) => return passed,
                Some(CommitFault::Answer(outcome)) => {
                    first.gate.settle(&first.record.key.id, first.record.sequence, outcome);
                    if *outcome != AppendOutcome::Unknown {
                        self.held.pop_front();
                        self.drop_held(&mut passed);
                    }
                    return passed;
                }
            }
        }
        passed
    }

    /// Drops all that is held, since the commit before it is not in the log.
    fn drop_held(&mut self, passed: &mut Vec<Commit>) {
        let held = self.held.drain(..).map(|(commit, _)| commit);
        if is_planted(Mutation::KeepLaterRecords) {
            passed.extend(held);
        }
    }
}
