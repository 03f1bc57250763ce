//! Savepoints, waiting for the disk, writes that nothing waits for, and removing everything (TX-1 to TX-4, TX-9,
//! TX-12, KV-15, KV-18, OG-6, OG-8 to OG-10).
//!
//! What is undone with what is tested where the logic is (`storage`); the cases here cross the contract.

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::{Answer, Hold};
use durabo_server::ObjectHooks;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{Object, eventually, guest, values};

use super::database::Database;
use super::outcomes::{REFUSED, answered_after_the_commit, refused, wait_until_held};
use super::standing::{hooked_node, node, tight_node};

fn store() -> Database {
    Database::of(node().fresh(guest::KV, "Kv"))
}

fn put(key: &str) -> Value {
    json!({"put": [key, values::bytes(key.as_bytes())]})
}

/// Runs calls and then a transaction in one turn.
fn transact(store: &Database, before: Value, transaction: Value) -> Result<Value, String> {
    store.call("transact", json!([before, transaction])).map_err(|error| error.message.clone())
}

/// What is stored: keys, and rows of `t`.
fn stored(store: &Database) -> Value {
    store.call("run", json!([[{"keys": {}}, {"sql": "SELECT a FROM t"}]])).expect("run")
}

fn with_table() -> Database {
    let store = store();
    store.call("run", json!([[{"sql": "CREATE TABLE t (a)"}]])).expect("run");
    store
}

fn c_193_a_transaction_gives_its_value_and_keeps_its_writes() {
    let store = with_table();
    let insert = json!({"steps": [{"sql": "INSERT INTO t VALUES (1)"}, put("k")]});
    assert_eq!(transact(&store, json!([]), insert), Ok(json!("v")));
    assert_eq!(stored(&store), json!([["k"], [1]]));
}

fn tx_1_a_transaction_that_fails_undoes_sql_and_keys_and_nothing_before_it() {
    let store = with_table();
    let before = json!([{"sql": "INSERT INTO t VALUES (1)"}, put("before")]);
    let fails = json!({"steps": [{"sql": "INSERT INTO t VALUES (2)"}, put("k")], "fails": "no"});
    assert_eq!(transact(&store, before, fails), Err("no".to_owned()));
    assert_eq!(stored(&store), json!([["before"], [1]]));
}

fn c_195_an_inner_failure_that_is_caught_undoes_the_inner_part_alone() {
    let store = with_table();
    let set = |i: u32| json!([{"sql": format!("UPDATE t SET a = {i}")}]);
    let nested = json!({"steps": set(2), "inner": {"steps": set(3), "fails": "inner"}});
    assert_eq!(transact(&store, json!([{"sql": "INSERT INTO t VALUES (1)"}]), nested), Ok(json!("v")));
    assert_eq!(stored(&store), json!([[], [2]]));
}

fn c_196_of_three_levels_the_first_may_go_on_when_the_second_fails() {
    let store = with_table();
    let third = json!({"steps": [put("3")]});
    let second = json!({"steps": [put("2")], "inner": third, "fails": "second"});
    let first = json!({"steps": [put("1")], "inner": second, "after": [put("1 again")]});
    assert_eq!(transact(&store, json!([]), first), Ok(json!("v")));
    assert_eq!(stored(&store), json!([["1", "1 again"], []]));
}

fn c_197_an_error_of_sql_that_is_not_caught_undoes_a_table_too() {
    let store = with_table();
    let steps = json!({"steps": [{"sql": "CREATE TABLE u (a)"}, {"sql": "SELECT a FROM nope"}]});
    let error = transact(&store, json!([]), steps).expect_err("no such table");
    assert!(error.contains("no such table: nope"), "{error}");
    let again = store.call("run", json!([[{"sql": "CREATE TABLE u (a)"}]])).expect("run");
    assert_eq!(again, json!([[]]));
}

fn c_206_what_a_transaction_wrote_goes_with_its_turn() {
    let store = with_table();
    let error = store.call("transact_and_abort", json!([{"steps": [put("k")]}])).expect_err("it aborts");
    error.assert_reset("object-aborted");
    assert_eq!(stored(&store), json!([[], []]));
}

fn c_072_writes_of_one_turn_go_together_with_an_abort() {
    let store = with_table();
    let error = store.call("run_and_abort", json!([[put("a"), put("b")]])).expect_err("it aborts");
    error.assert_reset("object-aborted");
    assert_eq!(stored(&store), json!([[], []]));
}

fn c_073_what_was_written_before_a_call_stays_when_its_event_aborts() {
    let store = with_table();
    let steps = json!([[put("a")], fresh_name(), [put("b")]]);
    store.call("run_wait_run_and_abort", steps).expect_err("it aborts").assert_reset("object-aborted");
    assert_eq!(stored(&store), json!([["a"], []]));
}

fn c_190_a_first_put_that_is_undone_leaves_nothing_and_later_ones_work() {
    let store = store();
    let undone = json!({"steps": [put("k")], "fails": "no"});
    assert_eq!(transact(&store, json!([]), undone), Err("no".to_owned()));
    let outcomes = store.call("run", json!([[{"get": "k"}, put("k"), {"keys": {}}]])).expect("run");
    assert_eq!(outcomes, json!([null, null, ["k"]]));
}

