//! Critical sections as events of one object see them (group IG).
//!
//! The journal is in the order in which code ran: between the two lines of a section there must be nothing.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::{TestConfig, fresh_name};
use crate::{Object, TestNode, eventually, guest};

use super::outcomes::wait_until_waiting;
use super::standing::{hooked_node, lasting_node, node};
use super::together::together;

fn fresh() -> Object {
    node().fresh(guest::GATES, "Sections")
}

/// Keeps its instance from call to call whatever the variant.
fn in_memory() -> Object {
    lasting_node().fresh(guest::GATES, "Sections")
}

fn journal(object: &Object) -> Vec<String> {
    let journal = object.ok("journal", json!([]));
    journal.as_array().expect("lines").iter().map(|line| line.as_str().expect("text").to_owned()).collect()
}

/// A name for an object that a section tells when it has been entered, and that object.
fn signal(node: &TestNode) -> (String, Object) {
    let name = fresh_name();
    let object = node.object(guest::GATES, "Gates", &name);
    (name, object)
}

fn wait_for(signal: &Object) {
    eventually("the section was entered", || {
        signal.ok("journal", json!([])).as_array().is_some_and(|lines| !lines.is_empty()).then_some(())
    });
}

fn c_063_nothing_runs_between_the_beginning_and_the_end_of_a_section() {
    let object = fresh();
    object.ok("hit", json!([]));
    together(9, |number| match number % 3 {
        0 => object.ok("section", json!([format!("section-{number}"), 40])),
        1 => object.ok("note_after", json!([format!("waiter-{number}"), 30 + number])),
        _ => object.ok("append", json!([format!("event-{number}")])),
    });
    let journal = journal(&object);
    for number in [0, 3, 6] {
        let begins = journal.iter().position(|line| *line == format!("section-{number} begins"));
        let next = begins.and_then(|at| journal.get(at + 1));
        assert_eq!(next, Some(&format!("section-{number} ends")), "{journal:?}");
    }
    assert_eq!(journal.len(), 3 * 2 + 3 * 2 + 3, "{journal:?}");
}

fn c_064_the_value_of_the_section_is_the_value_of_the_call() {
    assert_eq!(fresh().ok("section", json!(["mine", 1])), json!("mine"));
}

fn c_065_two_sections_of_one_turn_run_one_after_the_other() {
    let object = fresh();
    object.ok("two_sections", json!([20]));
    assert_eq!(journal(&object), ["first begins", "first ends", "second begins", "second ends"]);
}

fn ig_6_a_nested_section_holds_back_what_its_parent_waits_for() {
    let object = fresh();
    object.ok("nested", json!([40]));
    assert_eq!(journal(&object), ["inner begins", "inner ends", "the outer one's wait is over"]);
}

fn c_066_sixty_four_levels_open_and_the_next_is_refused_without_harm() {
    let object = in_memory();
    object.ok("hit", json!([]));
    assert_eq!(object.ok("nest", json!([64])), json!([64, null]));
    let refused = "limit-exceeded: blockConcurrencyWhile() calls are nested too deeply.";
    assert_eq!(object.ok("nest", json!([65])), json!([64, refused]));
    assert_eq!(object.ok("hit", json!([])), json!(2), "the object was not reset");
}

fn c_067_an_error_out_of_a_section_resets_the_object_and_cannot_be_caught() {
    let (object, (name, signal)) = (fresh(), signal(node()));
    object.ok("hit", json!([]));
    signal.ok("append", json!(["go"]));
    let error = object.fails("fail_in_section", json!(["bad", name]));
    error.assert_says("bad");
    error.assert_reset("object-aborted");
    assert_eq!(journal(&object), ["in the section"]);
    assert_eq!(object.ok("hit", json!([])), json!(1), "it is a new instance");
}

fn c_068_events_behind_a_section_that_fails_get_its_error_and_do_not_run() {
    let node = hooked_node();
    let (object, (name, entered)) = (node.fresh(guest::GATES, "Sections"), signal(node));
    let hooks = node.hooks(&object);
    thread::scope(|scope| {
        let section = scope.spawn(|| object.fails("fail_in_section", json!(["bad", name])));
        wait_for(&entered);
        let behind = scope.spawn(|| together(2, |_| object.fails("append", json!(["behind"]))));
        wait_until_waiting(&hooks, 2);
        entered.ok("append", json!(["go"]));
        let behind = behind.join().expect("a client panicked");
        for error in behind.into_iter().chain([section.join().expect("a client panicked")]) {
            assert_eq!(error.message, "bad");
            error.assert_reset("object-aborted");
        }
    });
    assert_eq!(journal(&object), ["in the section"]);
}

fn c_069_a_section_that_never_ends_resets_the_object_as_overloaded() {
    let limit =
        |limits: &mut durabo_model::limits::ObjectLimits| limits.section_timeout = Duration::from_secs(1);
    let node = TestNode::with(TestConfig::with_limits(limit));
    let object = node.fresh(guest::GATES, "Sections");
    let error = object.fails("never_leave", json!([signal(&node).0]));
    error.assert_says("waited for too long");
    assert_eq!((error.code.as_str(), error.overloaded, error.object_reset), ("section-timeout", true, true));
    assert_eq!(object.ok("hit", json!([])), json!(1));
}

fn c_070_a_section_begun_in_the_constructor_ends_before_the_first_event() {
    let object = lasting_node().object(guest::GATES, "Sections", &format!("background-{}", fresh_name()));
    object.ok("append", json!(["request"]));
    assert_eq!(journal(&object), ["start begins", "start ends", "request"]);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_063_nothing_runs_between_the_beginning_and_the_end_of_a_section,
    c_064_the_value_of_the_section_is_the_value_of_the_call,
    c_065_two_sections_of_one_turn_run_one_after_the_other,
    ig_6_a_nested_section_holds_back_what_its_parent_waits_for,
    c_066_sixty_four_levels_open_and_the_next_is_refused_without_harm,
    c_067_an_error_out_of_a_section_resets_the_object_and_cannot_be_caught,
    c_068_events_behind_a_section_that_fails_get_its_error_and_do_not_run,
    c_069_a_section_that_never_ends_resets_the_object_as_overloaded,
    c_070_a_section_begun_in_the_constructor_ends_before_the_first_event,
];
