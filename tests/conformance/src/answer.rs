//! What a node answers: status, headers and body, and the error record within it (ST-5).
//!
//! Every status is an answer; only a broken connection is not.

use serde::Deserialize;
use serde_json::Value;
use ureq::http::HeaderMap;

/// An answer of either listener.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// The error record. Unknown fields are refused: a stack trace, say, must not leak (ST-5).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorRecord {
    /// Class of the failure, closed.
    pub kind: String,
    /// Stable code; a guest's own may be empty.
    pub code: String,
    /// As JavaScript's `Error.name`.
    pub name: String,
    /// For people.
    pub message: String,
    /// Raised by the object's own code.
    pub remote: bool,
    /// A retry may succeed.
    pub retryable: bool,
    /// Too much work.
    pub overloaded: bool,
    /// The instance was reset.
    pub object_reset: bool,
    /// Id of the object.
    pub object: Option<String>,
    /// Number of the request.
    pub request: String,
    /// The guest's own data.
    #[serde(default)]
    pub details: Option<Value>,
    /// Status under which it came.
    #[serde(skip)]
    pub status: u16,
}

/// What a call came to: the value, or the error record. Boxed, because a record is large.
pub type Outcome = Result<Value, Box<ErrorRecord>>;

#[derive(Deserialize)]
struct Envelope {
    error: ErrorRecord,
}

impl Answer {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: no JSON in {self:?}"))
    }

    /// The error record that the body must be.
    pub fn error(&self) -> ErrorRecord {
        let envelope: Envelope = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: no error record in {} {}", self.status, self.text()));
        ErrorRecord { status: self.status, ..envelope.error }
    }

    /// The body of a success as JSON, or the error record.
    pub fn into_result(self) -> Outcome {
        if (200..300).contains(&self.status) { Ok(self.json()) } else { Err(Box::new(self.error())) }
    }
}

impl ErrorRecord {
    /// Asserts that the text holds `part`.
    #[track_caller]
    pub fn assert_says(&self, part: &str) {
        assert!(self.message.contains(part), "`{part}` is not in {self:?}");
    }

    /// Asserts code, status and the flag `objectReset` of an error that resets the object.
    #[track_caller]
    pub fn assert_reset(&self, code: &str) {
        assert_eq!(
            (self.code.as_str(), self.status, self.object_reset, self.retryable, self.overloaded),
            (code, 500, true, false, false),
            "{self:?}"
        );
    }
}
