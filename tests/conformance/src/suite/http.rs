//! Requests and responses of `fetch` through the data plane (ST-4, ST-13, LC-18).
//!
//! Addresses and headers of the gateway itself are unit tests there.

use serde_json::json;

use crate::case::{Case, cases};
use crate::guest;

use super::standing::node;

fn c_024_any_status_header_and_body_reaches_the_caller() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    let answer = object.get("/status/418?header=x-a:b&body=tea");
    assert_eq!((answer.status, answer.header("x-a"), answer.text().as_str()), (418, "b", "tea"));
}

fn c_025_an_error_of_fetch_is_500_with_its_record() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    let answer = object.get("/fail/boom");
    assert_eq!(answer.header("content-type"), "application/json");
    let error = answer.error();
    assert_eq!((error.status, error.message.as_str(), error.kind.as_str()), (500, "boom", "application"));
    assert_eq!((error.remote, error.object_reset), (true, false));
    assert_eq!(answer.header("x-request-id"), error.request);
    assert_eq!(error.object, object.ok("identity", json!([]))[1].as_str().map(str::to_owned));
}

fn c_029_a_class_without_fetch_says_so() {
    let object = node().fresh(guest::LIFECYCLE, "Fetchless");
    let error = object.get("/").error();
    error.assert_says("does not export a fetch() function");
    assert_eq!((error.code.as_str(), error.status), ("handler-missing", 404));
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn c_032_method_url_and_bytes_arrive_unchanged() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    let body: Vec<u8> = (0..=255).collect();
    let answer = object.fetch("POST", "/echo?x=1&y=%20", &[("x-k", "v"), ("host", "localhost:1234")], &body);
    let head = b"POST http://localhost:1234/echo?x=1&y=%20\n";
    assert_eq!((answer.status, answer.body), (200, [&head[..], &body].concat()));
}

fn a_body_of_a_megabyte_arrives_whole() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    let body: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let answer = object.fetch("PUT", "/echo", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.body.ends_with(&body), "{} bytes came back", answer.body.len());
}

fn c_320_an_unknown_path_is_the_programs_own_404() {
    let answer = node().fresh(guest::LIFECYCLE, "Lifecycle").get("/no/such/path");
    assert_eq!((answer.status, answer.text().as_str()), (404, ""));
    let answer = node().fresh(guest::TODO, "Todo").get("/nothing");
    assert_eq!((answer.status, answer.text().as_str()), (404, "not found"));
}

fn a_status_that_is_none_is_an_error_of_the_guest() {
    let object = node().fresh(guest::FAULTS, "Faults");
    for status in ["0", "99", "600", "65535"] {
        let error = object.get(&format!("/status/{status}")).error();
        assert_eq!((error.code.as_str(), error.status), ("invalid-guest-result", 500), "{status}");
    }
    assert_eq!(object.get("/status/599").status, 599);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_024_any_status_header_and_body_reaches_the_caller,
    c_025_an_error_of_fetch_is_500_with_its_record,
    c_029_a_class_without_fetch_says_so,
    c_032_method_url_and_bytes_arrive_unchanged,
    a_body_of_a_megabyte_arrives_whole,
    c_320_an_unknown_path_is_the_programs_own_404,
    a_status_that_is_none_is_an_error_of_the_guest,
];
