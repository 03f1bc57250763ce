//! Transactions over waits: all or nothing, with no other event in between (TX-5 to TX-13).
//!
//! What a crash leaves of one is simulated; how they nest in the database is tested there.

use std::thread;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Hold;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{Object, eventually, guest, values};

use super::outcomes::{answered_after_the_commit, wait_until_held, wait_until_waiting};
use super::standing::{hooked_node, lasting_node, node, tight_node};

/// A wait that lets other events in where it may.
const WAIT_MS: u64 = 2;

fn put(key: &str) -> Value {
    json!({"put": [key, values::bytes(key.as_bytes())]})
}

/// Writes a key and a row.
fn write(key: u32) -> Value {
    json!([{"step": put(&key.to_string())}, {"step": {"sql": format!("INSERT INTO t VALUES ({key})")}}])
}

/// The acts of several lists, a wait after each.
fn with_waits<const N: usize>(acts: [Value; N]) -> Value {
    let lists = acts.into_iter().map(|list| list.as_array().expect("acts").clone());
    lists.flat_map(|list| list.into_iter().chain([json!({"wait": WAIT_MS})])).collect()
}

fn store_on(object: Object) -> Object {
    object.ok("run", json!([[put("0"), {"sql": "CREATE TABLE t (a)"}, {"sql": "INSERT INTO t VALUES (0)"}]]));
    object
}

fn store() -> Object {
    store_on(node().fresh(guest::KV, "Kv"))
}

/// What is stored: keys and rows.
fn stored(store: &Object) -> Value {
    store.ok("run", json!([[{"keys": {}}, {"sql": "SELECT a FROM t"}]]))
}

fn transact(store: &Object, transaction: Value) -> Value {
    store.ok("transact_over_waits", json!([[], transaction]))
}

/// The text with which a transaction must fail that no reset ends.
fn transact_fails(store: &Object, transaction: Value) -> String {
    let error = store.fails("transact_over_waits", json!([[], transaction]));
    assert!(!error.object_reset, "{error:?}");
    error.message
}

fn c_198_what_is_written_within_is_seen_there_and_afterwards_and_the_value_comes_back() {
    let store = store();
    let mut acts = with_waits([write(1), write(2)]);
    acts.as_array_mut().expect("acts").push(json!({"get": "1"}));
    let told = transact(&store, json!({"acts": acts, "value": 7}));
    assert_eq!(
        (&told["value"], told["outcomes"].as_array().and_then(|all| all.last())),
        (&json!(7), Some(&values::bytes(b"1")))
    );
    assert_eq!(stored(&store), json!([["0", "1", "2"], [0, 1, 2]]));
}

fn c_199_and_b_17_an_error_undoes_all_of_it_over_its_waits_and_the_object_goes_on() {
    let store = store_on(lasting_node().fresh(guest::KV, "Kv"));
    assert_eq!(store.ok("hit", json!([])), json!(1));
    let fails = json!({"acts": with_waits([write(1), write(2)]), "fails": "f"});
    assert_eq!(transact_fails(&store, fails), "f");
    assert_eq!(stored(&store), json!([["0"], [0]]));
    assert_eq!(store.ok("hit", json!([])), json!(2));
    transact(&store, json!({"acts": write(3)}));
    assert_eq!(stored(&store), json!([["0", "3"], [0, 3]]));
}

fn c_200_after_a_rollback_the_value_comes_back_and_nothing_was_written() {
    let store = store();
    let acts = with_waits([write(1), json!(["rollback"])]);
    assert_eq!(transact(&store, json!({"acts": acts, "value": 5}))["value"], json!(5));
    assert_eq!(stored(&store), json!([["0"], [0]]));
}

fn c_201_a_transaction_that_was_rolled_back_says_so_and_may_be_rolled_back_again() {
    let store = store();
    let acts = json!([{"step": put("1")}, "rollback", {"get": "1"}, "rollback", {"nested": {}}]);
    let told = transact(&store, json!({"acts": acts, "catches": true}));
    let outcomes = &told["outcomes"];
    for refused in [&outcomes[2], &outcomes[4]] {
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("on rolled back transaction"), "{refused}");
        assert_eq!(refused["error"]["code"], json!("transaction-ended"));
    }
    assert_eq!((&outcomes[1], &outcomes[3]), (&json!(null), &json!(null)));
}

fn tx_7_what_is_written_after_a_rollback_is_kept() {
    let store = store();
    let mut acts = write(1).as_array().expect("acts").clone();
    acts.push(json!("rollback"));
    acts.extend(write(2).as_array().expect("acts").clone());
    transact(&store, json!({"acts": acts}));
    assert_eq!(stored(&store), json!([["0", "2"], [0, 2]]));
}

