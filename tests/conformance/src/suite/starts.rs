//! How instances begin: the constructor runs first, whatever wakes the object, and says why it failed.
//!
//! What survives between instances is in `lifecycle`. Wakes by alarms and sockets come with those.

use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::{TestConfig, fresh_name};
use crate::{ErrorRecord, Object, TestNode, guest};

use super::standing::{forgetful_node, lasting_node, node};

/// What `SlowStart` has noted after two lives, the second of which was begun by an event that noted `last`.
fn two_lives(last: &str) -> Value {
    json!(["starting", "started", "first", "starting", "started", last])
}

fn evicted_after_first() -> Object {
    let object = forgetful_node().fresh(guest::LIFECYCLE, "SlowStart");
    assert_eq!(object.ok("note", json!(["first"])), json!(["starting", "started", "first"]));
    object.wait_until_evicted();
    object
}

fn c_038_a_request_or_call_that_wakes_an_object_finds_its_constructor_done() {
    let woken_by_request = evicted_after_first();
    assert_eq!(woken_by_request.fetch("PATCH", "/", &[], b"").json(), two_lives("PATCH"));
    let woken_by_call = evicted_after_first();
    assert_eq!(woken_by_call.ok("note", json!(["second"])), two_lives("second"));
}

fn c_299_the_first_call_of_all_finds_the_constructor_done() {
    let object = node().fresh(guest::LIFECYCLE, "SlowStart");
    assert_eq!(object.ok("note", json!(["call"])), json!(["starting", "started", "call"]));
    // From another object: the constructor has made the table in which the method notes.
    let caller = node().fresh(guest::STUB, "Caller");
    assert_eq!(caller.ok("call", json!(["Target", fresh_name(), "append", ["x"]])), json!(1));
}

/// Fails to start an object of class `BrokenStart` in the way that `kind` names.
/// It never leaves memory before it is looked at: it has written nothing.
fn broken(kind: &str) -> (Object, ErrorRecord) {
    let object = lasting_node().object(guest::LIFECYCLE, "BrokenStart", &format!("{kind}-{}", fresh_name()));
    let error = object.fails("ping", json!([]));
    assert_eq!((error.remote, error.object_reset, error.status), (true, true, 500), "{error:?}");
    (object, error)
}

fn tables(object: &Object) -> Value {
    let tables = object.sql("SELECT name FROM sqlite_schema WHERE name NOT LIKE '@_cf@_%' ESCAPE '@'");
    tables.expect("the operator's SQL is answered")["rows"].clone()
}

fn b_07_the_error_of_a_migration_is_the_one_that_its_caller_gets() {
    for (kind, text) in [
        ("plain", "near \"TABEL\": syntax error at offset 7: SQLITE_ERROR"),
        ("wrapped", "migrate 0003: near \"TABEL\": syntax error at offset 7: SQLITE_ERROR"),
    ] {
        let (object, error) = broken(kind);
        assert_eq!(error.message, text);
        assert_eq!(error.object, Some(guest::LIFECYCLE.id("BrokenStart", object.segment())));
        let answer = object.get("/");
        assert_eq!((answer.error().message.as_str(), answer.status), (text, 500), "the same for a request");
        assert_eq!(tables(&object), json!([]), "a table of an object that never started was kept");
    }
}

fn b_10_a_schema_number_in_a_pragma_is_refused_with_another_place_for_it() {
    for kind in ["pragma", "late"] {
        let (object, error) = broken(kind);
        error.assert_says("PRAGMA `user_version`");
        error.assert_says("in a table or under a key");
        error.assert_says("not authorized: SQLITE_AUTH");
        assert_eq!(tables(&object), json!([]), "a half-made table was kept");
    }
}

fn b_48_a_class_that_has_no_methods_says_so() {
    let object = node().fresh(guest::LIFECYCLE, "RequestOnly");
    assert_eq!(object.get("/").text(), "pong");
    let error = object.fails("ping", json!([]));
    assert_eq!(
        (error.name.as_str(), error.code.as_str(), error.status),
        ("TypeError", "method-not-found", 404)
    );
    error.assert_says("does not support RPC, because its class `RequestOnly` has no methods");
    error.assert_says("does not implement the method \"ping\"");
    assert_eq!(object.get("/").text(), "pong");
}

fn a_constructor_that_does_not_return_is_given_up_however_it_waits() {
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        limits.start_timeout = Duration::from_millis(300);
    }));
    for way in ["waiting", "sleeping"] {
        let object = node.object(guest::LIFECYCLE, "BrokenStart", &format!("{way}-{}", fresh_name()));
        let error = object.fails("ping", json!([]));
        error.assert_reset("start-timeout");
        error.assert_says("within 0.3 s");
    }
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_038_a_request_or_call_that_wakes_an_object_finds_its_constructor_done,
    c_299_the_first_call_of_all_finds_the_constructor_done,
    b_07_the_error_of_a_migration_is_the_one_that_its_caller_gets,
    b_10_a_schema_number_in_a_pragma_is_refused_with_another_place_for_it,
    b_48_a_class_that_has_no_methods_says_so,
    a_constructor_that_does_not_return_is_given_up_however_it_waits,
];
