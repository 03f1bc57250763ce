//! Guests that go wrong: each gets its own clear error, and the object answers afterwards.
//!
//! What only takes too much is in `limits`.

use std::thread;

use serde_json::json;

use crate::case::{Case, cases};
use crate::guest;

use super::standing::{node, strict_node};
use super::together::together;

fn a_panic_carries_its_text() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("panic", json!(["the reason is here"]));
    error.assert_reset("guest-trapped");
    error.assert_says("the reason is here");
    assert_eq!(object.ok("traces", json!([])), json!([]));
    let error = object.get("/panic").error();
    error.assert_reset("guest-trapped");
    error.assert_says("panicked in fetch");
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn a_trap_names_its_cause_and_place() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("trap", json!([]));
    error.assert_reset("guest-trapped");
    error.assert_says("unreachable");
    error.assert_says("trapped in `");
    assert_eq!(object.ok("traces", json!([])), json!([]));
}

fn recursion_without_end_is_a_trap_of_the_stack() {
    let object = strict_node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("recurse", json!([]));
    error.assert_reset("guest-trapped");
    // The stack of a Rust guest lies below its data, so that its end is an access out of bounds.
    assert!(["stack", "out of bounds"].iter().any(|part| error.message.contains(part)), "{error:?}");
    error.assert_says("deeper");
    assert_eq!(object.ok("traces", json!([])), json!([]));
}

fn garbage_instead_of_a_result_is_an_error_and_no_reset() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("garbage", json!([]));
    assert_eq!(
        (error.code.as_str(), error.status, error.object_reset),
        ("invalid-guest-result", 500, false),
        "{error:?}"
    );
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn a_guest_that_talks_without_end_disturbs_nobody() {
    let (object, neighbour) = (node().fresh(guest::FAULTS, "Faults"), node().fresh(guest::FAULTS, "Faults"));
    thread::scope(|scope| {
        let flood = scope.spawn(|| object.ok("noise", json!([20_000])));
        while !flood.is_finished() {
            assert_eq!(neighbour.ok("ping", json!([])), json!("pong"));
        }
        assert_eq!(flood.join().expect("a client panicked"), json!(null));
    });
    // The end of standard error explains a trap even if its line was dropped.
    object.fails("panic", json!(["after the flood"])).assert_says("after the flood");
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn faults_of_many_objects_at_once_leave_the_node_well() {
    let kinds = ["trap", "recurse", "allocate", "garbage", "spin"];
    let codes = together(kinds.len() * 2, |number| {
        let object = strict_node().fresh(guest::FAULTS, "Faults");
        let error = object.fails(kinds[number % kinds.len()], json!([]));
        assert_eq!(object.ok("ping", json!([])), json!("pong"));
        error.code
    });
    let expected = [
        "guest-trapped",
        "guest-trapped",
        "memory-limit-exceeded",
        "invalid-guest-result",
        "cpu-limit-exceeded",
    ];
    assert_eq!(codes, expected.repeat(2));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    a_panic_carries_its_text,
    a_trap_names_its_cause_and_place,
    recursion_without_end_is_a_trap_of_the_stack,
    garbage_instead_of_a_result_is_an_error_and_no_reset,
    a_guest_that_talks_without_end_disturbs_nobody,
    faults_of_many_objects_at_once_leave_the_node_well,
];
