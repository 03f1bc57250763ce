//! Code that is deployed anew under running objects (LC-13, LC-18).
//!
//! The new version is the same component with another text in it. It is deployed to a second app first, so
//! that its code is compiled already when it meets the running object.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::guest::{self, Guest};
use crate::node::TestConfig;
use crate::{Object, TestNode, eventually, values};

use super::streams::open;

const OLD_TEXT: &str = "failed on purpose";
const NEW_TEXT: &str = "failed, version 2";

/// Uploads bytes under an app that nobody uses, which compiles them.
fn compile(node: &TestNode, component: &[u8]) {
    node.control().deploy("compiled-ahead", component).expect("the new version is accepted");
}

fn deploy(node: &TestNode, guest: Guest, component: &[u8]) {
    let report = node.control().deploy(guest.app, component).expect("the new version is accepted");
    assert_eq!((&report["deployment"], &report["changed"]), (&json!(2), &json!(true)), "{report}");
}

fn c_053_an_event_under_way_is_answered_by_the_old_code() {
    let node = TestNode::start();
    let version_2 = guest::LIFECYCLE.bytes_with(OLD_TEXT, NEW_TEXT);
    compile(&node, &version_2);
    let object = node.fresh(guest::LIFECYCLE, "Lifecycle");
    object.ok("set", json!(["k", 1]));
    assert_eq!(object.fails("write_then_fail", json!(["x"])).message, OLD_TEXT);
    let expect = ["expect: 100-continue", "content-length: 1"];
    let mut under_way = open(&node, "POST", &object, "/hit-when-sent", &expect);
    assert_eq!(under_way.head(), "HTTP/1.1 100 Continue\r\n\r\n", "the object reads");
    deploy(&node, guest::LIFECYCLE, &version_2);
    under_way.send("x");
    assert!(under_way.head().starts_with("HTTP/1.1 200"));
    // One hit was counted before: a new instance would have begun anew.
    assert_eq!(under_way.body(1), "2");
    assert_eq!(object.fails("write_then_fail", json!(["y"])).message, NEW_TEXT);
    assert_eq!(object.ok("hit", json!([])), json!(2));
    assert_eq!(object.ok("keys", json!([])), json!(["constructed", "k", "x", "y"]));
}

fn c_054_an_event_that_outlasts_the_drain_time_is_cut() {
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.drain = Duration::from_millis(300)));
    let version_2 = guest::GATES.bytes_marked(2);
    compile(&node, &version_2);
    let object = node.fresh(guest::GATES, "Gates");
    object.ok("read", json!([]));
    let error = thread::scope(|scope| {
        let calling = scope.spawn(|| object.fails("write_sleep_write", json!(["x", 3_600_000])));
        eventually("the event is under way", || {
            (object.ok("journal", json!([])) == json!(["x before"])).then_some(())
        });
        deploy(&node, guest::GATES, &version_2);
        calling.join().expect("the event outlasts the drain time")
    });
    error.assert_says("Durable Object reset because its code was updated");
    error.assert_reset("code-updated");
    assert_eq!(object.ok("journal", json!([])), json!(["x before"]));
}

fn c_055_and_c_310_a_new_version_finds_storage_and_no_memory() {
    let node = TestNode::start();
    let object = node.fresh(guest::LIFECYCLE, "Lifecycle");
    for hits in 1..=5 {
        assert_eq!(object.ok("hit", json!([])), json!(hits));
    }
    object.ok("set", json!(["k", 8]));
    deploy(&node, guest::LIFECYCLE, &guest::LIFECYCLE.bytes_marked(2));
    assert_eq!(object.ok("hit", json!([])), json!(1));
    assert_eq!(object.ok("value", json!(["k"])), json!(8));
    assert_eq!(object.ok("starts", json!([])), json!(2));

    let object = node.fresh(guest::KV, "Kv");
    for hits in 1..=5 {
        assert_eq!(object.ok("hit", json!([])), json!(hits));
    }
    let (put, row) = (json!({"put": ["k", values::bytes(b"8")]}), json!({"sql": "CREATE TABLE t (a)"}));
    object.ok("run", json!([[put, row, {"sql": "INSERT INTO t VALUES (8)"}]]));
    deploy(&node, guest::KV, &guest::KV.bytes_marked(2));
    assert_eq!(object.ok("hit", json!([])), json!(1));
    let stored = object.ok("run", json!([[{"get": "k"}, {"sql": "SELECT a FROM t"}]]));
    assert_eq!(stored, json!([values::bytes(b"8"), [8]]));
}

/// The version of `SlowStart` that answers; calls again while a deployment cuts the call.
fn version(object: &Object) -> usize {
    loop {
        match object.call("version", json!([])) {
            Ok(version) => {
                let text = version.as_str().expect("a text");
                return text.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
            }
            Err(error) => assert!(error.retryable || error.code == "code-updated", "{error:?}"),
        }
    }
}

