//! What an object keeps and what it loses: start, memory, errors, traps, `abort`, eviction (group LC).
//!
//! Wakes by alarms and sockets come with those.

use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{Object, guest};

use super::outcomes::wait_until_in_guest;
use super::standing::{IDLE_AFTER, forgetful_node, hooked_node, lasting_node, node};
use super::together::together;

const ABORT_TEXT: &str = "Application called abort() to reset Durable Object.";

fn fresh() -> Object {
    node().fresh(guest::LIFECYCLE, "Lifecycle")
}

/// Keeps its instance from call to call whatever the variant.
fn in_memory() -> Object {
    lasting_node().fresh(guest::LIFECYCLE, "Lifecycle")
}

fn forgetful() -> Object {
    forgetful_node().fresh(guest::LIFECYCLE, "Lifecycle")
}

fn has_key(object: &Object, key: &str) -> bool {
    object.ok("keys", json!([])).as_array().expect("keys").contains(&json!(key))
}

fn c_036_the_first_event_finds_what_the_constructor_wrote() {
    let object = in_memory();
    assert_eq!(object.ok("keys", json!([])), json!(["constructed"]));
    assert_eq!(object.ok("starts", json!([])), json!(1));
}

fn c_037_events_wait_for_a_slow_constructor() {
    let object = node().fresh(guest::LIFECYCLE, "SlowStart");
    let logs = together(5, |number| object.ok("note", json!([number.to_string()])));
    let longest = logs.iter().filter_map(Value::as_array).max_by_key(|log| log.len()).expect("logs");
    assert_eq!(longest.len(), 7, "{longest:?}");
    assert_eq!(longest[..2], [json!("starting"), json!("started")]);
    let mut notes: Vec<&str> = longest[2..].iter().filter_map(Value::as_str).collect();
    notes.sort_unstable();
    assert_eq!(notes, ["0", "1", "2", "3", "4"]);
}

fn c_039_a_failed_constructor_fails_its_caller_and_is_tried_again() {
    let object = in_memory();
    object.ok("fail_start", json!([true]));
    object.fails("abort_with", json!([null]));
    for _ in 0..2 {
        let error = object.fails("hit", json!([]));
        error.assert_says("no");
        assert_eq!((error.remote, error.object_reset, error.status), (true, true, 500), "{error:?}");
    }
    let cleared = object.write_sql("DELETE FROM rows WHERE key = 'fail-start'").expect("the flag is cleared");
    assert_eq!(cleared["rowsWritten"], json!(1));
    assert_eq!(object.ok("hit", json!([])), json!(1));
    // The failed constructors' own rows went with their turns.
    assert_eq!(object.ok("starts", json!([])), json!(2));
}

fn c_040_memory_lives_as_long_as_the_instance() {
    let object = hooked_node().fresh(guest::LIFECYCLE, "Lifecycle");
    assert_eq!((object.ok("hit", json!([])), object.ok("hit", json!([]))), (json!(1), json!(2)));
    hooked_node().hooks(&object).evict();
    object.wait_until_evicted();
    assert_eq!(object.ok("hit", json!([])), json!(1));
    assert_eq!(object.ok("starts", json!([])), json!(2));
}

fn c_041_an_error_keeps_rows_and_memory() {
    let object = in_memory();
    let error = object.fails("write_then_fail", json!(["x"]));
    assert_eq!(
        (error.message.as_str(), error.remote, error.object_reset),
        ("failed on purpose", true, false)
    );
    assert!(has_key(&object, "x"));
    assert_eq!(object.ok("hit", json!([])), json!(2));
}

fn c_042_a_trap_undoes_the_turn_and_drops_the_memory() {
    for (method, part) in [("write_then_trap", "unreachable"), ("write_then_panic", "panicked on purpose")] {
        let object = in_memory();
        let born = object.ok("born", json!([]));
        object.ok("hit", json!([]));
        let error = object.fails(method, json!(["x"]));
        error.assert_says(part);
        error.assert_reset("guest-trapped");
        assert!(!has_key(&object, "x"));
        assert_ne!(object.ok("born", json!([])), born);
        assert_eq!(object.ok("hit", json!([])), json!(1));
        assert_eq!(object.ok("starts", json!([])), json!(2));
    }
}

fn c_043_a_trap_keeps_what_was_written_before_the_last_wait() {
    let object = fresh();
    let error = object.fails("write_await_write_trap", json!(["x", "y"]));
    error.assert_reset("guest-trapped");
    assert_eq!(object.ok("keys", json!([])), json!(["constructed", "x"]));
}

