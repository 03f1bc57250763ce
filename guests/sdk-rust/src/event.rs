//! The event that is being handled: its number in the logs, its trace, whether anyone still waits.
//!
//! Ask inside a method or `fetch`; each event sees its own.

use crate::bindings::durabo::object::event as wit;

/// W3C trace context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`.
    pub traceparent: String,
    /// `tracestate`, if there is one.
    pub tracestate: Option<String>,
}

/// Identifies the event in logs; unique on the node.
pub fn id() -> String {
    wit::id()
}

/// Trace to which the event belongs. Calls that the event makes carry it on by themselves.
pub fn trace() -> Option<Trace> {
    wit::trace().map(|trace| Trace { traceparent: trace.traceparent, tracestate: trace.tracestate })
}

/// True once nobody waits for the answer any more. The event is not stopped for that (ST-10).
pub fn is_cancelled() -> bool {
    wit::is_cancelled()
}

/// Returns when [`is_cancelled`] becomes true, at the latest when the event has answered and nobody reads its
/// answer's body any more. Race it against other work.
pub async fn cancelled() {
    wit::cancelled().await;
}
