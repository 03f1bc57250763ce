//! SQL that wants to take the node's memory, its disk or its time: cut, undone, and nobody else is hurt.
//!
//! Endless statements that only take time are in `limits`.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{ErrorRecord, TestNode, guest};

use super::database::{Database, Step, step};
use super::standing::{node, strict_node};

const SQL_MEMORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A node that gives little memory to SQL.
fn lean_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        let limits = TestConfig::with_limits(|limits| limits.sql_memory_bytes_max = SQL_MEMORY_BYTES_MAX);
        TestNode::with(limits)
    })
}

/// Runs a turn that must fail. Meanwhile a neighbour is answered; afterwards the object is, without what
/// the turn had written.
fn fails_alone(steps: &[Step<'_>]) -> ErrorRecord {
    let fresh = || Database::of(lean_node().fresh(guest::SQL, "Sql"));
    let (db, neighbour) = (fresh(), fresh());
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, parent, a)");
    db.exec(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO t SELECT i, i - 1, randomblob(500000) FROM n",
    );
    let mut turn = vec![step("DELETE FROM t WHERE id = 40")];
    turn.extend_from_slice(steps);
    let error = thread::scope(|scope| {
        let failing = scope.spawn(|| db.run_fails(&turn));
        while !failing.is_finished() {
            assert_eq!(neighbour.value("SELECT 1", json!([])), json!(1));
        }
        failing.join().expect("a client panicked")
    });
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(40));
    error
}

fn b_11_a_recursive_query_over_large_rows_is_cut_at_the_memory_of_sql() {
    let error = fails_alone(&[step(
        "WITH RECURSIVE r(id, a) AS (SELECT id, a FROM t WHERE id = 1
         UNION ALL SELECT t.id, t.a FROM t JOIN r ON t.parent = r.id)
         SELECT id FROM (SELECT id, a FROM r ORDER BY a LIMIT -1 OFFSET 1)",
    )]);
    error.assert_reset("memory-limit-exceeded");
    error.assert_says("more than 8388608 bytes of memory");
}

fn a_sort_without_end_is_cut_at_the_memory_of_sql() {
    let error = fails_alone(&[step(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i FROM n ORDER BY i % 7 LIMIT -1 OFFSET 1",
    )]);
    error.assert_reset("memory-limit-exceeded");
    error.assert_says("SQLITE_NOMEM");
}

fn a_group_concat_without_end_is_cut_at_the_cpu_limit() {
    let db = Database::of(strict_node().fresh(guest::SQL, "Sql"));
    // Its value stops growing at the largest that there may be, but its rows do not end.
    let error = db.run_fails(&[step(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT group_concat(i) FROM n",
    )]);
    error.assert_reset("cpu-limit-exceeded");
    assert_eq!(db.value("SELECT 1", json!([])), json!(1));
}

fn a_transaction_of_a_gigabyte_is_cut_and_undone() {
    let db = Database::of(node().fresh(guest::SQL, "Sql"));
    db.exec("CREATE TABLE t (a)");
    let error = db.run_fails(&[step(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1074)
         INSERT INTO t SELECT zeroblob(1000000) FROM n",
    )]);
    error.assert_reset("storage-failed");
    error.assert_says("SQLITE_FULL");
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(0));
}

fn functions_that_search_long_texts_take_little_time() {
    // Quadratic ones would take minutes and be cut by the usual limit.
    let db = Database::of(node().fresh(guest::SQL, "Sql"));
    let found = db.rows(
        "WITH t(hay) AS (SELECT replace(hex(zeroblob(1000000)), '00', 'aa'))
         SELECT instr(hay, substr(hay, 1, 900000) || 'b'),
                length(replace(hay, substr(hay, 1, 900000) || 'b', '')) FROM t",
        json!([]),
    );
    assert_eq!(found, json!([[0, 2_000_000]]));
}

fn an_operators_sql_without_end_is_cut_and_undone_and_the_object_goes_on() {
    let limits = TestConfig::with_limits(|limits| limits.operator_sql_time_max = Duration::from_millis(200));
    let node = TestNode::with(limits);
    let object = node.fresh(guest::SQL, "Sql");
    object.write_sql("CREATE TABLE t (a); INSERT INTO t VALUES (1)").expect("allowed");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    let read = object.sql(&format!("{endless} SELECT max(i) FROM n")).expect_err("cut");
    assert_eq!(read.code, "sql-failed");
    read.assert_says("interrupted");
    object.write_sql(&format!("INSERT INTO t {endless} SELECT max(i) FROM n")).expect_err("cut");
    let left = object.sql("SELECT count(*) FROM t").expect("the object goes on");
    assert_eq!(left["rows"], json!([[1]]));
}

fn an_operators_sql_is_not_charged_to_the_guest() {
    let object = strict_node().fresh(guest::FAULTS, "Faults");
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
    // Longer than an event of the guest could take: 0.7 s.
    let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000)
                 SELECT count(*) FROM n";
    assert_eq!(object.sql(count).expect("answered")["rows"], json!([[4_000_000]]));
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
    assert_eq!(object.listed().expect("in memory")["resets"], json!(0));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    b_11_a_recursive_query_over_large_rows_is_cut_at_the_memory_of_sql,
    a_sort_without_end_is_cut_at_the_memory_of_sql,
    a_group_concat_without_end_is_cut_at_the_cpu_limit,
    a_transaction_of_a_gigabyte_is_cut_and_undone,
    functions_that_search_long_texts_take_little_time,
    an_operators_sql_without_end_is_cut_and_undone_and_the_object_goes_on,
    an_operators_sql_is_not_charged_to_the_guest,
];
