//! Limits of statements and of the database (SQ-24, SQ-25, OG-10).
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use super::*;
use crate::error::StorageError;

#[test]
fn c_159_terms_of_a_compound_select() {
    let mut f = fixture();
    f.exec(&["SELECT 1"; 5].join(" UNION ALL "));
    f.assert_fails(&["SELECT 1"; 6].join(" UNION ALL "), "too many terms in compound SELECT");
}

#[test]
fn c_160_length_of_a_pattern() {
    let mut f = fixture();
    f.exec_with("SELECT 'a' LIKE ?", &[text(&"%".repeat(50))]);
    let error = f.error_with("SELECT 'a' LIKE ?", &[text(&"%".repeat(51))]);
    assert!(error.message.contains("LIKE or GLOB pattern too complex"), "{error}");
}

#[test]
fn c_161_number_of_bindings() {
    let mut f = fixture();
    f.exec_with("SELECT ?100", &integers(&[1; 100]));
    f.assert_fails("SELECT ?101", "variable number must be between ?1 and ?100");
}

#[test]
fn c_162_length_of_a_statement() {
    let mut f = fixture();
    let query = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - 9));
    f.exec(&query(100_000));
    f.assert_fails(&query(100_001), "statement too long");
}

#[test]
fn c_163_number_of_columns() {
    let mut f = fixture();
    let columns = |count: usize| (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    f.exec(&format!("CREATE TABLE a({})", columns(100)));
    f.assert_fails(&format!("CREATE TABLE b({})", columns(101)), "too many columns");
    f.assert_fails(&format!("SELECT {}", ["1"; 101].join(",")), "too many columns");
}

#[test]
fn c_164_number_of_arguments() {
    let mut f = fixture();
    f.exec(&format!("SELECT max({})", ["1"; 127].join(",")));
    f.assert_fails(&format!("SELECT max({})", ["1"; 128].join(",")), "too many arguments on function max");
}

#[test]
fn values_over_4_mib_are_refused() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    let error = f.error("INSERT INTO t VALUES(zeroblob(4194305))");
    assert!(error.message.contains("string or blob too big: SQLITE_TOOBIG"), "{error}");
    let error = f.error_with("SELECT ?", &[Value::Blob(vec![0; 4_194_305])]);
    assert_eq!(error.name, "SQLITE_TOOBIG");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}

fn small() -> Fixture {
    let mut f = fixture_with(DatabaseOptions { pages_max: 20, ..Default::default() });
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, zeroblob(30000))");
    f.end_turn().expect("commit");
    f
}

#[test]
fn c_084_a_full_database_poisons_the_instance() {
    let mut f = small();
    f.exec("INSERT INTO t VALUES(2, NULL)");
    let text = "database or disk is full: SQLITE_FULL";
    assert_eq!(f.error("INSERT INTO t VALUES(3, zeroblob(1000000))").message, text);
    f.assert_fails("INSERT INTO t VALUES(4, NULL)", text);
    f.assert_fails("SELECT 1", text);
    let error = f.database.end_turn().expect_err("poisoned");
    assert!(matches!(error, StorageError::Poisoned(_)) && error.to_string().contains(text), "{error}");
    f.reset();
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
    f.exec("INSERT INTO t VALUES(2, NULL)");
    f.end_turn().expect("commit");
}

#[test]
fn c_165_at_the_limit_rows_can_be_deleted_by_a_new_instance() {
    let mut f = small();
    f.assert_fails("INSERT INTO t VALUES(2, zeroblob(60000))", "database or disk is full");
    f.reset();
    f.exec("DELETE FROM t");
    f.exec("INSERT INTO t VALUES(2, zeroblob(30000))");
    f.end_turn().expect("commit");
}

