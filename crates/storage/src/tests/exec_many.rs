//! One writing statement for many groups of bindings (EM-1 to EM-11); on a full disk: `full_disk`.
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::ffi;

use super::*;
use crate::error::StorageError;
use crate::statement::Counts;

const INSERT: &str = "INSERT INTO t VALUES(?, ?)";

impl Fixture {
    fn many(&mut self, query: &str, groups: u32, bindings: &[Value]) -> Counts {
        let counts = self.database.exec_many(query, groups, bindings);
        counts.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    fn many_error(&mut self, query: &str, groups: u32, bindings: &[Value]) -> SqlError {
        match self.database.exec_many(query, groups, bindings) {
            Ok(counts) => panic!("{query}: {counts:?}"),
            Err(error) => error,
        }
    }

    fn ids(&mut self) -> Vec<Value> {
        self.rows("SELECT id FROM t ORDER BY id")
    }
}

fn with_table() -> Fixture {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    f.end_turn().expect("commit");
    f
}

/// Groups for `INSERT`: these ids with a text each.
fn rows_of(ids: &[i64]) -> Vec<Value> {
    ids.iter().flat_map(|id| [Value::Integer(*id), text(&format!("v{id}"))]).collect()
}

#[test]
fn em_1_what_is_not_one_writing_statement_is_refused_before_anything_runs() {
    let mut f = with_table();
    for query in [
        "INSERT INTO t VALUES(?, 1); SELECT 1",
        "INSERT INTO t VALUES(7, 7); INSERT INTO t VALUES(?, 1)",
        "INSERT INTO t VALUES(?, 1); -- done",
        "INSERT INTO t VALUES(?, 1);;",
        "SELECT id FROM t WHERE id = ?",
        "EXPLAIN INSERT INTO t VALUES(?, 1)",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA table_info(t)",
    ] {
        for groups in [0, 1] {
            let error = f.many_error(query, groups, &integers(&vec![1; groups as usize]));
            assert_eq!((error.code, error.name.as_str()), (0, "not-one-write"), "{query}: {error}");
        }
    }
    // A text that `exec` has compiled and kept.
    f.exec_with("SELECT id FROM t WHERE id = ?", &integers(&[1]));
    assert_eq!(f.many_error("SELECT id FROM t WHERE id = ?", 1, &integers(&[1])).name, "not-one-write");
    assert_eq!(f.integer("PRAGMA foreign_keys"), 1);
    for query in ["", ";", "-- nothing"] {
        assert_eq!(f.many_error(query, 1, &integers(&[1])).name, "no-statement", "{query}");
    }
    assert_eq!(f.many_error("SAVEPOINT x", 1, &integers(&[1])).name, "transaction-statement");
    assert_eq!(f.many_error("CREATE TABLE _cf_x AS SELECT ?", 1, &integers(&[1])).name, "SQLITE_AUTH");
    assert_eq!(f.many_error("INSERT INTO nope VALUES(?)", 1, &integers(&[1])).name, "SQLITE_ERROR");
    assert!(!f.database.is_turn_open());
    assert_eq!(f.ids(), []);
    assert_eq!(f.exec("PRAGMA table_info(t)").rows.len(), 12, "`exec` takes them still");
}

#[test]
fn em_1_white_space_and_one_semicolon_may_follow() {
    let mut f = with_table();
    f.many("INSERT INTO t VALUES(?, 1); \t\n", 2, &integers(&[1, 2]));
    assert_eq!(f.ids(), integers(&[1, 2]));
}

#[test]
fn em_2_the_number_of_values_is_that_of_the_groups_times_the_parameters() {
    let mut f = with_table();
    for (groups, values) in [(1, 1), (1, 3), (2, 2), (2, 3), (3, 4), (0, 2), (u32::MAX, 2)] {
        let error = f.many_error(INSERT, groups, &integers(&vec![1; values]));
        assert_eq!(error.name, "wrong-bindings", "{groups} groups of {values} values");
    }
    for groups in [0, 1, 1000] {
        assert_eq!(f.many_error("INSERT INTO t VALUES(1, 1)", groups, &[]).name, "wrong-bindings");
    }
    assert!(!f.database.is_turn_open());
    // A parameter that occurs twice is one.
    f.many("INSERT INTO t VALUES(?1, ?1)", 2, &integers(&[1, 2]));
    assert_eq!(f.rows("SELECT id, v FROM t"), integers(&[1, 1, 2, 2]));
}

#[test]
fn em_3_groups_run_in_order_and_each_sees_those_before_it() {
    let mut f = with_table();
    f.many("INSERT INTO t SELECT count(*) + 1, ? FROM t", 3, &[text("a"), text("b"), text("c")]);
    assert_eq!(f.rows("SELECT v FROM t ORDER BY id"), [text("a"), text("b"), text("c")]);
    let values = [Value::Null, Value::Real(2.5), Value::Blob(vec![]), text("")];
    f.many("INSERT INTO t(v) VALUES(?)", 4, &values);
    assert_eq!(f.rows("SELECT v FROM t WHERE id > 3 ORDER BY id"), values);
}

#[test]
fn em_3_rows_that_are_returned_are_dropped_however_many() {
    let mut f = with_table();
    let mebibyte = text(&"x".repeat(1 << 20));
    // More than `exec` keeps.
    let bindings = vec![mebibyte; 12];
    let written = f.many("INSERT INTO t(v) VALUES(1) RETURNING ?, id", 12, &bindings).rows_written;
    assert_eq!((written, f.integer("SELECT count(*) FROM t")), (12, 12));
}

#[test]
fn em_4_a_group_that_fails_undoes_all_of_the_call_and_nothing_else() {
    let mut f = with_table();
    f.exec_with(INSERT, &[Value::Integer(5), Value::Null]);
    for _ in 0..2 {
        let error = f.many_error(INSERT, 4, &rows_of(&[1, 2, 5, 6]));
        assert_eq!(
            error.message,
            "group 3 of 4: UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)"
        );
        assert_eq!(error.code, ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
        assert_eq!(f.ids(), integers(&[5]));
    }
    f.many(INSERT, 2, &rows_of(&[1, 6]));
    assert!(f.end_turn().is_some());
    f.reset();
    assert_eq!(f.ids(), integers(&[1, 5, 6]));
}

#[test]
fn em_4_rows_that_or_fail_would_keep_go_as_well() {
    let mut f = with_table();
    let query = "INSERT OR FAIL INTO t VALUES(?1, 0), (?2, 0)";
    f.many_error(query, 1, &integers(&[1, 1]));
    f.many_error(query, 2, &integers(&[1, 2, 3, 1]));
    assert_eq!(f.ids(), []);
    f.many("INSERT OR IGNORE INTO t VALUES(?1, 0), (?2, 0)", 2, &integers(&[1, 2, 3, 1]));
    assert_eq!(f.ids(), integers(&[1, 2, 3]));
}

#[test]
fn em_4_what_is_deferred_and_who_reads_meanwhile_are_as_before() {
    let mut f = with_table();
    f.exec("CREATE TABLE child(id PRIMARY KEY, p REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)");
    f.end_turn().expect("commit");
    f.many(INSERT, 3, &rows_of(&[1, 2, 3]));
    let reading = f.database.exec("SELECT id FROM t ORDER BY id", &[], 1).expect("reads").rest.expect("rows");
    let error = f.many_error("INSERT INTO child VALUES(?, ?)", 2, &integers(&[1, 99, 1, 1]));
    assert!(error.message.starts_with("group 2 of 2: UNIQUE"), "{error}");
    assert_eq!(f.database.cursor_next(reading, 10), Ok(integers(&[2, 3])));
    f.end_turn().expect("no constraint is violated");
}

#[test]
fn em_5_nothing_is_run_for_no_groups() {
    let mut f = with_table();
    assert_eq!(f.many(INSERT, 0, &[]), Counts::default());
    assert!(!f.database.is_turn_open());
    assert_eq!(f.many_error("INSERT INTO nope VALUES(?)", 0, &[]).name, "SQLITE_ERROR");
}

#[test]
fn em_6_counts_are_those_of_each_group_together() {
    let mut f = with_table();
    f.exec(
        "CREATE TABLE log(a); CREATE TRIGGER l AFTER INSERT ON t BEGIN INSERT INTO log VALUES(new.id); END",
    );
    assert_eq!(f.many(INSERT, 3, &rows_of(&[1, 2, 3])), Counts { rows_read: 0, rows_written: 6 });
    let update = "UPDATE t SET v = 0 WHERE v <> ?";
    let one_by_one: Vec<Counts> =
        ["v1", "v2", "v3"].iter().map(|v| f.exec_with(update, &[text(v)]).counts).collect();
    let sum = |part: fn(&Counts) -> u64| one_by_one.iter().map(part).sum();
    let expected = Counts { rows_read: sum(|c| c.rows_read), rows_written: sum(|c| c.rows_written) };
    assert!(expected.rows_read >= 9, "{expected:?}");
    f.exec("UPDATE t SET v = 'v' || id");
    assert_eq!(f.many(update, 3, &[text("v1"), text("v2"), text("v3")]), expected);
}

#[test]
fn em_7_a_group_that_ends_the_transaction_poisons_and_names_no_group() {
    let mut f = with_table();
    f.exec_with(INSERT, &rows_of(&[1]));
    f.end_turn().expect("commit");
    f.exec_with(INSERT, &rows_of(&[2]));
    let error = f.many_error("INSERT OR ROLLBACK INTO t VALUES(?, ?)", 2, &rows_of(&[3, 1]));
    assert!(error.message.starts_with("UNIQUE constraint failed"), "{error}");
    assert_eq!(f.error("SELECT 1"), error);
    assert_eq!(f.many_error(INSERT, 1, &rows_of(&[4])), error);
    assert!(matches!(f.database.end_turn(), Err(StorageError::Poisoned(poison)) if poison == error));
    f.reset();
    assert_eq!(f.ids(), integers(&[1]));
}

#[test]
fn em_7_an_interrupt_between_groups_undoes_the_turn() {
    let mut f = with_table();
    f.exec_with(INSERT, &rows_of(&[1]));
    let brake = f.database.interrupt_handle();
    brake.interrupt();
    // Each group is far too short for SQLite to look.
    let error = f.many_error(INSERT, 3, &rows_of(&[2, 3, 4]));
    assert_eq!(error.message, "interrupted: SQLITE_INTERRUPT");
    brake.allow();
    assert!(f.database.was_interrupted());
    assert_eq!(f.error("SELECT 1"), error);
    f.database.end_turn().expect_err("poisoned");
    f.reset();
    assert_eq!(f.ids(), []);
}

#[test]
fn em_7_an_interrupt_within_a_group_lets_no_further_one_run() {
    let mut f = with_table();
    f.exec_with(INSERT, &rows_of(&[1]));
    let brake = f.database.interrupt_handle();
    let rows = Arc::new(AtomicUsize::new(0));
    // As an event's limit does in the midst of a call, here in the second group.
    f.database.connection.on_each_row({
        let (brake, rows) = (brake.clone(), rows.clone());
        move || {
            if rows.fetch_add(1, Ordering::Relaxed) == 1 {
                brake.interrupt();
            }
        }
    });
    let error = f.many_error(INSERT, 4, &rows_of(&[2, 3, 4, 5]));
    assert_eq!(error.message, "interrupted: SQLITE_INTERRUPT");
    assert_eq!(rows.load(Ordering::Relaxed), 2, "further groups ran");
    brake.allow();
    assert!(f.database.was_interrupted());
    f.database.end_turn().expect_err("poisoned");
    f.reset();
    assert_eq!(f.ids(), []);
}

#[test]
fn em_9_limits_hold_for_the_whole_call() {
    let mut f =
        fixture_with(DatabaseOptions { transaction_bytes_max: 256 * 1024, ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    f.end_turn().expect("commit");
    let error = f.many_error(
        INSERT,
        2,
        &[Value::Integer(1), text("a"), Value::Integer(2), text(&"x".repeat(4_194_305))],
    );
    assert_eq!(error.message, "group 2 of 2: string or blob too big: SQLITE_TOOBIG");
    assert_eq!(f.ids(), []);
    let page = text(&"x".repeat(4000));
    let bindings: Vec<Value> = (0..200).flat_map(|id| [Value::Integer(id), page.clone()]).collect();
    let error = f.many_error(INSERT, 200, &bindings);
    assert_eq!(error.message, "database or disk is full: SQLITE_FULL");
    f.database.end_turn().expect_err("poisoned");
    f.reset();
    assert_eq!(f.ids(), []);
}

#[test]
fn em_10_it_belongs_to_the_turn_and_its_savepoint_and_holds_back_what_leaves() {
    let mut f = with_table();
    f.many(INSERT, 2, &rows_of(&[1, 2]));
    assert!(f.database.is_turn_confirmed());
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.many(INSERT, 2, &rows_of(&[3, 4]));
    f.many_error(INSERT, 2, &rows_of(&[5, 4]));
    assert_eq!(f.ids(), integers(&[1, 2, 3, 4]));
    f.database.savepoint_rollback(savepoint).expect("rolled back");
    assert_eq!(f.ids(), integers(&[1, 2]));
    f.end_turn().expect("commit");
    let transaction = f.database.transaction_begin().expect("begin");
    f.many(INSERT, 2, &rows_of(&[3, 4]));
    assert_eq!(f.end_turn(), None);
    f.database.transaction_rollback(transaction).expect("rolled back");
    assert_eq!(f.ids(), integers(&[1, 2]));
}

#[test]
fn em_11_the_cost_is_that_of_one_group() {
    let mut f = with_table();
    f.many(INSERT, 1, &rows_of(&[1]));
    let of_one = f.database.cost();
    let ids: Vec<i64> = (2..1002).collect();
    f.many(INSERT, 1000, &rows_of(&ids));
    let of_many = f.database.cost();
    assert!((5..50).contains(&of_one) && of_many.abs_diff(of_one) <= 2, "{of_one} and {of_many}");
    // Of those that ran: the others say nothing.
    f.many_error(INSERT, 1000, &rows_of(&[vec![1], ids[1..].to_vec()].concat()));
    assert!(f.database.cost().abs_diff(of_one) <= 10, "{}", f.database.cost());
}