fn b_60_many_deployments_in_a_row_never_bring_old_code_back() {
    const VERSIONS: usize = 10;
    const OBJECTS: usize = 10;
    const CLIENTS: usize = 50;
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.drain = Duration::from_secs(1)));
    let text = |version: usize| format!("slow start, version {version:02}");
    let versions: Vec<_> =
        (1..=VERSIONS).map(|version| guest::LIFECYCLE.bytes_with(&text(0), &text(version))).collect();
    versions.iter().for_each(|component| compile(&node, component));
    let objects: Vec<_> = (0..OBJECTS).map(|_| node.fresh(guest::LIFECYCLE, "SlowStart")).collect();
    let newest: Vec<AtomicUsize> = (0..OBJECTS).map(|_| AtomicUsize::new(0)).collect();
    let deployed = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (object, newest) = (&objects[client % OBJECTS], &newest[client % OBJECTS]);
            scope.spawn(move || {
                loop {
                    let before = newest.load(Ordering::SeqCst).max(deployed.load(Ordering::SeqCst));
                    let answered = version(object);
                    assert!(answered >= before, "version {answered} after version {before}");
                    newest.fetch_max(answered, Ordering::SeqCst);
                    if answered == VERSIONS {
                        return;
                    }
                }
            });
        }
        let commits = || node.control().status()["log"]["commits"].as_u64().expect("a count");
        let mut commits_before = commits();
        for (number, component) in versions.iter().enumerate() {
            // Every other deployment finds constructors of the one before it under way: only they write.
            match number % 2 == 0 {
                true => eventually("all objects run the newest version", || {
                    newest.iter().all(|newest| newest.load(Ordering::SeqCst) == number).then_some(())
                }),
                false => eventually("a constructor of the newest version is under way", || {
                    (commits() > commits_before).then_some(())
                }),
            }
            commits_before = commits();
            node.control().deploy(guest::LIFECYCLE.app, component).expect("the new version is accepted");
            deployed.store(number + 1, Ordering::SeqCst);
        }
    });
    for object in &objects {
        assert_eq!(version(object), VERSIONS);
        let log = object.ok("note", json!(["end"]));
        let starts = log.as_array().into_iter().flatten().filter(|line| **line == json!("starting")).count();
        assert!((2..=VERSIONS + 1).contains(&starts), "{starts} starts");
    }
}

fn c_058_a_class_that_the_component_does_not_export_is_refused_by_name() {
    let node = TestNode::start();
    let before = node.control().app(guest::COUNTER.app);
    let path = format!("/v1/apps/{}/deployments?class=Nowhere", guest::COUNTER.app);
    let error = node.control().send("POST", &path, &guest::COUNTER.bytes_marked(2)).error();
    error.assert_says("`Nowhere`");
    assert_eq!(error.status / 100, 4, "{error:?}");
    assert_eq!(node.control().app(guest::COUNTER.app), before);
}

fn a_class_that_has_objects_must_not_vanish() {
    let node = TestNode::start();
    let object = node.fresh(guest::COUNTER, "Counter");
    object.ok("increment", json!([]));
    let before = node.control().app(guest::COUNTER.app);
    let error =
        node.control().deploy(guest::COUNTER.app, &guest::TODO.bytes()).expect_err("objects would be lost");
    error.assert_says("`Counter`");
    assert_eq!((error.code.as_str(), error.status), ("deployment-refused", 409));
    assert_eq!(node.control().app(guest::COUNTER.app), before);
    assert_eq!(object.ok("increment", json!([])), json!(2));
}

fn two_apps_of_one_component_have_their_own_objects() {
    let node = TestNode::start();
    node.control().deploy("second", &guest::COUNTER.bytes()).expect("deployed");
    let second = Guest { app: "second", ..guest::COUNTER };
    let (a, b) = (node.object(guest::COUNTER, "Counter", "x"), node.object(second, "Counter", "x"));
    assert_eq!((a.ok("increment", json!([])), a.ok("increment", json!([]))), (json!(1), json!(2)));
    assert_eq!(b.ok("increment", json!([])), json!(1));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_053_an_event_under_way_is_answered_by_the_old_code,
    c_054_an_event_that_outlasts_the_drain_time_is_cut,
    c_055_and_c_310_a_new_version_finds_storage_and_no_memory,
    b_60_many_deployments_in_a_row_never_bring_old_code_back,
    c_058_a_class_that_the_component_does_not_export_is_refused_by_name,
    a_class_that_has_objects_must_not_vanish,
    two_apps_of_one_component_have_their_own_objects,
];
