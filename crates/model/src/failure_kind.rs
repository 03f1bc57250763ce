//! The closed list of failure classes: the part of a failure that never grows.
//!
//! Stands below `error_code`, which gives each code its class, and `failure`, which re-exports it.

use serde::Serialize;

/// What went wrong, in classes that will not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Guest code raised it.
    Application,
    /// An argument is malformed or out of range.
    InvalidArgument,
    /// The call is not allowed in the present state.
    InvalidState,
    /// No such method, handler, class, binding or socket.
    NotFound,
    /// Policy forbids it.
    Denied,
    /// A limit on size, count, time, memory or nesting.
    LimitExceeded,
    /// Too much work is queued; do not retry at once.
    Overloaded,
    /// Whoever wanted the answer has gone away.
    Cancelled,
    /// The connection was lost; whether the other side ran is unknown.
    Disconnected,
    /// The object was reset.
    Reset,
    /// The database refused or failed.
    Storage,
    /// This node does not serve the function.
    Unsupported,
    /// The node's own fault.
    Internal,
}
