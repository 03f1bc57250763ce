//! One record of the change log: who changed, in what order, and the pages that came out.
//!
//! Only the nouns stand here; `codec` turns them into bytes and back. A record is written once and
//! never changed. Format: `docs/reference/change-log.md`.

use durabo_model::object::ObjectKey;
use durabo_model::sequence::{Epoch, Sequence};
use durabo_model::time::Timestamp;

/// Size of a database page in bytes, the same for every object.
pub const PAGE_BYTES: usize = 4096;

/// What a record says about the object's alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlarmChange {
    /// As before.
    #[default]
    Unchanged,
    /// Set to this moment.
    Set(Timestamp),
    /// No alarm any more.
    Cleared,
}

/// How a page's new content is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageContent {
    /// As it is: `PAGE_BYTES` bytes.
    Raw(Vec<u8>),
    /// LZ4 block of the whole page.
    Lz4(Vec<u8>),
    /// Difference to the page's previous image in the log: runs of (offset u16, length u16, bytes),
    /// little-endian. Only after the page was logged whole since the last durable checkpoint.
    Difference(Vec<u8>),
}

/// One changed page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEntry {
    /// Number of the page, from 1.
    pub number: u32,
    /// What it holds now.
    pub content: PageContent,
}

/// State of an object's file at a checkpoint, by which foreign writes are noticed (invariant 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMark {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// CRC-32 of its first page.
    pub first_page_crc: u32,
}

/// What a record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordBody {
    /// The pages of one transaction.
    Commit {
        /// Pages of the database after it.
        database_pages: u32,
        /// What became of the alarm.
        alarm: AlarmChange,
        /// The changed pages.
        pages: Vec<PageEntry>,
    },
    /// The object's file holds, synced, every commit up to and including `through`.
    Checkpoint {
        /// Last commit in the file.
        through: Sequence,
        /// How the file looked.
        mark: FileMark,
    },
    /// `delete-all` emptied the database, and this is what the same transaction wrote into it afterwards. No page
    /// from before it counts, so none is written as a difference to one.
    Wipe {
        /// Pages of the database after it.
        database_pages: u32,
        /// What became of the alarm.
        alarm: AlarmChange,
        /// The pages, each whole.
        pages: Vec<PageEntry>,
    },
    /// The database was set back to an earlier state. Reserved: written from a later step on.
    Restore,
    /// The object ceased to exist. Reserved: written from a later step on.
    Deleted,
    /// All objects of the namespace ceased to exist. Reserved: written from a later step on.
    NamespaceDeleted,
}

/// One record. Commits of an object are numbered without gaps; a checkpoint carries the number of a
/// commit that was handed to the log before it, not necessarily of the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose change it is.
    pub key: ObjectKey,
    /// Instance that made it.
    pub epoch: Epoch,
    /// Number of the commit.
    pub sequence: Sequence,
    /// Checksum over the object's history: of the previous record's chain value and this payload.
    /// Filled in by the codec from the chain value it is given.
    pub chain: u32,
    /// The clock's time when the turn ended.
    pub raw_time: Timestamp,
    /// The same, never decreasing within an object.
    pub time: Timestamp,
    /// Name of the object, in its first record if it was reached by name.
    pub name: Option<String>,
    /// What happened.
    pub body: RecordBody,
}
