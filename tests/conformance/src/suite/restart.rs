//! A node that is stopped and started again on its folder. Killing is tested beside the command line.
//!
//! What was acknowledged is there, and what a client knows still leads to it.

use serde_json::json;

use crate::case::{Case, cases};
use crate::{TestNode, eventually, guest};

use super::together::together;

fn everything_acknowledged_is_there_after_a_restart() {
    let mut node = TestNode::start();
    let names: Vec<String> = (0..8).map(|number| format!("restart-{number}")).collect();
    for round in 1..=3 {
        let counters: Vec<_> =
            names.iter().map(|name| node.object(guest::COUNTER, "Counter", name)).collect();
        together(counters.len(), |number| {
            for step in 1..=5 {
                assert_eq!(counters[number].ok("increment", json!([])), json!((round - 1) * 5 + step));
            }
        });
        node.restart();
    }
    for name in &names {
        assert_eq!(node.object(guest::COUNTER, "Counter", name).ok("get", json!([])), json!(15));
    }
}

fn apps_ids_and_names_survive_a_restart() {
    let mut node = TestNode::start();
    let identity = node.object(guest::LIFECYCLE, "Lifecycle", "named").ok("identity", json!([]));
    let apps = node.control().send("GET", "/v1/apps", b"").json();
    let token = node.control().authorization().to_owned();
    node.restart();
    assert_eq!(node.control().send("GET", "/v1/apps", b"").json(), apps);
    assert_eq!(node.control().authorization(), token);
    let id = identity[1].as_str().expect("an id");
    let by_id = node.object(guest::LIFECYCLE, "Lifecycle", &format!("~id:{id}"));
    // The name was stored with the object's first commit (ID-9).
    assert_eq!(by_id.ok("identity", json!([])), identity);
}

fn a_stop_waits_for_the_events_under_way() {
    let mut node = TestNode::start();
    let object = node.object(guest::GATES, "Gates", "stopped");
    object.ok("read", json!([]));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| object.call("write_sleep_write", json!(["x", 800])));
        eventually("the call is under way", || {
            (object.ok("journal", json!([])) == json!(["x before"])).then_some(())
        });
        node.restart();
        assert_eq!(call.join().expect("a client panicked"), Ok(json!(null)));
    });
    let journal = node.object(guest::GATES, "Gates", "stopped").ok("journal", json!([]));
    assert_eq!(journal, json!(["x before", "x after"]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    everything_acknowledged_is_there_after_a_restart,
    apps_ids_and_names_survive_a_restart,
    a_stop_waits_for_the_events_under_way,
];
