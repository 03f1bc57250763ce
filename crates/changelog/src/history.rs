//! What a scan learns of each object, and the rules by which its records follow each other.
//!
//! Commits have no gaps, each carries the chain value of all before it, epochs and times never go back.
//! A checkpoint stands beside that order: it may come after commits later than its own. Where reading
//! began in the midst of an object's history, its first commit is believed, and checkpoints before it.
//!
//! Used by `scan`; `storage` reads the tails.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use durabo_model::object::ObjectKey;
use durabo_model::sequence::{Epoch, LogPosition, Sequence};
use durabo_model::time::Timestamp;

use crate::codec::chain_of;
use crate::frame::FrameHeader;
use crate::mutation::{Mutation, is_planted};
use crate::record::{AlarmChange, FileMark, Record, RecordBody};

/// What the log says of one object, at the end of what was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTail {
    /// Commit up to which the last checkpoint record says that the file is durable, and how the file
    /// looked; `None` if no checkpoint record was read.
    pub checkpoint: Option<(Sequence, FileMark)>,
    /// First numbered record that was read, if any.
    pub first: Option<Sequence>,
    /// Newest commit.
    pub sequence: Sequence,
    /// Chain value of the newest commit.
    pub chain: u32,
    /// Instance that made the newest commit.
    pub epoch: Epoch,
    /// Time of the newest commit.
    pub time: Timestamp,
    /// Name, if a record that carries it was read.
    pub name: Option<String>,
    /// The last change of its alarm that was read.
    pub alarm: AlarmChange,
    /// Where its last record begins.
    pub position: LogPosition,
}

impl ObjectTail {
    /// Whether records must be applied to bring the object's file up to date.
    pub fn needs_apply(&self) -> bool {
        self.checkpoint.is_none_or(|(through, _)| through < self.sequence)
    }

    /// Newest commit that the object's file held, synced, when the log was last written; 0 if none is known to be. The
    /// record of the checkpoint need not have been read: commits before the first that was are given up only when a
    /// checkpoint of them is durable.
    pub fn checkpointed(&self) -> Sequence {
        let given_up = self.first.map_or(0, |first| first.0.saturating_sub(1));
        self.checkpoint.map_or(Sequence(given_up), |(through, _)| through)
    }
}

/// The tails of all objects while records are read.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) tails: BTreeMap<ObjectKey, ObjectTail>,
}

impl History {
    /// Takes the next record of the log, or says why it does not follow.
    pub(crate) fn accept(
        &mut self,
        position: LogPosition,
        header: &FrameHeader,
        payload: &[u8],
        record: &Record,
    ) -> Result<(), String> {
        if let RecordBody::Checkpoint { through, .. } = record.body
            && through > record.sequence
        {
            return Err(format!("a checkpoint of commit {} cannot stand here", through.0));
        }
        let tail = match self.tails.entry(record.key) {
            Entry::Occupied(known) => {
                check_follows(known.get(), header, payload, record)?;
                known.into_mut()
            }
            Entry::Vacant(unknown) => unknown.insert(ObjectTail {
                checkpoint: None,
                first: None,
                sequence: record.sequence,
                chain: record.chain,
                epoch: record.epoch,
                time: record.time,
                name: None,
                alarm: AlarmChange::Unchanged,
                position,
            }),
        };
        tail.position = position;
        if let RecordBody::Checkpoint { through, mark } = record.body {
            tail.checkpoint = Some((through, mark));
            if tail.first.is_some() {
                return Ok(());
            }
        } else {
            tail.first = tail.first.or(Some(record.sequence));
        }
        if let RecordBody::Commit { alarm, .. } | RecordBody::Wipe { alarm, .. } = record.body
            && alarm != AlarmChange::Unchanged
            && !is_planted(Mutation::ForgetAlarmInRecovery)
        {
            tail.alarm = alarm;
        }
        tail.sequence = record.sequence;
        tail.chain = record.chain;
        tail.epoch = record.epoch;
        tail.time = record.time;
        if record.name.is_some() {
            tail.name.clone_from(&record.name);
        }
        Ok(())
    }

    /// Looks for an object whose commits between its last checkpoint and the first commit read are
    /// missing; only when all records were taken.
    pub(crate) fn find_missing(&self) -> Option<(ObjectKey, LogPosition, String)> {
        self.tails.iter().find_map(|(key, tail)| {
            let (through, _) = tail.checkpoint?;
            let first = tail.first.unwrap_or(tail.sequence.next());
            (through.next() < first).then(|| {
                let reason = format!("commits {} to {} are missing", through.next().0, first.0 - 1);
                (*key, tail.position, reason)
            })
        })
    }
}

fn check_follows(
    before: &ObjectTail,
    header: &FrameHeader,
    payload: &[u8],
    record: &Record,
) -> Result<(), String> {
    if let RecordBody::Checkpoint { through, .. } = record.body {
        return check_checkpoint(before, record, through);
    }
    let expected = before.sequence.next();
    // While only checkpoints were read, commits between them may stand before the place where reading
    // began: a checkpoint is written while commits go on. What is missing shows at the end.
    let is_known = before.first.is_some();
    if record.sequence < expected || is_known && record.sequence > expected {
        return Err(format!("commit {} stands where {} is due", record.sequence.0, expected.0));
    }
    if record.epoch < before.epoch {
        return Err(format!("commit {} is of an earlier instance than the one before", record.sequence.0));
    }
    if record.time < before.time {
        return Err(format!("commit {} is older than the one before", record.sequence.0));
    }
    if record.sequence == expected && chain_of(before.chain, header, payload) != record.chain {
        return Err(format!("commit {} does not continue the chain", record.sequence.0));
    }
    Ok(())
}

/// A checkpoint may bear an earlier number than the newest commit, and comes after the checkpoint
/// before it.
fn check_checkpoint(before: &ObjectTail, record: &Record, through: Sequence) -> Result<(), String> {
    if record.sequence > before.sequence && before.first.is_some() {
        return Err(format!("a checkpoint of commit {} comes before that commit", record.sequence.0));
    }
    if before.checkpoint.is_some_and(|(last, _)| through < last) {
        return Err(format!("a checkpoint of commit {} comes after a later one", through.0));
    }
    if record.sequence == before.sequence && record.chain != before.chain {
        return Err(format!("a checkpoint of commit {} is of another history", through.0));
    }
    Ok(())
}
