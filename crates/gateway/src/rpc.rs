//! RPC over HTTP: a JSON array or CBOR in, the method's result out, in the form that was asked for.
//!
//! Within the node arguments and results are CBOR (RP-12). Reserved names are refused here, before any
//! object hears of them (RP-3): an outsider must never reach an alarm or socket handler.

use std::time::Duration;

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureKind};
use durabo_model::limits::{self, HttpLimits};
use durabo_model::rpc;
use durabo_objects::event::{Event, Reply};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::address::Address;
use crate::body::{BodyFault, BodyLimit, BodyName, CollectedBytes, RequestBody, read_body};
use crate::cbor::{check_item, is_array};
use crate::cbor_json::cbor_to_json;
use crate::error_response::{JSON, Refused, refuse, refuse_method, with_header};
use crate::json_cbor::json_to_cbor;
use crate::resolve::{Deliver, Resolved, origin_of};
use crate::sent_body::SentBody;

const CBOR: HeaderValue = HeaderValue::from_static("application/cbor");

/// CBOR of an array without items.
const NO_ARGUMENTS: &[u8] = &[0x80];

/// Calls the method that [`method_of`] found and waits for its result.
pub async fn call(
    objects: &impl Deliver,
    resolved: Resolved,
    method: String,
    (parts, body): (&Parts, impl RequestBody),
    (http, collected): (&HttpLimits, &CollectedBytes),
) -> Result<Response<SentBody>, Refused> {
    let sends_cbor = is_media_type(parts.headers.get(CONTENT_TYPE), "application/cbor");
    let (bytes_max, silence_max) = (limits::RPC_BYTES_MAX, http.body_silence_max);
    let limit = BodyLimit { bytes_max, silence_max, collected: Some(collected) };
    let body =
        read_body(&parts.headers, body, limit).await.map_err(|fault| body_fault(fault, silence_max))?;
    let args = if sends_cbor { cbor_arguments(body)? } else { json_arguments(&body)? };
    let new_id = resolved.new_id_header();
    let object = resolved.address.key.id;
    let outcome = objects.deliver(resolved.address, Event::Rpc { method, args }, origin_of(parts)).await;
    let response = match outcome {
        Ok(Reply::Rpc(result)) => result_response(result, sends_cbor || asks_for_cbor(&parts.headers)),
        Ok(_) => {
            let message = "the object answered a call with something that is no result";
            Err(refuse(ErrorCode::InvalidGuestResult, message))
        }
        Err(failure) => return Err(with_header(call_failure(failure), new_id)),
    };
    match response {
        Ok(mut response) => {
            if let Some((name, value)) = new_id {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        }
        Err(mut refused) => {
            refused.failure.object = Some(object);
            Err(with_header(refused, new_id))
        }
    }
}

/// Name of the method, if the request is a call that may be delivered.
pub fn method_of(parts: &Parts, address: &Address<'_>) -> Result<String, Refused> {
    let method = address.method()?;
    if parts.method != Method::POST {
        return Err(refuse_method(&parts.method, "POST"));
    }
    rpc::check_method(&method)?;
    Ok(method.into_owned())
}

/// A guest answers for the methods it lacks (RP-13), but to a client that is an address that leads
/// nowhere, and not a fault of the object.
fn call_failure(failure: Failure) -> Refused {
    let is_missing =
        failure.kind == FailureKind::NotFound && failure.listed_code() == Some(ErrorCode::MethodNotFound);
    let mut refused = Refused::from(failure);
    refused.status = is_missing.then_some(StatusCode::NOT_FOUND);
    refused
}

fn body_fault(fault: BodyFault, silence_max: Duration) -> Refused {
    let bytes_max = limits::RPC_BYTES_MAX;
    match fault {
        BodyFault::TooLarge(declared) => {
            let size = declared.map_or_else(|| format!("over {bytes_max}"), |bytes| bytes.to_string());
            refuse(ErrorCode::BodyTooLarge, rpc::too_large(size))
        }
        fault => fault.refusal(BodyName { name: "the arguments", bytes_max: bytes_max as u64, silence_max }),
    }
}

fn cbor_arguments(body: Bytes) -> Result<Bytes, Refused> {
    if body.is_empty() {
        return Ok(Bytes::from_static(NO_ARGUMENTS));
    }
    if let Err(error) = check_item(&body) {
        return Err(refuse(ErrorCode::InvalidBody, format!("the body is not one CBOR item: {error}")));
    }
    if !is_array(&body) {
        return Err(refuse(ErrorCode::InvalidBody, "the body is CBOR, but not an array of arguments"));
    }
    Ok(body)
}

fn json_arguments(body: &[u8]) -> Result<Bytes, Refused> {
    const HINT: &str = "send a JSON array of the arguments, such as `[1, \"two\"]`, or nothing for none";
    let text = body.trim_ascii_start();
    let Some(first) = text.first() else { return Ok(Bytes::from_static(NO_ARGUMENTS)) };
    if *first != b'[' {
        let message = format!("the body is not an array; {HINT}");
        return Err(refuse(ErrorCode::InvalidBody, message));
    }
    match json_to_cbor(text) {
        Ok(args) if args.len() > limits::RPC_BYTES_MAX => {
            Err(refuse(ErrorCode::BodyTooLarge, rpc::too_large(args.len())))
        }
        Ok(args) => Ok(args.into()),
        Err(error) => Err(refuse(ErrorCode::InvalidBody, format!("arguments: {error}"))),
    }
}

fn result_response(result: Bytes, in_cbor: bool) -> Result<Response<SentBody>, Refused> {
    if result.len() > limits::RPC_BYTES_MAX {
        return Err(refuse(ErrorCode::LimitExceeded, rpc::too_large(result.len())));
    }
    let invalid = |error| {
        Failure::new(
            ErrorCode::InvalidGuestResult,
            format!("the method's result cannot be passed on: {error}"),
        )
    };
    let (body, media_type) = if in_cbor {
        check_item(&result).map_err(invalid)?;
        (result, CBOR)
    } else {
        (cbor_to_json(&result).map_err(invalid)?.into(), JSON)
    };
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

fn is_media_type(value: Option<&HeaderValue>, media_type: &str) -> bool {
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// Weights are not compared: whoever lists CBOR can read it.
fn asks_for_cbor(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/cbor")
    })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt;

    use super::*;

    fn refused_method(request: http::request::Builder) -> Refused {
        let (parts, ()) = request.body(()).expect("request").into_parts();
        let address = Address::parse(parts.uri.path()).expect("address");
        method_of(&parts, &address).expect_err("refused")
    }

    #[test]
    fn reserved_names_are_refused_with_the_text_of_rp_3() {
        for name in rpc::RESERVED {
            let failure = refused_method(Request::post(format!("/rpc/demo/Room/a/{name}"))).failure;
            assert_eq!(failure.code, "method-reserved");
            assert_eq!(failure.name, "TypeError");
            assert_eq!(
                failure.message,
                format!("'{name}' is a reserved method and cannot be called over RPC.")
            );
        }
        assert_eq!(refused_method(Request::post("/rpc/demo/Room/a/%61larm")).failure.code, "method-reserved");
    }

    #[test]
    fn only_post_calls() {
        let refused = refused_method(Request::get("/rpc/demo/Room/a/say"));
        assert_eq!(refused.failure.code, "method-not-allowed");
        assert_eq!(refused.header.expect("header").1, "POST");
    }

    #[test]
    fn an_empty_body_is_no_arguments_and_anything_but_an_array_gets_a_hint() {
        assert_eq!(json_arguments(b" \n").expect("none"), NO_ARGUMENTS);
        assert_eq!(json_arguments(b" [1]").expect("one"), &[0x81, 0x01][..]);
        for body in [&b"1"[..], b"{\"a\":1}", b"\"x\"", b"by=1"] {
            let message = json_arguments(body).expect_err("refused").failure.message;
            assert!(message.contains("send a JSON array of the arguments"), "{message}");
        }
        let message = json_arguments(b"[1,").expect_err("cut").failure.message;
        assert!(message.starts_with("arguments: value at `$[1]`"), "{message}");
    }

    #[test]
    fn cbor_arguments_must_be_one_array() {
        assert_eq!(cbor_arguments(Bytes::new()).expect("none"), NO_ARGUMENTS);
        assert!(cbor_arguments(Bytes::from_static(&[0x81, 0x01])).is_ok());
        assert!(cbor_arguments(Bytes::from_static(&[0x01])).is_err());
        assert!(cbor_arguments(Bytes::from_static(&[0x81])).is_err());
    }

    #[tokio::test]
    async fn a_result_comes_in_the_form_that_was_asked_for() {
        let result = Bytes::from_static(&[0x18, 42]);
        let json = result_response(result.clone(), false).expect("JSON");
        assert_eq!(json.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(json.into_body().collect().await.expect("body").to_bytes(), "42");
        let cbor = result_response(result.clone(), true).expect("CBOR");
        assert_eq!(cbor.headers()[CONTENT_TYPE], "application/cbor");
        assert_eq!(cbor.into_body().collect().await.expect("body").to_bytes(), result);
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html, application/cbor;q=0.9"))]);
        assert!(asks_for_cbor(&headers) && !asks_for_cbor(&HeaderMap::new()));
    }

    #[test]
    fn garbage_from_a_guest_is_an_invalid_result() {
        for garbage in [&b""[..], &[0x18], &[0x01, 0x01], &[0xff]] {
            for in_cbor in [false, true] {
                let failure =
                    result_response(Bytes::copy_from_slice(garbage), in_cbor).expect_err("garbage").failure;
                assert_eq!(failure.code, "invalid-guest-result", "{garbage:x?}");
            }
        }
    }

    #[test]
    fn a_method_that_the_guest_lacks_is_404() {
        let mut failure =
            Failure::new(ErrorCode::MethodNotFound, "The RPC receiver does not implement the method \"x\".");
        failure.flags.remote = true;
        assert_eq!(call_failure(failure.clone()).status, Some(StatusCode::NOT_FOUND));
        failure.kind = FailureKind::Application;
        assert_eq!(call_failure(failure).status, None);
    }
}
