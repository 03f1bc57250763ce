//! SQL: limits on statements, values and the size of the database (SQ-24, SQ-25).
//!
//! Each limit is met exactly and then exceeded by one.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{TestNode, guest};

use super::database::{Database, step};
use super::standing::{DATABASE_PAGES_MAX, tight_node};

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (1..=count).map(item).collect::<Vec<_>>().join(", ")
}

fn c_159_five_terms_of_a_compound_select() {
    let db = Database::new();
    let compound = |terms: usize| vec!["SELECT 1"; terms].join(" UNION ALL ");
    assert_eq!(db.rows(&compound(5), json!([])), json!([[1], [1], [1], [1], [1]]));
    db.error(&compound(6), json!([])).assert_says("too many terms in compound SELECT");
}

fn c_160_fifty_bytes_of_a_like_pattern() {
    let db = Database::new();
    let sql = "SELECT 'b' LIKE ?";
    assert_eq!(db.value(sql, json!(["a".repeat(50)])), json!(0));
    db.error(sql, json!(["a".repeat(51)])).assert_says("LIKE or GLOB pattern too complex");
}

fn c_161_a_hundred_parameters() {
    let db = Database::new();
    let bindings = |count: usize| -> Value { (1..=count).collect::<Vec<_>>().into() };
    assert_eq!(db.value("SELECT ?100", bindings(100)), json!(100));
    db.error("SELECT ?101", bindings(101)).assert_says("variable number must be between ?1 and ?100");
}

fn c_162_a_hundred_thousand_bytes_of_statement() {
    let db = Database::new();
    let statement =
        |bytes: usize| format!("SELECT length('{}')", "x".repeat(bytes - "SELECT length('')".len()));
    assert_eq!(statement(100_000).len(), 100_000);
    assert_eq!(db.value(&statement(100_000), json!([])), json!(100_000 - "SELECT length('')".len()));
    db.error(&statement(100_001), json!([])).assert_says("statement too long");
}

fn c_163_a_hundred_columns() {
    let db = Database::new();
    let table = |columns: usize| format!("CREATE TABLE t{columns} ({})", list(columns, |n| format!("c{n}")));
    db.exec(&table(100));
    db.error(&table(101), json!([])).assert_says("too many columns");
    let select = |columns: usize| format!("SELECT {}", list(columns, |n| n.to_string()));
    assert_eq!(db.query(&select(100), json!([]))["columns"].as_array().map(Vec::len), Some(100));
    db.error(&select(101), json!([])).assert_says("too many columns");
}

fn c_164_a_hundred_and_twenty_seven_arguments() {
    let db = Database::new();
    let max = |arguments: usize| format!("SELECT max({})", list(arguments, |n| n.to_string()));
    assert_eq!(db.value(&max(127), json!([])), json!(127));
    db.error(&max(128), json!([])).assert_says("too many arguments on function max");
}

fn a_value_of_more_than_4_mib_is_refused() {
    let db = Database::new();
    const MAX: usize = 4 * 1024 * 1024;
    assert_eq!(db.value("SELECT length(zeroblob(?))", json!([MAX])), json!(MAX));
    db.error("SELECT zeroblob(?)", json!([MAX + 1])).assert_says("string or blob too big: SQLITE_TOOBIG");
}

fn c_165_a_full_database_works_again_once_rows_are_deleted() {
    let db = Database::of(tight_node().fresh(guest::SQL, "Sql"));
    let page = json!([4000]);
    let insert = "INSERT INTO t VALUES (randomblob(?))";
    db.exec("CREATE TABLE t (a)");
    let mut kept = 0;
    let error = loop {
        match db.call("run", json!([[{"query": insert, "bindings": page}]])) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept <= DATABASE_PAGES_MAX, "the database grows beyond its limit");
    };
    error.assert_says("database or disk is full");
    error.assert_reset("storage-failed");
    assert!(kept > DATABASE_PAGES_MAX / 2, "only {kept} rows fit");
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(kept));
    db.exec("DELETE FROM t");
    db.query(insert, page);
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(1));
}

fn c_084_a_full_database_undoes_the_turn_and_resets_the_object() {
    let db = Database::of(tight_node().fresh(guest::SQL, "Sql"));
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, NULL)");
    let error = db.run_fails(&[
        step("INSERT INTO t VALUES (2, NULL)"),
        step("INSERT INTO t VALUES (3, zeroblob(1000000))"),
        step("INSERT INTO t VALUES (4, NULL)"),
    ]);
    error.assert_says("database or disk is full: SQLITE_FULL");
    error.assert_reset("storage-failed");
    assert_eq!(db.rows("SELECT id FROM t", json!([])), json!([[1]]));
}

fn a_turn_of_many_megabytes_commits_as_one_and_survives_a_restart() {
    const FILL: &str = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)
         INSERT INTO t SELECT randomblob(1000000) FROM c";
    let mut node =
        TestNode::with(TestConfig::with_limits(|limits| limits.transaction_bytes_max = 32 * 1024 * 1024));
    let db = Database::of(node.object(guest::SQL, "Sql", "large"));
    db.exec("CREATE TABLE t (a)");
    db.query(FILL, json!([20]));
    let error = db.run_fails(&[step("INSERT INTO t VALUES (1)"), (FILL, json!([60]))]);
    error.assert_says("database or disk is full: SQLITE_FULL");
    error.assert_reset("storage-failed");
    node.restart();
    let db = Database::of(node.object(guest::SQL, "Sql", "large"));
    assert_eq!(db.rows("SELECT count(*), sum(length(a)) FROM t", json!([])), json!([[20, 20_000_000]]));
    assert_eq!(db.value("PRAGMA quick_check", json!([])), json!("ok"));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_159_five_terms_of_a_compound_select,
    c_160_fifty_bytes_of_a_like_pattern,
    c_161_a_hundred_parameters,
    c_162_a_hundred_thousand_bytes_of_statement,
    c_163_a_hundred_columns,
    c_164_a_hundred_and_twenty_seven_arguments,
    a_value_of_more_than_4_mib_is_refused,
    c_165_a_full_database_works_again_once_rows_are_deleted,
    c_084_a_full_database_undoes_the_turn_and_resets_the_object,
    a_turn_of_many_megabytes_commits_as_one_and_survives_a_restart,
];