fn c_044_abort_undoes_the_turn_and_fails_with_its_reason() {
    let object = fresh();
    object.ok("set", json!(["k", 7]));
    let error = object.fails("write_then_abort", json!(["k", "stop"]));
    assert_eq!(error.message, "stop");
    error.assert_reset("object-aborted");
    assert_eq!(object.ok("value", json!(["k"])), json!(7));
}

fn c_045_nothing_runs_after_abort() {
    let object = fresh();
    object.ok("hit", json!([]));
    let error = object.fails("write_then_abort", json!(["before", null]));
    error.assert_says(ABORT_TEXT);
    assert_eq!(object.ok("keys", json!([])), json!(["constructed"]));
    assert_eq!(object.ok("hit", json!([])), json!(1));
}

fn c_046_abort_without_reason_has_a_text() {
    let error = fresh().fails("abort_with", json!([null]));
    assert_eq!(error.message, ABORT_TEXT);
    error.assert_reset("object-aborted");
}

fn c_047_abort_fails_every_event_under_way() {
    let object = hooked_node().fresh(guest::LIFECYCLE, "Lifecycle");
    let hooks = hooked_node().hooks(&object);
    object.ok("hit", json!([]));
    let errors: Vec<_> = thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..2).map(|_| scope.spawn(|| object.fails("sleep", json!([3_600_000])))).collect();
        wait_until_in_guest(&hooks, 2);
        let own = object.fails("abort_with", json!(["x"]));
        waiting.into_iter().map(|call| call.join().expect("a client panicked")).chain([own]).collect()
    });
    for error in errors {
        assert_eq!(error.message, "x");
        error.assert_reset("object-aborted");
    }
    assert_eq!(object.ok("hit", json!([])), json!(1));
}

fn c_050_an_idle_object_leaves_memory_and_comes_back_new() {
    let object = forgetful();
    let born = object.ok("born", json!([]));
    assert!(object.listed().is_some(), "an object that has written is listed");
    object.wait_until_evicted();
    let listed = object.listed().expect("it has a file");
    assert_eq!(listed["live"], json!(false));
    assert!(listed["sizeBytes"].as_u64().is_some_and(|bytes| bytes > 0 && bytes % 4096 == 0), "{listed}");
    assert_ne!(object.ok("born", json!([])), born);
}

fn c_052_a_long_handler_is_not_evicted_in_the_middle() {
    let object = forgetful();
    let millis = u64::try_from(IDLE_AFTER.as_millis()).expect("short") * 5;
    assert_eq!(object.ok("sleep", json!([millis])), json!(1));
}

fn c_060_a_hundred_errors_in_a_row_never_reset() {
    let object = in_memory();
    for _ in 0..100 {
        object.fails("write_then_fail", json!(["x"]));
    }
    assert_eq!(object.ok("hit", json!([])), json!(101));
    assert_eq!(object.ok("starts", json!([])), json!(1));
}

fn b_78_variables_outside_the_class_belong_to_the_instance() {
    let fresh = || hooked_node().fresh(guest::LIFECYCLE, "Lifecycle");
    let object = fresh();
    let counts: Vec<Value> = (0..10).map(|_| object.ok("hit_outside", json!([]))).collect();
    assert_eq!(counts, (1..=10).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!(fresh().ok("hit_outside", json!([])), json!(1));
    hooked_node().hooks(&object).evict();
    object.wait_until_evicted();
    assert_eq!(object.ok("hit_outside", json!([])), json!(1));
    assert_eq!(object.ok("hit_outside", json!([])), json!(2));
    object.fails("write_then_trap", json!(["x"]));
    assert_eq!(object.ok("hit_outside", json!([])), json!(1));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_036_the_first_event_finds_what_the_constructor_wrote,
    c_037_events_wait_for_a_slow_constructor,
    c_039_a_failed_constructor_fails_its_caller_and_is_tried_again,
    c_040_memory_lives_as_long_as_the_instance,
    c_041_an_error_keeps_rows_and_memory,
    c_042_a_trap_undoes_the_turn_and_drops_the_memory,
    c_043_a_trap_keeps_what_was_written_before_the_last_wait,
    c_044_abort_undoes_the_turn_and_fails_with_its_reason,
    c_045_nothing_runs_after_abort,
    c_046_abort_without_reason_has_a_text,
    c_047_abort_fails_every_event_under_way,
    c_050_an_idle_object_leaves_memory_and_comes_back_new,
    c_052_a_long_handler_is_not_evicted_in_the_middle,
    c_060_a_hundred_errors_in_a_row_never_reset,
    b_78_variables_outside_the_class_belong_to_the_instance,
];