fn tx_3_savepoints_left_open_are_rolled_back_when_the_turn_ends() {
    let store = with_table();
    let ends = store.call("leave_open", json!([[put("outer"), put("inner")]])).expect("leave open");
    assert_eq!(ends, json!(["savepoint-ended", "savepoint-ended"]));
    assert_eq!(stored(&store), json!([[], []]));
}

fn c_085_the_error_of_the_closure_comes_out_and_the_caller_gets_that_of_the_database() {
    let store = Database::of(tight_node().fresh(guest::KV, "Kv"));
    store
        .call("run", json!([[{"sql": "CREATE TABLE t (a)"}, {"sql": "INSERT INTO t VALUES (1)"}]]))
        .expect("run");
    for transaction in [json!({"fails": "its own"}), json!({})] {
        let mut transaction = transaction;
        transaction["steps"] = json!([{"sql": "INSERT INTO t VALUES (zeroblob(1000000))"}]);
        transaction["catches"] = json!(true);
        let before = json!([{"sql": "INSERT INTO t VALUES (2)"}]);
        let error = store.call("transact", json!([before, transaction])).expect_err("full");
        error.assert_says("database or disk is full: SQLITE_FULL");
        error.assert_reset("storage-failed");
        assert_eq!(stored(&store), json!([[], [1]]));
    }
}

/// An object on a node with hooks that has stored something, and its hooks.
fn hooked() -> (Object, ObjectHooks) {
    let object = hooked_node().fresh(guest::KV, "Kv");
    object.ok("run", json!([[put("first"), {"sql": "CREATE TABLE t (a)"}]]));
    let hooks = hooked_node().hooks(&object);
    (object, hooks)
}

fn unconfirmed(key: &str) -> Value {
    json!({"put-unconfirmed": [key, values::bytes(key.as_bytes())]})
}

fn c_082_an_answer_does_not_wait_for_a_write_that_is_not_confirmed() {
    let (object, hooks) = hooked();
    hooks.plan_fault(Hold);
    object.ok("run", json!([[unconfirmed("k")]]));
    wait_until_held(&hooks);
    assert_eq!(object.ok("run", json!([[{"keys": {}}]])), json!([["first", "k"]]));
    assert!(hooks.answer_held(Committed), "a commit is held");
}

fn c_083_one_confirmed_write_lets_the_answer_wait_for_all_of_its_turn() {
    let insert = json!({"sql": "INSERT INTO t VALUES (1)"});
    for write in [put("other"), json!({"delete": "first"}), insert, json!("delete-all")] {
        let (object, hooks) = hooked();
        let run = || object.ok("run", json!([[unconfirmed("k"), write]]));
        let outcomes = answered_after_the_commit(&hooks, run, || ());
        assert_eq!(outcomes[0], json!(null));
    }
}

fn og_8_a_write_that_is_not_confirmed_is_undone_with_its_commit_and_the_object_is_reset() {
    let (object, hooks) = hooked();
    hooks.plan_fault(Hold);
    object.ok("run", json!([[unconfirmed("k")]]));
    wait_until_held(&hooks);
    assert!(hooks.answer_held(refused()), "a commit is held");
    eventually("the object was reset", || {
        let listed = object.listed().expect("it is in memory");
        (listed["resets"] == json!(1)).then_some(())
    });
    assert_eq!(object.ok("run", json!([[{"keys": {}}, put("next")]])), json!([["first"], null]));
}

fn c_080_waiting_for_nothing_takes_no_commit() {
    let (object, hooks) = hooked();
    hooks.plan_fault(Hold);
    assert_eq!(object.ok("run_and_sync", json!([[]])), json!([]));
    assert_eq!(hooks.held_commits(), 0);
}

fn c_081_waiting_for_a_commit_that_fails_never_returns() {
    let (object, hooks) = hooked();
    hooks.plan_fault(Answer(refused()));
    object.fails("run_and_sync", json!([[put("k")]])).assert_says(REFUSED);
    assert_eq!(object.ok("run", json!([[{"keys": {}}]])), json!([["first"]]));
}

fn og_9_waiting_holds_for_writes_that_are_not_confirmed_too() {
    let (object, hooks) = hooked();
    let sync = || object.ok("run_and_sync", json!([[unconfirmed("k")]]));
    assert_eq!(answered_after_the_commit(&hooks, sync, || ()), json!([null]));
}

fn og_9_waiting_ends_also_after_a_statement_that_changed_nothing() {
    let (object, _) = hooked();
    let outcomes = object.ok("run_and_sync", json!([[{"sql": "UPDATE t SET a = 1"}]]));
    assert_eq!(outcomes, json!([[]]));
}

