//! Turns, what commits together, and what leaves an object when (groups IG and OG).
//!
//! Delays and failures of commits are simulated in `tests/simulation`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest;

use super::database::{Database, step};
use super::standing::node;
use super::together::together;

const CHILD_FIRST: [&str; 2] = ["PRAGMA defer_foreign_keys = ON", "INSERT INTO child VALUES (5)"];

fn family() -> Database {
    let db = Database::new();
    db.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent (id))");
    db
}

fn c_061_reading_and_writing_in_one_turn_is_never_interleaved() {
    let object = node().fresh(guest::GATES, "Gates");
    let results: HashSet<i64> = together(20, |_| {
        (0..5).map(|_| object.ok("increment", json!([])).as_i64().expect("a number")).collect::<Vec<_>>()
    })
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(results, (1..=100).collect());
    assert_eq!(object.ok("read", json!([])), json!(100));
}

fn c_062_other_events_run_while_one_waits() {
    let object = node().fresh(guest::GATES, "Gates");
    object.ok("read", json!([]));
    let results = together(2, |_| object.ok("increment_after_meeting", json!([2])));
    assert_eq!(results, [json!(1), json!(1)]);
    assert_eq!(object.ok("read", json!([])), json!(1));
    let object = node().fresh(guest::GATES, "Gates");
    let most = together(3, |_| object.ok("meet", json!([3]))).into_iter().filter_map(|n| n.as_u64()).max();
    assert_eq!(most, Some(3));
}

fn c_086_a_foreign_key_may_be_broken_within_the_turn() {
    let db = family();
    let outcomes =
        db.run(&[step(CHILD_FIRST[0]), step(CHILD_FIRST[1]), step("INSERT INTO parent VALUES (5)")]);
    assert!(outcomes.iter().all(|outcome| outcome.get("error").is_none()), "{outcomes:?}");
    assert_eq!(db.rows("SELECT p FROM child", json!([])), json!([[5]]));
}

fn c_087_a_foreign_key_broken_at_the_end_of_the_turn_fails_the_commit() {
    let db = family();
    let error =
        db.run_fails(&[step("INSERT INTO parent VALUES (1)"), step(CHILD_FIRST[0]), step(CHILD_FIRST[1])]);
    error.assert_says("FOREIGN KEY constraint failed");
    error.assert_reset("storage-failed");
    assert_eq!(db.rows("SELECT p FROM child", json!([])), json!([]));
    assert_eq!(db.rows("SELECT id FROM parent", json!([])), json!([]));
    // The switch belonged to the old connection.
    db.error(CHILD_FIRST[1], json!([])).assert_says("FOREIGN KEY constraint failed");
}

fn a_trap_undoes_all_statements_of_the_turn() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let steps = json!([[{"query": "INSERT INTO t VALUES (1)"}, {"query": "CREATE TABLE other (a)"}]]);
    db.call("run_and_trap", steps).expect_err("a trap").assert_reset("guest-trapped");
    assert_eq!(
        db.rows("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'", json!([])),
        json!([["t"]])
    );
    assert_eq!(db.rows("SELECT a FROM t", json!([])), json!([]));
}

fn og_13_every_wait_ends_the_turn_also_one_that_is_over_at_once() {
    for way in ["timer", "wasi 0.2", "wasi 0.3 wait-for", "wasi 0.3 wait-until", "none"] {
        let object = node().fresh(guest::GATES, "Gates");
        object.fails("note_wait_and_trap", json!([way])).assert_reset("guest-trapped");
        let kept = if way == "none" { json!([]) } else { json!(["before"]) };
        assert_eq!(object.ok("journal", json!([])), kept, "{way}");
    }
}

fn events_that_wait_commit_before_and_after_the_wait() {
    let object = node().fresh(guest::GATES, "Gates");
    together(4, |number| object.ok("write_sleep_write", json!([number.to_string(), 50])));
    let journal: Vec<Value> = object.ok("journal", json!([])).as_array().expect("lines").clone();
    assert_eq!(journal.len(), 8, "{journal:?}");
    for number in 0..4 {
        let at = |what: &str| journal.iter().position(|line| line == &json!(format!("{number} {what}")));
        assert!(at("before") < at("after"), "{journal:?}");
    }
}

fn an_event_that_fails_after_others_wrote_undoes_nothing_of_theirs() {
    let object = node().fresh(guest::LIFECYCLE, "Lifecycle");
    let keys: Vec<String> = (0..10).map(|number| format!("key-{number}")).collect();
    together(10, |number| match number % 2 {
        0 => object.call("write", json!([keys[number]])).is_ok(),
        _ => object.call("write_then_fail", json!([keys[number]])).is_ok(),
    });
    let mut expected: Vec<&str> = keys.iter().map(String::as_str).collect();
    expected.insert(0, "constructed");
    assert_eq!(object.ok("keys", json!([])), json!(expected));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_061_reading_and_writing_in_one_turn_is_never_interleaved,
    c_062_other_events_run_while_one_waits,
    c_086_a_foreign_key_may_be_broken_within_the_turn,
    c_087_a_foreign_key_broken_at_the_end_of_the_turn_fails_the_commit,
    a_trap_undoes_all_statements_of_the_turn,
    og_13_every_wait_ends_the_turn_also_one_that_is_over_at_once,
    events_that_wait_commit_before_and_after_the_wait,
    an_event_that_fails_after_others_wrote_undoes_nothing_of_theirs,
];
