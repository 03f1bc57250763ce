//! An object whose guest cannot suspend: it is busy until an event returns (D2, ST-12).
//!
//! Cycles between guests that suspend are in `calls`.

use std::thread;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use serde_json::json;

use crate::case::{Case, cases};
use crate::node::{TestConfig, fresh_name};
use crate::{Object, TestNode, eventually, guest, guest_log};

use super::standing::node;
use super::together::together;

fn named(name: &str) -> Object {
    node().object(guest::BLOCKING, "Blocking", name)
}

fn c_031_a_cycle_through_a_busy_object_is_refused_at_once() {
    let (a, b) = (fresh_name(), fresh_name());
    for way in [json!([b, a]), json!([a]), json!([b, fresh_name(), b])] {
        let error = named(&a).fails("through", json!([way]));
        assert_eq!((error.code.as_str(), error.object_reset), ("object-busy", false), "{way}: {error:?}");
        error.assert_says("cannot suspend");
    }
    assert_eq!(named(&a).ok("through", json!([[b, fresh_name()]])), json!("the end"));
}

fn ig_3_it_is_busy_until_an_event_returns_however_that_waits() {
    let object = node().fresh(guest::BLOCKING, "Blocking");
    for way in ["sleep", "sleep_by_wasi"] {
        let answers = together(5, |_| object.ok(way, json!([20])));
        assert_eq!(answers, vec![json!(1); 5], "{way}");
    }
    assert_eq!(object.ok("in_section", json!([])), json!("left"));
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn og_13_every_wait_ends_the_turn() {
    for (way, kept) in [("timer", json!(["before"])), ("wasi 0.2", json!(["before"])), ("none", json!([]))] {
        let object = node().fresh(guest::BLOCKING, "Blocking");
        object.fails("note_wait_and_trap", json!([way])).assert_reset("guest-trapped");
        assert_eq!(object.ok("notes", json!([])), kept, "{way}");
    }
}

/// Long enough for several ticks, also on a busy machine.
const SPIN_MS: u32 = 100;

fn others_compute_while_one_that_has_computed_sleeps() {
    guest_log::collect();
    let node = TestNode::with(TestConfig::with_hooks(|_| {}));
    // As many as there are permits for guests that compute.
    let permits = thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
    let sleepers: Vec<Object> = (0..permits).map(|_| node.fresh(guest::BLOCKING, "Blocking")).collect();
    let line_of = |object: &Object| format!("{} sleeps now", object.segment());
    thread::scope(|scope| {
        let sleeping: Vec<_> = sleepers
            .iter()
            .map(|object| {
                let args = json!([SPIN_MS, line_of(object)]);
                scope.spawn(move || object.fails("spin_log_and_sleep", args))
            })
            .collect();
        for object in &sleepers {
            let line = line_of(object);
            eventually("it has computed and sleeps", || guest_log::holds(&line).then_some(()));
        }
        let other = node.fresh(guest::BLOCKING, "Blocking");
        assert_eq!(other.ok("spin", json!([SPIN_MS])), json!("spun"));
        assert!(sleeping.iter().all(|call| !call.is_finished()), "one was woken");
        for object in &sleepers {
            let failure = Failure::new(ErrorCode::ObjectReset, "woken by a test");
            assert!(node.hooks(object).reset(failure), "an instance runs");
        }
        for call in sleeping {
            call.join().expect("a client panicked").assert_reset("object-reset");
        }
    });
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_031_a_cycle_through_a_busy_object_is_refused_at_once,
    ig_3_it_is_busy_until_an_event_returns_however_that_waits,
    og_13_every_wait_ends_the_turn,
    others_compute_while_one_that_has_computed_sleeps,
];
