//! The error record as clients see it (ST-4, ST-5): one JSON form for every failure, host's or guest's.
//!
//! `{"error":{"kind","code","name","message","remote","retryable","overloaded","objectReset","object",
//! "request","details"}}`; the number of the request finds the rest in the node's log.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use durabo_catalog::LookupError;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureKind};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::cbor_json::cbor_to_json;
use crate::request_id::RequestId;
use crate::sent_body::SentBody;

/// Media type of the records and of RPC results.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request that gets an error record instead of an answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Why.
    pub failure: Failure,
    /// Status, if it is not the one that follows from the failure.
    pub status: Option<StatusCode>,
    /// A header that belongs to the answer, such as `allow`.
    pub header: Option<(HeaderName, HeaderValue)>,
}

/// Boxed, because a failure is large and success is the rule.
pub type Refused = Box<Refusal>;

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Box::new(Refusal { failure, status: None, header: None })
    }
}

impl From<LookupError> for Refused {
    fn from(error: LookupError) -> Self {
        Failure::new(error.code(), error.to_string()).into()
    }
}

/// Refuses with a code of the host's list.
pub fn refuse(code: ErrorCode, message: impl Into<String>) -> Refused {
    Failure::new(code, message).into()
}

/// Refuses a method, saying which are served.
pub fn refuse_method(method: &http::Method, allow: &'static str) -> Refused {
    let message = format!("method `{method}` is not served at this address; use {allow}");
    Box::new(Refusal {
        failure: Failure::new(ErrorCode::MethodNotAllowed, message),
        status: None,
        header: Some((http::header::ALLOW, HeaderValue::from_static(allow))),
    })
}

/// The refusal with a header that belongs to the answer all the same, such as the id of a new object.
pub fn with_header(mut refused: Refused, header: Option<(HeaderName, HeaderValue)>) -> Refused {
    if header.is_some() {
        refused.header = header;
    }
    refused
}

/// A fault of the node: the detail goes to the log, the client gets a reference to it (ST-6).
fn internal(request: RequestId, detail: &dyn fmt::Display) -> Failure {
    tracing::error!(%request, %detail, "internal error");
    Failure::new(ErrorCode::Internal, format!("internal error; reference = {request}"))
}

/// Status for a failure: a listed code's own; what a guest raised is 500, or 503 if it is overloaded.
pub fn status_of(failure: &Failure) -> StatusCode {
    let listed = if failure.flags.remote { None } else { failure.listed_code() };
    let fallback = if failure.flags.overloaded { 503 } else { 500 };
    let status = listed.map_or(fallback, ErrorCode::http_status);
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer to a refused request; nothing of a fault of the node's own is in it (ST-6). Does not carry
/// the number of the request as a header yet.
pub fn refusal_response(mut refusal: Refusal, request: RequestId) -> Response<SentBody> {
    if !refusal.failure.flags.remote && refusal.failure.listed_code() == Some(ErrorCode::Internal) {
        let object = refusal.failure.object;
        refusal.failure = Failure { object, ..internal(request, &refusal.failure.message) };
    }
    let status = refusal.status.unwrap_or_else(|| status_of(&refusal.failure));
    let mut response = Response::new(record(&refusal.failure, request).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if let Some((name, value)) = refusal.header {
        response.headers_mut().insert(name, value);
    }
    response
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    kind: FailureKind,
    code: &'a str,
    name: &'a str,
    message: &'a str,
    remote: bool,
    retryable: bool,
    overloaded: bool,
    object_reset: bool,
    object: Option<String>,
    request: String,
}

/// The record's text.
fn record(failure: &Failure, request: RequestId) -> Vec<u8> {
    let record = Record {
        kind: failure.kind,
        code: &failure.code,
        name: &failure.name,
        message: &failure.message,
        remote: failure.flags.remote,
        retryable: failure.flags.retryable,
        overloaded: failure.flags.overloaded,
        object_reset: failure.flags.object_reset,
        object: failure.object.map(|object| object.to_string()),
        request: request.to_string(),
    };
    let mut out = br#"{"error":"#.to_vec();
    serde_json::to_writer(&mut out, &record).expect("BUG: a record has a JSON form");
    if let Some(details) = &failure.details {
        // Inserted as text, since it is JSON already: in place of the brace that ends the record.
        out.pop();
        out.extend_from_slice(br#","details":"#);
        out.extend_from_slice(&details_json(details));
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
    out
}

/// What has no JSON form is shown as the bytes it is, rather than lost.
fn details_json(details: &[u8]) -> Vec<u8> {
    cbor_to_json(details)
        .unwrap_or_else(|_| format!("{{\"$bytes\":\"{}\"}}", BASE64.encode(details)).into_bytes())
}

#[cfg(test)]
mod tests {
    use durabo_model::failure::FailureFlags;
    use durabo_model::object_id::ObjectId;
    use serde_json::{Value, json};

    use super::*;
    use crate::request_id::RequestIds;

    fn guest_failure(code: &str, overloaded: bool) -> Failure {
        Failure {
            kind: FailureKind::Application,
            code: code.to_owned(),
            name: "RangeError".to_owned(),
            message: "boom".to_owned(),
            details: None,
            flags: FailureFlags { remote: true, overloaded, ..FailureFlags::default() },
            object: Some(ObjectId::from_bytes([0xab; 32])),
        }
    }

    fn parsed(failure: &Failure) -> Value {
        serde_json::from_slice(&record(failure, RequestIds::new(1).next())).expect("JSON")
    }

    #[test]
    fn c_025_a_guests_own_failure_is_500_with_its_record() {
        let failure = guest_failure("", false);
        assert_eq!(status_of(&failure), StatusCode::INTERNAL_SERVER_ERROR);
        let expected = json!({"error": {
            "kind": "application", "code": "", "name": "RangeError", "message": "boom", "remote": true,
            "retryable": false, "overloaded": false, "objectReset": false, "object": "ab".repeat(32),
            "request": "1-000001",
        }});
        assert_eq!(parsed(&failure), expected);
    }

    #[test]
    fn a_guest_cannot_borrow_the_status_of_a_host_code() {
        assert_eq!(status_of(&guest_failure("unauthorized", false)), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status_of(&guest_failure("", true)), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn every_listed_code_has_its_status() {
        for code in ErrorCode::ALL {
            let status = status_of(&Failure::new(*code, "x"));
            assert_eq!(status.as_u16(), code.http_status(), "{}", code.as_str());
        }
    }

    #[test]
    fn details_are_shown_as_json_or_as_bytes() {
        let mut failure = guest_failure("", false);
        failure.details = Some(vec![0xa1, 0x61, b'a', 0x01]);
        assert_eq!(parsed(&failure)["error"]["details"], json!({"a": 1}));
        failure.details = Some(vec![0xff]);
        assert_eq!(parsed(&failure)["error"]["details"], json!({"$bytes": "/w=="}));
    }

    #[test]
    fn the_detail_of_an_internal_error_stays_in_the_log() {
        let failure = internal(RequestIds::new(3).next(), &"secret path");
        assert_eq!(failure.message, "internal error; reference = 3-000001");
    }
}
