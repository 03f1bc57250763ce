//! Numbers of requests: one for each request that reaches a listener, shown to the client and logged.
//!
//! Unique on the node over all its starts, since each start has its own number.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Header that carries the number of the request in every response.
pub const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// Gives out the numbers of one start of the node; all listeners share one.
#[derive(Debug)]
pub struct RequestIds {
    start: u32,
    next: AtomicU64,
}

/// Number of one request: the node's start and a counter, both in hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    start: u32,
    counter: u64,
}

impl RequestIds {
    /// Numbers of the node's `start`-th start.
    pub const fn new(start: u32) -> Self {
        Self { start, next: AtomicU64::new(1) }
    }

    /// A number that was not given before.
    pub fn next(&self) -> RequestId {
        RequestId { start: self.start, counter: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

impl RequestId {
    /// The number as a header.
    pub fn header_value(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("BUG: hex digits are a header value")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:06x}", self.start, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_within_a_start_and_between_starts() {
        let (one, two) = (RequestIds::new(1), RequestIds::new(2));
        let texts = [one.next(), one.next(), two.next()].map(|id| id.to_string());
        assert_eq!(texts, ["1-000001", "1-000002", "2-000001"]);
    }
}
