//! Where an object stands in its own history: epoch, newest commit, chain, time.
//!
//! Makes the records of its commits and checkpoints. Sequences have no gaps and times never fall,
//! whatever the clock does. Remembers where it stood at each commit that may not be durable yet, so that
//! those behind can be undone (invariant 6).

use std::collections::VecDeque;

use durabo_changelog::codec::{self, EncodedRecord};
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::{AlarmChange, FileMark, Record, RecordBody};
use durabo_model::object::ObjectKey;
use durabo_model::sequence::{Epoch, Sequence};
use durabo_model::time::Timestamp;
use durabo_storage::object_index::ObjectRow;
use durabo_storage::turn::TurnCommit;
use tokio::time::Instant;

/// Where the history stands at one commit.
#[derive(Debug, Clone, Copy)]
struct Stand {
    sequence: Sequence,
    chain: u32,
    time: Timestamp,
    /// Frames of the in-memory WAL up to the commit's end.
    wal_frames: u32,
    committed_at: Instant,
    /// When the object is to be woken, if at all.
    alarm: Option<Timestamp>,
}

/// The present end of an object's history.
#[derive(Debug, Clone)]
pub struct History {
    key: ObjectKey,
    epoch: Epoch,
    newest: Stand,
    /// At the newest commit that is known to be durable, and at those between it and the newest.
    before: VecDeque<Stand>,
    checkpointed: Sequence,
    /// For a planted fault.
    indexed_alarm: Option<Timestamp>,
}

impl History {
    /// The history of an object that is loaded as `epoch`: as its index row says, or the beginning.
    pub fn new(key: ObjectKey, epoch: Epoch, row: Option<&ObjectRow>) -> Self {
        let (sequence, chain, time) =
            row.map_or_else(Default::default, |row| (row.sequence, row.chain, row.last_commit));
        let alarm = row.and_then(|row| row.alarm);
        let newest = Stand { sequence, chain, time, wal_frames: 0, committed_at: Instant::now(), alarm };
        Self { key, epoch, newest, before: VecDeque::new(), checkpointed: sequence, indexed_alarm: alarm }
    }

    /// Which instance it is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Newest commit that was handed to the log.
    pub fn sequence(&self) -> Sequence {
        self.newest.sequence
    }

    /// When the object is to be woken, as of the newest commit.
    pub fn alarm(&self) -> Option<Timestamp> {
        self.newest.alarm
    }

    /// The oldest commit that is not durable, and when it was made; `durable` is the newest that is.
    pub fn oldest_open(&self, durable: Sequence) -> Option<(Sequence, Instant)> {
        let open = self.before.iter().chain([&self.newest]).find(|stand| stand.sequence > durable)?;
        Some((open.sequence, open.committed_at))
    }

    /// Frames of the in-memory WAL up to the commit `durable`, which is durable, and none behind it ever will
    /// be.
    pub fn wal_frames_at(&self, durable: Sequence) -> u32 {
        self.stand_at(durable).wal_frames
    }

    /// Goes back to the commit `durable`. What was undone leaves no gap: its numbers are given again.
    pub fn undo_after(&mut self, durable: Sequence) {
        self.newest = self.stand_at(durable);
        self.before.clear();
    }

    fn stand_at(&self, durable: Sequence) -> Stand {
        let mut stands = self.before.iter().chain([&self.newest]);
        *stands.find(|stand| stand.sequence == durable).expect("BUG: a durable commit was forgotten")
    }

    /// The WAL was copied to the object's file, all of whose commits are durable, and counts anew.
    pub fn wal_emptied(&mut self) {
        self.before.clear();
        self.newest.wal_frames = 0;
    }

    /// Whether there are commits that no checkpoint covers.
    pub fn is_ahead_of_file(&self) -> bool {
        self.newest.sequence != self.checkpointed
    }

    /// Goes on as another instance.
    pub fn reload(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The record of the next commit; `durable` is the newest one that is.
    pub fn commit(&mut self, commit: TurnCommit, now: Timestamp, durable: Sequence) -> EncodedRecord {
        let last = self.newest;
        self.before.push_back(last);
        while self.before.get(1).is_some_and(|stand| stand.sequence <= durable) {
            self.before.pop_front();
        }
        let (sequence, time) = (last.sequence.next(), last.time.max(now));
        let TurnCommit { database_pages, alarm, pages, .. } = commit;
        let due = match alarm {
            AlarmChange::Unchanged => last.alarm,
            AlarmChange::Set(due) => Some(due),
            AlarmChange::Cleared => None,
        };
        let alarm = if is_planted(Mutation::OmitAlarmChange) { AlarmChange::Unchanged } else { alarm };
        let record = Record {
            key: self.key,
            epoch: self.epoch,
            sequence,
            chain: 0,
            raw_time: now,
            time,
            name: commit.name,
            body: match commit.has_wiped {
                true => RecordBody::Wipe { database_pages, alarm, pages },
                false => RecordBody::Commit { database_pages, alarm, pages },
            },
        };
        let encoded = codec::encode(&record, last.chain);
        let (chain, wal_frames) = (encoded.chain, commit.wal_frames);
        self.newest = Stand { sequence, chain, time, wal_frames, committed_at: Instant::now(), alarm: due };
        encoded
    }

    /// The record and index row of a checkpoint of everything so far. A checkpoint is no link of the
    /// chain: commits go on meanwhile.
    pub fn checkpoint(&mut self, mark: FileMark, name: Option<String>) -> (EncodedRecord, ObjectRow) {
        let Stand { sequence, chain, time, alarm, .. } = self.newest;
        self.checkpointed = sequence;
        let record = Record {
            key: self.key,
            epoch: self.epoch,
            sequence,
            chain,
            raw_time: time,
            time,
            name: None,
            body: RecordBody::Checkpoint { through: sequence, mark },
        };
        let alarm = if is_planted(Mutation::KeepIndexedAlarm) { self.indexed_alarm } else { alarm };
        let row = ObjectRow { key: self.key, name, mark, sequence, chain, last_commit: time, alarm };
        (codec::encode(&record, chain), row)
    }
}
