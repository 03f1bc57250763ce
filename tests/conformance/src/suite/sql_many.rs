//! SQL: one writing statement for many groups of bindings (EM-1 to EM-11).
//!
//! Interrupts, full disks and where a call runs are unit tests of `storage` and `runtime`.

use serde_json::{Value, json};

use crate::case::{Case, cases};

use super::database::{Database, refusal, step};

const INSERT: &str = "INSERT INTO t VALUES (?, ?)";

fn with_table() -> Database {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    db
}

fn rows(db: &Database) -> Value {
    db.rows("SELECT id, v FROM t ORDER BY id", json!([]))
}

fn em_1_only_one_statement_that_writes_is_taken() {
    let db = with_table();
    for query in [
        "INSERT INTO t VALUES (?, 1); SELECT 1",
        "SELECT id FROM t WHERE id = ?",
        "EXPLAIN INSERT INTO t VALUES (?, 1)",
        "PRAGMA foreign_keys = OFF",
    ] {
        let error = refusal(&db.many(query, json!([[1]])));
        assert_eq!((error.code, error.name.as_str()), (0, "not-one-write"), "{query}: {error:?}");
    }
    assert_eq!(refusal(&db.many("", json!([[1]]))).name, "no-statement");
    refusal(&db.many("BEGIN", json!([[1]]))).assert_says("transactionSync()");
    refusal(&db.many("INSERT INTO nope VALUES (?)", json!([[1]]))).assert_says("no such table: nope");
    assert_eq!(db.value("PRAGMA foreign_keys", json!([])), json!(1));
    assert_eq!(rows(&db), json!([]));
}

fn em_2_each_group_has_one_value_for_each_parameter() {
    let db = with_table();
    for groups in [json!([[1]]), json!([[1, 2, 3]]), json!([[1, 2], [3]]), json!([[]])] {
        assert_eq!(refusal(&db.many(INSERT, groups.clone())).name, "wrong-bindings", "{groups}");
    }
    assert_eq!(refusal(&db.many("INSERT INTO t VALUES (1, 1)", json!([]))).name, "wrong-bindings");
    // What an SDK would not send: two groups of three values make three of two.
    for (groups, values) in [(2, 6), (4, 6), (0, 2), (u32::MAX, 2)] {
        let bindings: Vec<u32> = (0..values).collect();
        let error = db.call("many_unchecked", json!([INSERT, groups, bindings])).expect_err("refused");
        assert_eq!(error.code, "wrong-bindings");
    }
    assert_eq!(rows(&db), json!([]));
    assert_eq!(db.call("many_unchecked", json!([INSERT, 3, [1, 2, 3, 4, 5, 6]])).expect("written"), json!(3));
    assert_eq!(rows(&db), json!([[1, 2], [3, 4], [5, 6]]));
}

fn em_3_and_em_6_groups_run_in_order_and_are_counted_together() {
    let db = with_table();
    db.exec("CREATE TABLE seen (id); CREATE TRIGGER s AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (new.id); END");
    let query = "INSERT INTO t SELECT count(*) + 1, ? FROM t RETURNING id";
    let outcome = db.many(query, json!([["a"], [null], [2.5]]));
    assert_eq!(outcome["counts"]["rows_written"], json!(6), "{outcome}");
    assert_eq!(rows(&db), json!([[1, "a"], [2, null], [3, 2.5]]));
    assert_eq!(db.rows("SELECT id FROM seen", json!([])), json!([[1], [2], [3]]));
}

fn em_4_a_group_that_fails_undoes_the_call_alone_and_is_named() {
    let db = with_table();
    let outcomes = db.call(
        "run",
        json!([[
            {"query": "INSERT INTO t VALUES (1, 'before')"},
            {"query": INSERT, "groups": [[2, "a"], [3, "b"], [1, "c"], [4, "d"]]},
            {"query": INSERT, "groups": [[5, "e"], [6, "f"]]},
        ]]),
    );
    let error = refusal(&outcomes.expect("the turn goes on")[1]);
    assert_eq!(error.name, "SQLITE_CONSTRAINT_PRIMARYKEY");
    assert!(error.message.starts_with("group 3 of 4: UNIQUE constraint failed: t.id"), "{error:?}");
    assert_eq!(rows(&db), json!([[1, "before"], [5, "e"], [6, "f"]]));
}

