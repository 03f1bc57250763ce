//! What can go wrong with the change log as a whole.
//!
//! None of it is a guest's or a caller's fault: the node tells the operator and, where the text says
//! so, stops.

use std::io;
use std::path::{Path, PathBuf};

use durabo_model::object::ObjectKey;
use durabo_model::sequence::LogPosition;
use thiserror::Error;

use crate::codec_error::CodecError;
use crate::disk;

/// Why the change log did not do what it was asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk refused something.
    #[error("{doing} `{}`: {source}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no space for one more segment besides the reserve.
    #[error(
        "the disk of `{}` is full: {free} bytes are free, a segment of {segment} bytes and the reserve are \
         needed; remove files, or give it more space", path.display()
    )]
    NoSpace {
        /// The folder of the log.
        path: PathBuf,
        /// Bytes that were free when this was last looked at.
        free: u64,
        /// Bytes of a segment.
        segment: u64,
    },
    /// A write or sync of the log failed before; the log takes nothing more (invariant 5).
    #[error("the change log failed and takes no more commits: {0}; restart the node when the disk is well")]
    Failed(String),
    /// A record does not fit a segment.
    #[error(
        "record of object {id} needs {bytes} bytes in one piece, a segment of the change log has {limit}; \
         raise the segment size", id = key.id
    )]
    RecordTooLarge {
        /// Whose record it is.
        key: ObjectKey,
        /// Bytes of the largest frame and the seal after it.
        bytes: u64,
        /// Bytes of a segment.
        limit: u64,
    },
    /// Segments of this size cannot be used.
    #[error("segments of {bytes} bytes are too small, the least is {least}; raise the segment size")]
    SegmentSize {
        /// Wanted.
        bytes: u64,
        /// Least.
        least: u64,
    },
    /// The control file is not sound.
    #[error("control file `{}` of the change log is damaged; restore the data folder from a backup", .0.display())]
    ControlDamaged(PathBuf),
    /// The control file is missing although there are segments.
    #[error(
        "control file `{}` of the change log is missing although there are segments; \
         restore the data folder from a backup", .0.display()
    )]
    ControlMissing(PathBuf),
    /// The control file is of a later version of the program.
    #[error(
        "the change log has format version `{found}`, this program knows up to `{known}`; use a newer durabo"
    )]
    Newer {
        /// Version in the file.
        found: u32,
        /// Newest version that can be read.
        known: u32,
    },
    /// The log cannot be read at a place after which it goes on.
    #[error(
        "the change log is damaged at position {position}: it goes on at {later}, so commits between are lost; \
         restore the data folder from a backup"
    )]
    Damaged {
        /// Where reading ended.
        position: LogPosition,
        /// Where sound frames stand.
        later: LogPosition,
    },
    /// Records of one object do not follow each other.
    #[error("change log of object {id} is broken at position {position}: {reason}", id = key.id)]
    History {
        /// Whose records they are.
        key: ObjectKey,
        /// Where the record stands that does not follow.
        position: LogPosition,
        /// What does not fit.
        reason: String,
    },
    /// A record has sound checksums and makes no sense.
    #[error("record of object {id} at position {position} of the change log cannot be read: {source}", id = key.id)]
    Record {
        /// Whose record it is.
        key: ObjectKey,
        /// Where it stands.
        position: LogPosition,
        /// What is wrong.
        source: CodecError,
    },
}

impl LogError {
    /// Whether an operation of the disk failed for lack of space.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if disk::is_full(source))
    }
}

/// Turns what the system said into an error that says what was being done.
pub(crate) fn disk_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| LogError::Disk { doing, path: path.to_owned(), source }
}
