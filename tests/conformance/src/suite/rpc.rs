//! Method calls as clients of the gateway make them: errors with their kinds, names, values (ST-5, RP).
//!
//! Every form of a value is a unit test of `gateway`; here they cross guest and database too.

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{guest, values};

use super::database::Database;
use super::standing::node;

/// No methods, whatever a class has under them (RP-3).
pub(super) const RESERVED_NAMES: [&str; 8] = [
    "fetch",
    "connect",
    "alarm",
    "webSocketMessage",
    "webSocketClose",
    "webSocketError",
    "dup",
    "constructor",
];

fn c_026_an_error_keeps_its_kind_and_message_and_nothing_of_the_callee() {
    // The record's fields are a closed list, so that a stack would be noticed.
    let error =
        node().fresh(guest::LIFECYCLE, "Lifecycle").fails("fail_with", json!(["TypeError", "bad", null]));
    assert_eq!((error.name.as_str(), error.message.as_str(), error.code.as_str()), ("TypeError", "bad", ""));
    assert_eq!(
        (error.remote, error.retryable, error.overloaded, error.object_reset),
        (true, false, false, false)
    );
    assert_eq!((error.kind.as_str(), error.status), ("application", 500));
}

fn c_027_the_class_of_an_error_is_kept() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    for name in ["RangeError", "SyntaxError", "ReferenceError", "Error"] {
        let error = object.fails("fail_with", json!([name, "text", "my-code"]));
        assert_eq!(
            (error.name.as_str(), error.message.as_str(), error.code.as_str()),
            (name, "text", "my-code")
        );
    }
}

fn c_289_a_call_with_a_number_and_a_text_gives_a_record() {
    let target = node().fresh(guest::STUB, "Target");
    let item = target.ok("item", json!([7, "seven"]));
    assert_eq!(item, json!({"count": 7, "what": "seven", "parts": []}));
    let caller = node().fresh(guest::STUB, "Caller");
    assert_eq!(caller.ok("call", json!(["Target", fresh_name(), "item", [7, "seven"]])), item);
}

fn c_296_a_thrown_error_and_a_returned_one_are_the_same_to_the_caller() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let thrown = object.fails("thrown", json!([]));
    let mut returned = object.fails("returned", json!([]));
    returned.request.clone_from(&thrown.request);
    assert_eq!(thrown, returned);
    assert_eq!(
        (thrown.name.as_str(), thrown.message.as_str(), thrown.kind.as_str(), thrown.remote),
        ("TypeError", "x", "application", true)
    );
    assert!(!thrown.object_reset && !thrown.retryable && !thrown.overloaded);
}

fn c_290_a_method_that_does_not_exist_is_named() {
    let error = node().fresh(guest::LIFECYCLE, "Lifecycle").fails("nope", json!([]));
    error.assert_says("does not implement the method \"nope\"");
    assert_eq!(
        (error.name.as_str(), error.code.as_str(), error.status),
        ("TypeError", "method-not-found", 404)
    );
}

fn c_291_what_every_value_has_is_no_method() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    for method in ["toString", "__proto__", "hasOwnProperty", "env", "ctx", "new", "put"] {
        object.fails(method, json!([])).assert_says("does not implement the method");
    }
}

fn c_292_reserved_names_never_reach_the_guest() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    for method in RESERVED_NAMES {
        let error = object.fails(method, json!([]));
        error.assert_says("is a reserved method and cannot be called over RPC");
        assert_eq!((error.code.as_str(), error.status), ("method-reserved", 400));
    }
    assert_eq!(object.listed(), None, "the object was started");
}

fn c_294_values_come_back_as_they_were_sent() {
    let db = Database::new();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let given = json!([
        "",
        null,
        9_007_199_254_740_992_i64,
        -0.5,
        values::bytes(&all_bytes),
        "\u{1f600} and \u{0} within",
        values::int(i64::MIN),
        1e300
    ]);
    assert_eq!(db.rows("SELECT ?, ?, ?, ?, ?, ?, ?, ?", given.clone()), json!([given]));
    let nested = json!({"list": [[], [[1]]], "empty": {}, "yes": true, "$$int": "escaped", "text": ""});
    let item = node().fresh(guest::TODO, "Todo").ok("add", json!([nested]));
    assert_eq!(item["data"], nested);
}

fn arguments_that_are_no_array_are_refused_with_a_hint() {
    let client = node().client();
    let path = format!("/rpc/{}/hit", node().fresh(guest::LIFECYCLE, "Lifecycle").address());
    for body in [&b"{\"a\": 1}"[..], b"5", b"[1", b"by=1"] {
        let answer = client.send("POST", &path, &[], body);
        assert_eq!((answer.status, answer.error().code.as_str()), (400, "invalid-body"), "{}", answer.text());
    }
    assert_eq!(client.send("POST", &path, &[], b"").json(), json!(1));
}

fn unknown_apps_and_classes_are_named() {
    let client = node().client();
    for (path, code) in [
        ("/rpc/nowhere/Lifecycle/a/hit", "app-not-found"),
        ("/rpc/lifecycle/Nothing/a/hit", "class-not-found"),
        ("/nothing/here", "not-found"),
    ] {
        let error = client.send("POST", path, &[], b"[]").error();
        assert_eq!((error.code.as_str(), error.status), (code, 404), "{error:?}");
    }
    let error = client.send("GET", "/rpc/lifecycle/Lifecycle/a/hit", &[], b"").error();
    assert_eq!((error.code.as_str(), error.status), ("method-not-allowed", 405));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_026_an_error_keeps_its_kind_and_message_and_nothing_of_the_callee,
    c_027_the_class_of_an_error_is_kept,
    c_289_a_call_with_a_number_and_a_text_gives_a_record,
    c_296_a_thrown_error_and_a_returned_one_are_the_same_to_the_caller,
    c_290_a_method_that_does_not_exist_is_named,
    c_291_what_every_value_has_is_no_method,
    c_292_reserved_names_never_reach_the_guest,
    c_294_values_come_back_as_they_were_sent,
    arguments_that_are_no_array_are_refused_with_a_hint,
    unknown_apps_and_classes_are_named,
];