fn c_202_writes_that_know_nothing_of_the_transaction_belong_to_it() {
    let store = store();
    let first = json!({"acts": write(1), "fails": "no"});
    assert_eq!(transact_fails(&store, first), "no");
    let table =
        json!([{"step": {"sql": "CREATE TABLE u (a)"}}, {"wait": WAIT_MS}, {"step": {"sql": "SELECT nope"}}]);
    assert!(transact_fails(&store, json!({"acts": table})).contains("no such column: nope"));
    store.ok("run", json!([[{"sql": "CREATE TABLE u (a)"}]]));
    assert_eq!(stored(&store), json!([["0"], [0]]));
}

fn c_203_an_inner_commit_goes_with_the_outer_transaction() {
    let store = store();
    let inner = json!([{"nested": {"acts": with_waits([write(7)])}}]);
    let fails = json!({"acts": with_waits([write(6), inner.clone()]), "fails": "no"});
    assert_eq!(transact_fails(&store, fails), "no");
    assert_eq!(stored(&store), json!([["0"], [0]]));
    transact(&store, json!({"acts": with_waits([write(6), inner])}));
    assert_eq!(stored(&store), json!([["0", "6", "7"], [0, 6, 7]]));
}

fn tx_10_an_inner_failure_that_is_caught_undoes_the_inner_part_alone() {
    let store = store();
    let inner = json!([{"nested": {"acts": with_waits([write(2)]), "fails": "inner"}}]);
    let told = transact(&store, json!({"acts": with_waits([write(1), inner, write(3)]), "catches": true}));
    assert_eq!(told["outcomes"][3]["error"]["message"], json!("inner"));
    assert_eq!(stored(&store), json!([["0", "1", "3"], [0, 1, 3]]));
}

fn tx_10_the_outer_one_cannot_be_rolled_back_while_an_inner_one_is_open() {
    let store = store();
    let nested = json!({"nested": {"acts": ["rollback-outer"]}});
    let text = transact_fails(&store, json!({"acts": [nested]}));
    assert_eq!(text, "Cannot roll back an outer transaction while a nested transaction is still running.");
    assert_eq!(stored(&store), json!([["0"], [0]]));
}

fn c_204_removing_everything_within_is_refused_and_nothing_is_removed() {
    let store = store();
    let wipe = json!([{"step": "delete-all"}]);
    let told = transact(&store, json!({"acts": with_waits([write(1), wipe]), "catches": true}));
    let error = &told["outcomes"][3]["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("Cannot call deleteAll() within a transaction"), "{told}");
    assert_eq!(error["code"], json!("wipe-in-transaction"));
    assert_eq!(stored(&store), json!([["0", "1"], [0, 1]]));
}

fn tx_11_an_alarm_that_is_set_within_is_seen_there_and_undone() {
    const FAR: u64 = 4_102_444_800_000;
    let store = store();
    store.ok("run", json!([[{"set-alarm": FAR}]]));
    let (set, get) = (json!({"step": {"set-alarm": FAR + 1000}}), json!({"step": "get-alarm"}));
    let told = transact(&store, json!({"acts": [set, {"wait": WAIT_MS}, get, "rollback", get]}));
    assert_eq!(told["outcomes"], json!([null, null, FAR + 1000, null, FAR]));
    assert_eq!(store.ok("run", json!([["get-alarm"]])), json!([FAR]));
    transact(&store, json!({"acts": [set, {"wait": WAIT_MS}]}));
    assert_eq!(store.ok("run", json!([["get-alarm"]])), json!([FAR + 1000]));
}

fn tx_5_what_the_turn_wrote_before_is_committed_before() {
    let store = store();
    let before = json!([put("before")]);
    let fails = json!({"acts": with_waits([write(1)]), "fails": "no"});
    store.fails("transact_over_waits", json!([before, fails]));
    assert_eq!(stored(&store), json!([["0", "before"], [0]]));
}

fn tx_5_a_trap_undoes_all_of_it_and_resets_the_object() {
    let store = store();
    let traps = json!({"acts": with_waits([write(1)]), "traps": true});
    store.fails("transact_over_waits", json!([[put("before")], traps])).assert_reset("guest-trapped");
    assert_eq!(stored(&store), json!([["0", "before"], [0]]));
}

/// An object that a transaction tells that it is open, and that tells it when it may end.
fn signals() -> Object {
    hooked_node().object(guest::KV, "Kv", &fresh_name())
}

fn wait_for(signals: &Object) {
    eventually("the transaction is open", || {
        (signals.ok("run", json!([[{"get": "open"}]])) != json!([null])).then_some(())
    });
}

fn tx_5_events_and_sql_of_an_operator_wait_until_it_has_ended() {
    let (store, signals) = (store_on(hooked_node().fresh(guest::KV, "Kv")), signals());
    let hooks = hooked_node().hooks(&store);
    // A call within leaves while it is open, and its answer comes back (TX-13).
    let tell = json!([{"tell": [signals.segment(), "open"]}, {"until": [signals.segment(), "end"]}]);
    let transaction = json!({"acts": with_waits([write(1), tell, write(2)])});
    thread::scope(|scope| {
        let transacts = scope.spawn(|| transact(&store, transaction));
        wait_for(&signals);
        let event = scope.spawn(|| stored(&store));
        let operator = scope.spawn(|| store.sql("SELECT a FROM t").expect("rows")["rows"].clone());
        wait_until_waiting(&hooks, 2);
        signals.ok("run", json!([[put("end")]]));
        assert!(transacts.join().is_ok());
        assert_eq!(event.join().expect("an answer"), json!([["0", "1", "2"], [0, 1, 2]]));
        assert_eq!(operator.join().expect("an answer"), json!([[0], [1], [2]]));
    });
}

fn tx_13_the_answer_waits_for_the_commit_and_not_for_one_that_changed_nothing() {
    let store = store_on(hooked_node().fresh(guest::KV, "Kv"));
    let hooks = hooked_node().hooks(&store);
    let writing = || transact(&store, json!({"acts": with_waits([write(1)])}));
    answered_after_the_commit(&hooks, writing, || ());
    hooks.plan_fault(Hold);
    transact(&store, json!({"acts": [{"wait": WAIT_MS}]}));
    assert_eq!(hooks.held_commits(), 0);
    assert_eq!(stored(&store), json!([["0", "1"], [0, 1]]));
    // What was planned is still there for the next commit.
    thread::scope(|scope| {
        let transacts = scope.spawn(|| transact(&store, json!({"acts": write(2)})));
        wait_until_held(&hooks);
        assert!(hooks.answer_held(Committed), "a commit is held");
        assert!(transacts.join().is_ok());
    });
    assert_eq!(stored(&store), json!([["0", "1", "2"], [0, 1, 2]]));
}

fn og_9_waiting_for_the_disk_within_waits_for_what_was_written_before_it() {
    let store = store();
    transact(&store, json!({"acts": with_waits([write(1), json!(["sync"]), write(2)])}));
    assert_eq!(stored(&store), json!([["0", "1", "2"], [0, 1, 2]]));
}

fn og_11_constraints_that_are_violated_at_the_end_fail_the_transaction_alone() {
    let store = store();
    let tables = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id))";
    store.ok("run", json!([[{"sql": tables}]]));
    let defers = json!([{"step": {"sql": "PRAGMA defer_foreign_keys = ON"}}, {"step": {"sql": "INSERT INTO c VALUES (1)"}}]);
    let text = transact_fails(&store, json!({"acts": with_waits([write(1), defers])}));
    assert!(text.contains("FOREIGN KEY constraint failed"), "{text}");
    assert_eq!(stored(&store), json!([["0"], [0]]));
}