#[test]
fn a_transaction_over_its_limit_fails_with_full_and_is_undone() {
    let options = DatabaseOptions { transaction_bytes_max: 4 * 1024 * 1024, ..Default::default() };
    let mut f = fixture_with(options);
    f.exec("CREATE TABLE t(b)");
    f.end_turn().expect("commit");
    let mut failed = None;
    for _ in 0..20 {
        if let Err(error) = f.database.exec("INSERT INTO t VALUES(zeroblob(500000))", &[], 0) {
            failed = Some(error);
            break;
        }
    }
    assert_eq!(failed.expect("failure").message, "database or disk is full: SQLITE_FULL");
    assert!(f.database.end_turn().is_err());
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
    f.exec("INSERT INTO t VALUES(zeroblob(500000))");
    f.end_turn().expect("commit");
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM t"), 1);
}

/// Three million numbers, more than fit into the memory of a statement.
const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)";

fn small_memory() -> Fixture {
    fixture_with(DatabaseOptions { memory_bytes_max: 4 * 1024 * 1024, ..Default::default() })
}

#[test]
fn statements_without_end_in_memory_are_cut_at_its_limit() {
    let sort = format!(
        "{MANY} SELECT max(r) FROM (SELECT i AS r FROM n ORDER BY hex(randomblob(16)) LIMIT -1 OFFSET 1)"
    );
    let distinct = format!("{MANY} SELECT count(DISTINCT i) FROM n");
    let array = format!("{MANY} SELECT length(json_group_array(i)) FROM n");
    let rows = "WITH RECURSIVE n(i, b) AS (SELECT 1, zeroblob(1000000) UNION SELECT i + 1, randomblob(1000000) \
                FROM n WHERE i < 1000) SELECT max(i) FROM n ORDER BY b";
    for query in [&sort, &distinct, &array, rows] {
        let mut f = small_memory();
        let error = f.error(query);
        assert_eq!(error.name, "SQLITE_NOMEM", "{query}: {error}");
        assert!(error.message.contains("more than 4194304 bytes of memory"), "{query}: {error}");
        assert_eq!(f.error("SELECT 1"), error);
    }
}

#[test]
fn what_sqlite_puts_aside_for_a_statement_is_memory_that_counts() {
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) \
                INSERT INTO t SELECT i, randomblob(1000) FROM n";
    // The last row breaks the rule when all before it are changed: what they were is put aside meanwhile.
    let change = "UPDATE t SET a = CASE a WHEN 4000 THEN 10001 ELSE a + 10000 END, b = randomblob(1000)";
    for (memory_bytes_max, refusal) in [(64 << 20, "UNIQUE constraint failed"), (4 << 20, "bytes of memory")]
    {
        let mut f = fixture_with(DatabaseOptions { memory_bytes_max, ..Default::default() });
        f.exec("CREATE TABLE t(a UNIQUE, b)");
        f.exec(fill);
        f.end_turn();
        f.assert_fails(change, refusal);
        if f.database.poisoned().is_some() {
            f.reset();
        }
        assert_eq!(f.integer("SELECT max(a) FROM t"), 4000, "{refusal}");
    }
}

#[test]
fn memory_that_is_used_and_given_back_counts_no_more() {
    let mut f = small_memory();
    let sort = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                SELECT i FROM n ORDER BY hex(randomblob(50))";
    for _ in 0..20 {
        let rest = f.exec(sort).rest.expect("rows are left");
        f.database.cursor_close(rest);
    }
    // One cursor is always open, so that nothing is forgotten.
    let first = f.exec(sort).rest.expect("rows are left");
    for _ in 0..20 {
        let rest = f.exec(sort).rest.expect("rows are left");
        f.database.cursor_close(rest);
    }
    f.database.cursor_close(first);
}

#[test]
fn open_cursors_share_the_memory_of_the_object() {
    let mut f = small_memory();
    let sort = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                SELECT i FROM n ORDER BY hex(randomblob(50))";
    let error = (0..20).find_map(|_| f.database.exec(sort, &[], 1).err()).expect("a refusal");
    assert_eq!(error.name, "SQLITE_NOMEM", "{error}");
}