fn c_187_after_everything_was_removed_the_same_turn_finds_nothing() {
    let store = with_table();
    let fill =
        json!([{"sql": "INSERT INTO t VALUES (1)"}, put("k"), {"sql": "CREATE VIEW v AS SELECT a FROM t"}]);
    store.call("run", json!([fill])).expect("run");
    let tables = json!({"sql-texts": "SELECT name FROM sqlite_master"});
    let steps = json!([
        put("l"), "delete-all", {"get": "k"}, {"keys": {}}, tables, "database-size",
        {"sql": "CREATE TABLE t (a)"}, {"sql": "SELECT a FROM t"},
    ]);
    let outcomes = store.call("run", json!([steps])).expect("run");
    assert_eq!(outcomes, json!([null, null, null, [], [], 4096, [], []]));
    assert_eq!(stored(&store), json!([[], []]));
}

fn kv_15_a_database_that_was_emptied_is_as_small_as_one_that_is_new_and_the_object_keeps_its_name() {
    let object = node().fresh(guest::KV, "Kv");
    let size = || object.ok("run", json!([["database-size"]]));
    assert_eq!(size(), json!([4096]));
    object.ok("run", json!([[put("k"), {"sql": "CREATE TABLE t (a)"}]]));
    assert_ne!(size(), json!([4096]));
    assert_eq!(object.ok("run", json!([["delete-all"]])), json!([null]));
    assert_eq!(size(), json!([4096]));
    assert!(object.listed().is_some(), "it has lost its name");
}

fn c_188_what_a_turn_writes_after_it_removed_everything_stays() {
    let store = with_table();
    store.call("run", json!([[put("a"), "delete-all", put("b")]])).expect("run");
    let outcomes =
        store.call("run", json!([[{"keys": {}}, {"sql-texts": "SELECT name FROM t"}]])).expect("run");
    assert_eq!(outcomes[0], json!(["b"]));
    let message = outcomes[1]["error"]["message"].as_str().expect("an error");
    assert!(message.contains("no such table: t"), "{message}");
}

fn c_204_within_a_transaction_everything_cannot_be_removed() {
    let store = with_table();
    let refused = json!({"steps": [put("k"), "delete-all"]});
    let error = transact(&store, json!([put("before")]), refused).expect_err("refused");
    assert!(error.contains("Cannot call deleteAll() within a transaction"), "{error}");
    let caught = json!({"steps": ["delete-all", put("k")], "catches": true});
    assert_eq!(transact(&store, json!([]), caught), Ok(json!("v")));
    assert_eq!(stored(&store), json!([["before", "k"], []]));
}

fn kv_15_what_was_removed_is_back_if_the_turn_traps() {
    let store = with_table();
    store.call("run", json!([[put("k"), {"sql": "INSERT INTO t VALUES (1)"}]])).expect("run");
    let steps = json!([put("l"), "delete-all", put("m"), {"sql": "CREATE TABLE u (a)"}]);
    store.call("run_and_trap", json!([steps])).expect_err("it traps").assert_reset("guest-trapped");
    assert_eq!(stored(&store), json!([["k"], [1]]));
}

fn og_6_what_was_removed_is_back_if_the_commit_fails() {
    let (object, hooks) = hooked();
    hooks.plan_fault(Answer(refused()));
    object.fails("run", json!([["delete-all", put("later")]])).assert_says(REFUSED);
    let outcomes = object.ok("run", json!([[{"keys": {}}, {"sql": "SELECT a FROM t"}]]));
    assert_eq!(outcomes, json!([["first"], []]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_193_a_transaction_gives_its_value_and_keeps_its_writes,
    tx_1_a_transaction_that_fails_undoes_sql_and_keys_and_nothing_before_it,
    c_195_an_inner_failure_that_is_caught_undoes_the_inner_part_alone,
    c_196_of_three_levels_the_first_may_go_on_when_the_second_fails,
    c_197_an_error_of_sql_that_is_not_caught_undoes_a_table_too,
    c_206_what_a_transaction_wrote_goes_with_its_turn,
    c_072_writes_of_one_turn_go_together_with_an_abort,
    c_073_what_was_written_before_a_call_stays_when_its_event_aborts,
    c_190_a_first_put_that_is_undone_leaves_nothing_and_later_ones_work,
    tx_3_savepoints_left_open_are_rolled_back_when_the_turn_ends,
    c_085_the_error_of_the_closure_comes_out_and_the_caller_gets_that_of_the_database,
    c_082_an_answer_does_not_wait_for_a_write_that_is_not_confirmed,
    c_083_one_confirmed_write_lets_the_answer_wait_for_all_of_its_turn,
    og_8_a_write_that_is_not_confirmed_is_undone_with_its_commit_and_the_object_is_reset,
    c_080_waiting_for_nothing_takes_no_commit,
    c_081_waiting_for_a_commit_that_fails_never_returns,
    og_9_waiting_holds_for_writes_that_are_not_confirmed_too,
    og_9_waiting_ends_also_after_a_statement_that_changed_nothing,
    c_187_after_everything_was_removed_the_same_turn_finds_nothing,
    kv_15_a_database_that_was_emptied_is_as_small_as_one_that_is_new_and_the_object_keeps_its_name,
    c_188_what_a_turn_writes_after_it_removed_everything_stays,
    c_204_within_a_transaction_everything_cannot_be_removed,
    kv_15_what_was_removed_is_back_if_the_turn_traps,
    og_6_what_was_removed_is_back_if_the_commit_fails,
];