fn tx_12_after_a_critical_error_the_end_fails_and_the_caller_gets_that_error() {
    let store = store_on(tight_node().fresh(guest::KV, "Kv"));
    let large = json!([{"step": {"sql": "INSERT INTO t VALUES (zeroblob(1000000))"}}]);
    let transaction = json!({"acts": [write(1)[0], large[0]], "catches": true});
    let error = store.fails("transact_over_waits", json!([[], transaction]));
    error.assert_says("database or disk is full: SQLITE_FULL");
    error.assert_reset("storage-failed");
    assert_eq!(stored(&store), json!([["0"], [0]]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_198_what_is_written_within_is_seen_there_and_afterwards_and_the_value_comes_back,
    c_199_and_b_17_an_error_undoes_all_of_it_over_its_waits_and_the_object_goes_on,
    c_200_after_a_rollback_the_value_comes_back_and_nothing_was_written,
    c_201_a_transaction_that_was_rolled_back_says_so_and_may_be_rolled_back_again,
    tx_7_what_is_written_after_a_rollback_is_kept,
    c_202_writes_that_know_nothing_of_the_transaction_belong_to_it,
    c_203_an_inner_commit_goes_with_the_outer_transaction,
    tx_10_an_inner_failure_that_is_caught_undoes_the_inner_part_alone,
    tx_10_the_outer_one_cannot_be_rolled_back_while_an_inner_one_is_open,
    c_204_removing_everything_within_is_refused_and_nothing_is_removed,
    tx_11_an_alarm_that_is_set_within_is_seen_there_and_undone,
    tx_5_what_the_turn_wrote_before_is_committed_before,
    tx_5_a_trap_undoes_all_of_it_and_resets_the_object,
    tx_5_events_and_sql_of_an_operator_wait_until_it_has_ended,
    tx_13_the_answer_waits_for_the_commit_and_not_for_one_that_changed_nothing,
    og_9_waiting_for_the_disk_within_waits_for_what_was_written_before_it,
    og_11_constraints_that_are_violated_at_the_end_fail_the_transaction_alone,
    tx_12_after_a_critical_error_the_end_fails_and_the_caller_gets_that_error,
];
