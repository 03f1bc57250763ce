//! Where an object stands in its own history: epoch, newest commit, chain, time.
//!
//! Makes the records of its commits and checkpoints. Sequences have no gaps and times never fall,
//! whatever the clock does.

use durabo_changelog::codec::{self, EncodedRecord};
use durabo_changelog::record::{FileMark, Record, RecordBody};
use durabo_model::object::ObjectKey;
use durabo_model::sequence::{Epoch, Sequence};
use durabo_model::time::Timestamp;
use durabo_storage::object_index::ObjectRow;
use durabo_storage::turn::TurnCommit;

/// The present end of an object's history.
#[derive(Debug, Clone)]
pub struct History {
    key: ObjectKey,
    epoch: Epoch,
    sequence: Sequence,
    chain: u32,
    time: Timestamp,
    checkpointed: Sequence,
}

impl History {
    /// The history of an object that is loaded as `epoch`: as its index row says, or the beginning.
    pub fn new(key: ObjectKey, epoch: Epoch, row: Option<&ObjectRow>) -> Self {
        let (sequence, chain, time) =
            row.map_or_else(Default::default, |row| (row.sequence, row.chain, row.last_commit));
        Self { key, epoch, sequence, chain, time, checkpointed: sequence }
    }

    /// Which instance it is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Newest commit that was handed to the log.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whether there are commits that no checkpoint covers.
    pub fn is_ahead_of_file(&self) -> bool {
        self.sequence != self.checkpointed
    }

    /// Goes on as another instance.
    pub fn reload(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The record of the next commit.
    pub fn commit(&mut self, commit: TurnCommit, now: Timestamp) -> EncodedRecord {
        self.sequence = self.sequence.next();
        self.time = self.time.max(now);
        let record = Record {
            key: self.key,
            epoch: self.epoch,
            sequence: self.sequence,
            chain: 0,
            raw_time: now,
            time: self.time,
            name: commit.name,
            body: RecordBody::Commit {
                database_pages: commit.database_pages,
                alarm: commit.alarm,
                pages: commit.pages,
            },
        };
        let encoded = codec::encode(&record, self.chain);
        self.chain = encoded.chain;
        encoded
    }

    /// The record and index row of a checkpoint of everything so far. A checkpoint is no link of the
    /// chain: commits go on meanwhile.
    pub fn checkpoint(&mut self, mark: FileMark, name: Option<String>) -> (EncodedRecord, ObjectRow) {
        self.checkpointed = self.sequence;
        let record = Record {
            key: self.key,
            epoch: self.epoch,
            sequence: self.sequence,
            chain: self.chain,
            raw_time: self.time,
            time: self.time,
            name: None,
            body: RecordBody::Checkpoint { through: self.sequence, mark },
        };
        let row = ObjectRow {
            key: self.key,
            name,
            mark,
            sequence: self.sequence,
            chain: self.chain,
            last_commit: self.time,
        };
        (codec::encode(&record, self.chain), row)
    }
}
