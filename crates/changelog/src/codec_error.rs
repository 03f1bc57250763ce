//! Why bytes are not a record: one error for each kind of damage.
//!
//! Below `payload` and `codec`, which give it; `error` carries it to whoever starts the node.

use thiserror::Error;

use crate::frame::FrameError;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// A frame is not sound.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The end of a segment, where a record was expected.
    #[error("the segment ends here")]
    Seal,
    /// A part that does not continue the parts before it.
    #[error("part {part} of {parts} does not follow the part before it")]
    PartOrder {
        /// Index of the part.
        part: u32,
        /// Parts of its record.
        parts: u32,
    },
    /// The payload ends within a field.
    #[error("payload ends within a field")]
    PayloadTooShort,
    /// The payload has bytes that nothing asked for.
    #[error("payload has {0} bytes too many")]
    Trailing(usize),
    /// The object's name is not UTF-8.
    #[error("name of the object is not UTF-8")]
    Name,
    /// Unknown alarm change.
    #[error("unknown alarm change `{0}`")]
    Alarm(u8),
    /// More pages than the payload has room for.
    #[error("payload claims {0} pages and has no room for them")]
    PageCount(usize),
    /// Page 0 does not exist.
    #[error("page number 0 does not exist")]
    PageNumber,
    /// A page's content has an impossible length.
    #[error("content of page {number} has {length} bytes, which no encoding gives")]
    PageLength {
        /// Number of the page.
        number: u32,
        /// Claimed bytes.
        length: usize,
    },
    /// Unknown encoding of a page.
    #[error("unknown page encoding `{0}`")]
    PageEncoding(u8),
    /// A difference in a record before which no page counts.
    #[error("page {0} is written as a difference to what was wiped")]
    WipeDifference(u32),
    /// The chain value is not that of the previous one and this payload.
    #[error("chain value of the record is wrong")]
    Chain,
}