fn em_5_no_groups_write_nothing() {
    let db = with_table();
    assert_eq!(db.many(INSERT, json!([]))["counts"], json!({"rows_read": 0, "rows_written": 0}));
    assert_eq!(refusal(&db.many("INSERT INTO nope VALUES (?)", json!([]))).name, "SQLITE_ERROR");
    assert_eq!(rows(&db), json!([]));
}

fn em_7_a_group_that_ends_the_transaction_resets_the_object() {
    let db = with_table();
    db.exec("INSERT INTO t VALUES (1, 'kept')");
    let groups = json!([[2, "a"], [1, "b"]]);
    let steps = json!([[{"query": "DELETE FROM t"}, step_of_groups("INSERT OR ROLLBACK INTO t VALUES (?, ?)", &groups)]]);
    db.call("run", steps).expect("no row is in the way");
    assert_eq!(rows(&db), json!([[1, "b"], [2, "a"]]));
    let steps = json!([[{"query": "DELETE FROM t WHERE id = 2"}, step_of_groups("INSERT OR ROLLBACK INTO t VALUES (?, ?)", &groups)]]);
    db.call("run", steps).expect_err("the transaction is gone").assert_reset("storage-failed");
    assert_eq!(rows(&db), json!([[1, "b"], [2, "a"]]));
}

fn step_of_groups(query: &str, groups: &Value) -> Value {
    json!({"query": query, "groups": groups})
}

fn em_9_more_than_a_call_carries_is_refused_by_the_sdk_and_ends_who_sends_it_all_the_same() {
    let db = with_table();
    let insert = "INSERT INTO t (v) VALUES (?)";
    const MIB: usize = 1024 * 1024;
    let outcome = db.call("many_texts", json!([insert, 64, MIB])).expect("an outcome");
    assert_eq!(refusal(&outcome).name, "limit-exceeded");
    assert_eq!(rows(&db), json!([]));
    let sent = db.call("many_texts_unchecked", json!([insert, 64, MIB]));
    sent.expect_err("too much for a call").assert_reset("guest-trapped");
    assert_eq!(rows(&db), json!([]));
    let outcome = db.call("many_texts", json!([insert, 3, MIB])).expect("an outcome");
    assert_eq!(outcome["counts"]["rows_written"], json!(3), "{outcome}");
}

fn em_10_what_was_written_goes_with_its_turn() {
    let db = with_table();
    let write = step_of_groups(INSERT, &json!([[1, "a"], [2, "b"]]));
    db.call("run_and_trap", json!([[write]])).expect_err("a trap").assert_reset("guest-trapped");
    assert_eq!(rows(&db), json!([]));
    db.call("run", json!([[write]])).expect("written");
    assert_eq!(rows(&db), json!([[1, "a"], [2, "b"]]));
}

fn em_11_groups_by_the_thousands_are_one_write_wherever_they_run() {
    let db = with_table();
    let insert = "INSERT INTO t (id) VALUES (? + (SELECT count(*) FROM t))";
    // Not known, slow for so many, cheap for few.
    for count in [1_000, 5_000, 10] {
        db.exec("DELETE FROM t");
        let outcome = db.call("many_numbers", json!([insert, count])).expect("an outcome");
        assert_eq!(outcome["counts"]["rows_written"], json!(count), "{outcome}");
        let expected = json!([[count, 2 * (count - 1)]]);
        assert_eq!(db.rows("SELECT count(*), max(id) FROM t", json!([])), expected);
    }
    // The last of them is there already.
    db.run(&[step("DELETE FROM t"), step("INSERT INTO t VALUES (4999, 'there')")]);
    let outcome =
        db.call("many_numbers", json!(["INSERT INTO t (id) VALUES (?)", 5_000])).expect("an outcome");
    refusal(&outcome).assert_says("group 5000 of 5000: UNIQUE constraint failed");
    assert_eq!(rows(&db), json!([[4999, "there"]]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    em_1_only_one_statement_that_writes_is_taken,
    em_2_each_group_has_one_value_for_each_parameter,
    em_3_and_em_6_groups_run_in_order_and_are_counted_together,
    em_4_a_group_that_fails_undoes_the_call_alone_and_is_named,
    em_5_no_groups_write_nothing,
    em_7_a_group_that_ends_the_transaction_resets_the_object,
    em_9_more_than_a_call_carries_is_refused_by_the_sdk_and_ends_who_sends_it_all_the_same,
    em_10_what_was_written_goes_with_its_turn,
    em_11_groups_by_the_thousands_are_one_write_wherever_they_run,
];
