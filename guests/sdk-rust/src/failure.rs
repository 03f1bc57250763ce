//! Errors that leave the object: what a method returns when it fails, as callers see it.
//!
//! Every error of std or another crate turns into one by `?`; [`Failure::new`] makes one's own. An error
//! that is returned keeps the writes of the turn and the instance (LC-6); only a panic or
//! [`Context::abort`](crate::Context::abort) undoes them.

use std::any::Any;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::types as wit;
pub use crate::bindings::durabo::object::types::FailureKind;
use crate::sql_error::SqlError;

/// Why something failed, as it crosses to the caller.
#[derive(Clone)]
pub struct Failure {
    record: Box<wit::Failure>,
}

impl Failure {
    /// An error of the object's own: kind `application`, name `Error`, no code.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            record: Box::new(wit::Failure {
                kind: FailureKind::Application,
                code: String::new(),
                name: "Error".to_owned(),
                message: message.into(),
                details: None,
                flags: wit::FailureFlags::empty(),
                object: None,
            }),
        }
    }

    /// With another class of error, as JavaScript's `Error.name`: `TypeError`, `RangeError`… 64 bytes
    /// at most.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.record.name = name.into();
        self
    }

    /// With a code for programs, in kebab-case, 64 bytes at most. It reaches callers unchanged.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.record.code = code.into();
        self
    }

    /// With another kind.
    pub fn with_kind(mut self, kind: FailureKind) -> Self {
        self.record.kind = kind;
        self
    }

    /// Says that a caller may try again.
    pub fn with_retryable(mut self) -> Self {
        self.record.flags |= wit::FailureFlags::RETRYABLE;
        self
    }

    /// With data of the guest's own, 64 KiB at most when encoded as CBOR. Fails if the value cannot be
    /// encoded.
    pub fn with_details(mut self, details: &impl Serialize) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        ciborium::into_writer(details, &mut bytes)?;
        self.record.details = Some(bytes);
        Ok(self)
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.record.message
    }

    /// Class of the error.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Code for programs; may be empty.
    pub fn code(&self) -> &str {
        &self.record.code
    }

    /// What went wrong, in classes that never change.
    pub fn kind(&self) -> FailureKind {
        self.record.kind
    }

    /// Whether it was raised by another object's own code, and not by the platform.
    pub fn is_remote(&self) -> bool {
        self.record.flags.contains(wit::FailureFlags::REMOTE)
    }

    /// Whether a retry through a new stub may succeed.
    pub fn is_retryable(&self) -> bool {
        self.record.flags.contains(wit::FailureFlags::RETRYABLE)
    }

    /// Whether the object has too much work: never retry at once.
    pub fn is_overloaded(&self) -> bool {
        self.record.flags.contains(wit::FailureFlags::OVERLOADED)
    }

    /// Whether the other object was reset; the stub stays broken (ST-3).
    pub fn is_object_reset(&self) -> bool {
        self.record.flags.contains(wit::FailureFlags::OBJECT_RESET)
    }

    /// Id of the object that failed, if it was another one.
    pub fn object(&self) -> Option<&str> {
        self.record.object.as_deref()
    }

    /// The data of [`with_details`](Self::with_details), if there is some and it is a `T`.
    pub fn details<T: DeserializeOwned>(&self) -> Option<T> {
        ciborium::from_reader(self.record.details.as_deref()?).ok()
    }

    /// What the host reported.
    pub(crate) fn from_host(record: wit::Failure) -> Self {
        Self { record: Box::new(record) }
    }

    /// A failure because an argument cannot be used: kind `invalid-argument`, name `TypeError`.
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(message)
            .with_kind(FailureKind::InvalidArgument)
            .with_name("TypeError")
            .with_code("invalid-argument")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.record.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("kind", &self.record.kind)
            .field("code", &self.record.code)
            .field("name", &self.record.name)
            .field("message", &self.record.message)
            .finish_non_exhaustive()
    }
}

/// Any error becomes a failure with its text, so that `?` works. `Failure` itself is not
/// [`std::error::Error`]: the two could not both hold.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let parts = (&error as &dyn Any).downcast_ref::<SqlError>();
        match parts {
            Some(error) => Self::new(error.to_string())
                .with_kind(FailureKind::Storage)
                .with_code(error.name.to_ascii_lowercase().replace('_', "-")),
            None => Self::new(error.to_string()),
        }
    }
}

#[doc(hidden)]
impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        *failure.record
    }
}
