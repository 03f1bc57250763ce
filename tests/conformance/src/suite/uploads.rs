//! Uploads of what is no component of ours: each refused with its own clear error, the running deployment
//! untouched.

use std::sync::OnceLock;

use durabo_model::limits::COMPONENT_BYTES_MAX;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{ErrorRecord, TestNode, guest, raw_request};

/// A node whose app `counter` runs, and which the uploads of this module must not change.
fn node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(TestNode::start)
}

fn app() -> Value {
    node().control().app(guest::COUNTER.app).expect("the app is deployed")
}

/// Uploads to the app, which must refuse it and run on.
#[track_caller]
fn refused(component: &[u8], part: &str) -> ErrorRecord {
    let before = app();
    let object = node().fresh(guest::COUNTER, "Counter");
    assert_eq!(object.ok("increment", json!([])), json!(1));
    let error = node().control().deploy(guest::COUNTER.app, component).expect_err("no component of ours");
    assert!(error.message.to_lowercase().contains(part), "`{part}` is not in {error:?}");
    assert_eq!((error.code.as_str(), error.status), ("invalid-component", 422), "{error:?}");
    assert_eq!(app(), before);
    assert_eq!(object.ok("increment", json!([])), json!(2), "the object was disturbed");
    *error
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is well formed")
}

fn what_is_not_webassembly_is_refused() {
    refused(b"#!/bin/sh\necho hello\n", "is not webassembly");
    refused(b"", "is not webassembly");
}

fn a_core_module_is_refused_and_the_way_out_named() {
    refused(&wat("(module (func (export \"run\")))"), "core module").assert_says("component");
}

fn a_component_without_our_exports_is_refused() {
    let foreign = wat("(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i \"f\"))) (export \"run\" (func $f)))");
    refused(&foreign, "durabo:object");
}

fn an_unknown_import_is_refused_by_name() {
    let unknown = guest::COUNTER.bytes_with("wasi:cli/stderr@", "acme:cli/stderr@");
    refused(&unknown, "acme:cli/stderr@");
}

