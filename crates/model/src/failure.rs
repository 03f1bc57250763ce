//! The record of something that went wrong, as guests and clients see it (ST-5).
//!
//! One record serves errors of the host, errors that a handler returns and errors that arrive from
//! another object, so that every SDK maps one thing. `kind` is closed, `code` is open.

use std::fmt;

use crate::error_code::ErrorCode;
pub use crate::failure_kind::FailureKind;
use crate::limits;
use crate::object_id::ObjectId;

/// What a caller may conclude from a failure (ST-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureFlags {
    /// Raised by the object's own code.
    pub remote: bool,
    /// Transient: a retry may succeed.
    pub retryable: bool,
    /// The object has too much work.
    pub overloaded: bool,
    /// The instance was reset.
    pub object_reset: bool,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub kind: FailureKind,
    /// Stable code in kebab-case; a guest's own may be empty.
    pub code: String,
    /// Class of the error as in JavaScript's `Error.name`.
    pub name: String,
    /// For people.
    pub message: String,
    /// The guest's own data, CBOR.
    pub details: Option<Vec<u8>>,
    /// What a caller may conclude.
    pub flags: FailureFlags,
    /// The object that failed.
    pub object: Option<ObjectId>,
}

impl Failure {
    /// A failure of the host with a code of its list. Flags follow from the kind: resets say so,
    /// overload says so, all else is for good.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let kind = code.kind();
        let name = match kind {
            FailureKind::InvalidArgument | FailureKind::NotFound => "TypeError",
            _ => "Error",
        };
        let flags = FailureFlags {
            remote: false,
            retryable: kind == FailureKind::Disconnected,
            overloaded: kind == FailureKind::Overloaded,
            object_reset: matches!(kind, FailureKind::Reset | FailureKind::Storage),
        };
        Self {
            kind,
            code: code.as_str().to_owned(),
            name: name.to_owned(),
            message: cut(message.into(), limits::FAILURE_MESSAGE_BYTES_MAX),
            details: None,
            flags,
            object: None,
        }
    }

    /// The same, said of `object`.
    pub fn of_object(mut self, object: ObjectId) -> Self {
        self.object = Some(object);
        self
    }

    /// A failure that a guest returned, brought within the limits of the record: texts are cut,
    /// details that are too large are dropped (contract: `types.failure`).
    pub fn bounded(mut self) -> Self {
        self.code = cut(self.code, limits::FAILURE_CODE_BYTES_MAX);
        self.name = cut(self.name, limits::FAILURE_CODE_BYTES_MAX);
        self.message = cut(self.message, limits::FAILURE_MESSAGE_BYTES_MAX);
        self.details = self.details.filter(|details| details.len() <= limits::FAILURE_DETAILS_BYTES_MAX);
        self
    }

    /// The listed code that this failure carries, if it is one of the host's.
    pub fn listed_code(&self) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| code.as_str() == self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.code.is_empty() { Ok(()) } else { write!(f, " ({})", self.code) }
    }
}

impl std::error::Error for Failure {}

/// `text` without what is beyond `bytes_max`, cut between characters.
pub fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_kebab_case() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::new(ErrorCode::Internal, "ä".repeat(limits::FAILURE_MESSAGE_BYTES_MAX));
        assert_eq!(failure.message.len(), limits::FAILURE_MESSAGE_BYTES_MAX);
        assert!(failure.message.ends_with('ä'));
    }

    #[test]
    fn a_reset_carries_its_flag() {
        let failure = Failure::new(ErrorCode::GuestTrapped, "x");
        assert!(failure.flags.object_reset && !failure.flags.remote && !failure.flags.retryable);
        assert_eq!(failure.listed_code(), Some(ErrorCode::GuestTrapped));
    }
}
