//! Why a call on keys and values was refused or failed, in the words that programs match on (KV-7, KV-11).
//!
//! Everything but [`KvError::Sql`] is found before anything is written.

use durabo_model::limits::{
    KV_ENTRY_BYTES_MAX, KV_GET_BYTES_MAX, KV_KEY_BYTES_MAX, KV_KEYS_MAX, KV_LIST_BYTES_MAX,
};
use thiserror::Error;

use crate::sql_error::SqlError;

/// A failed call. It has written nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KvError {
    /// More keys or entries in one call than may be.
    #[error(
        "Maximum number of key value pairs is {KV_KEYS_MAX}. {count} pairs were provided. Make several calls; \
         within one turn they are one transaction"
    )]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// A key that is too long.
    #[error("Keys cannot be larger than {KV_KEY_BYTES_MAX} bytes. A key of size {bytes} was provided.")]
    KeyTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A value that is too large for its key.
    #[error(
        "Key and value together cannot be larger than {KV_ENTRY_BYTES_MAX} bytes. {bytes} bytes were provided; \
         split the value over several keys"
    )]
    EntryTooLarge {
        /// Length of both.
        bytes: usize,
    },
    /// More in the range of a list than one answer may hold.
    #[error(
        "the entries of the list are over {KV_LIST_BYTES_MAX} bytes, which is the limit; page with `limit` and \
         `start-after`"
    )]
    ListTooLarge,
    /// More under the keys of one call than one answer may hold.
    #[error("the values are over {KV_GET_BYTES_MAX} bytes, which is the limit; get fewer keys at once")]
    ValuesTooLarge,
    /// A list with two beginnings.
    #[error("list() cannot be called with both start and startAfter values.")]
    BothStarts,
    /// A list of nothing.
    #[error("List limit must be positive.")]
    LimitNotPositive,
    /// SQLite failed; whether the turn went with it, the database knows (OG-10).
    #[error(transparent)]
    Sql(#[from] SqlError),
}