/// Uploads a component that wants `stub` to have a function of this form: it is refused by the function's
/// name, and no object hears of it.
#[track_caller]
fn assert_refused_for(function: &str, signature: &str) {
    let component = wat(&format!(
        "(component
           (import \"durabo:object/stub@0.1.0\" (instance (export \"{function}\" (func {signature}))))
           (core module $m (func (export \"f\")))
           (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i \"f\")))
           (instance $handler (export \"call\" (func $f)))
           (export \"durabo:object/rpc-handler@0.1.0\" (instance $handler)))"
    ));
    let error = refused(&component, function);
    assert!(!error.object_reset && !error.remote, "{error:?}");
}

fn c_018_a_guest_that_would_give_a_hint_of_place_is_refused_by_name() {
    assert_refused_for(
        "get-by-name-near",
        r#"(param "namespace" string) (param "name" string) (param "location-hint" string) (result string)"#,
    );
}

fn c_019_a_guest_that_would_choose_a_routing_mode_is_refused_by_name() {
    assert_refused_for(
        "id-from-text",
        r#"(param "namespace" string) (param "text" string) (param "routing-mode" string) (result string)"#,
    );
}

fn c_021_a_guest_that_would_choose_a_jurisdiction_is_refused_by_name() {
    // Without one ids are made as always: C-007.
    let signature = r#"(param "namespace" string) (param "jurisdiction" string) (result string)"#;
    assert_refused_for("unique-id", signature);
}

fn a_damaged_component_is_refused() {
    let whole = guest::COUNTER.bytes();
    refused(&whole[..whole.len() / 2], "");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 3;
    flipped[middle..middle + 64].fill(0xff);
    refused(&flipped, "");
}

fn an_announced_gibibyte_is_refused_before_it_is_sent() {
    let before = app();
    let head = format!(
        "POST /v1/apps/counter/deployments HTTP/1.1
         host: localhost
         authorization: {}
         connection: close
         content-length: {}",
        node().control().authorization(),
        1_u64 << 30
    );
    let answer = raw_request::send(node().control_address(), &head, []);
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert!(answer.text.contains("body-too-large") && answer.text.contains("1073741824"), "{}", answer.text);
    assert_eq!(app(), before);
}

fn a_body_without_end_is_refused_once_it_is_too_large() {
    const SENT_MAX: usize = COMPONENT_BYTES_MAX + 16 * 1024 * 1024;
    let before = app();
    let head = format!(
        "POST /v1/apps/counter/deployments HTTP/1.1
         host: localhost
         authorization: {}
         connection: close
         transfer-encoding: chunked",
        node().control().authorization()
    );
    let answer = raw_request::send(node().control_address(), &head, raw_request::chunked(1 << 30));
    assert!(
        answer.sent_bytes > COMPONENT_BYTES_MAX && answer.sent_bytes < SENT_MAX,
        "{} bytes",
        answer.sent_bytes
    );
    // The connection may be reset before the answer is read, since more was sent than was taken.
    assert!([413, 0].contains(&answer.status), "{}", answer.text);
    assert_eq!(app(), before);
}

fn a_body_a_little_too_large_is_refused_with_an_answer() {
    let before = app();
    let component = vec![0; COMPONENT_BYTES_MAX + 1024 * 1024];
    let head = format!(
        "POST /v1/apps/counter/deployments HTTP/1.1
         host: localhost
         authorization: {}
         connection: close
         content-length: {}",
        node().control().authorization(),
        component.len()
    );
    let answer = raw_request::send(node().control_address(), &head, []);
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert_eq!(app(), before);
}

fn the_same_bytes_again_change_nothing_and_other_bytes_do() {
    let node = TestNode::start();
    let object = node.fresh(guest::COUNTER, "Counter");
    object.ok("increment", json!([]));
    let again = node.control().deploy(guest::COUNTER.app, &guest::COUNTER.bytes()).expect("accepted");
    assert_eq!((&again["deployment"], &again["changed"]), (&json!(1), &json!(false)), "{again}");
    let other = node.control().deploy(guest::COUNTER.app, &guest::COUNTER.bytes_marked(1)).expect("accepted");
    assert_eq!((&other["deployment"], &other["changed"]), (&json!(2), &json!(true)), "{other}");
    assert_ne!(other["digest"], again["digest"]);
    assert_eq!(object.ok("increment", json!([])), json!(2));
    let list = node.control().send("GET", "/v1/apps/counter/deployments", &[]).json();
    let numbers: Vec<&Value> =
        list["deployments"].as_array().expect("a list").iter().map(|d| &d["deployment"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
}

fn an_upload_that_is_not_what_was_promised_is_refused() {
    let control = node().control();
    let component = b"not what was promised";
    let digest = format!("sha256:{}", "0".repeat(64));
    let fields = [("authorization", control.authorization()), ("x-durabo-digest", digest.as_str())];
    let client = crate::client::Client::new(node().control_address());
    let error = client.send("POST", "/v1/apps/counter/deployments", &fields, component).error();
    assert_eq!((error.code.as_str(), error.status), ("invalid-body", 400));
}

fn names_that_cannot_be_an_app_are_refused() {
    for name in ["UPPER", "under_score", "-a", &"a".repeat(64)] {
        let error = node().control().deploy(name, b"no component").expect_err("no name of an app");
        error.assert_says("is not valid");
        assert_eq!(error.status, 400);
    }
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    what_is_not_webassembly_is_refused,
    a_core_module_is_refused_and_the_way_out_named,
    a_component_without_our_exports_is_refused,
    an_unknown_import_is_refused_by_name,
    c_018_a_guest_that_would_give_a_hint_of_place_is_refused_by_name,
    c_019_a_guest_that_would_choose_a_routing_mode_is_refused_by_name,
    c_021_a_guest_that_would_choose_a_jurisdiction_is_refused_by_name,
    a_damaged_component_is_refused,
    an_announced_gibibyte_is_refused_before_it_is_sent,
    a_body_without_end_is_refused_once_it_is_too_large,
    a_body_a_little_too_large_is_refused_with_an_answer,
    the_same_bytes_again_change_nothing_and_other_bytes_do,
    an_upload_that_is_not_what_was_promised_is_refused,
    names_that_cannot_be_an_app_are_refused,
];
