//! Counts of rows and the size of the database (SQ-15, SQ-26).
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use super::*;

fn things(f: &mut Fixture, count: u32) {
    f.exec("CREATE TABLE things(id INTEGER PRIMARY KEY, n)");
    let fill = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) \
                INSERT INTO things SELECT x, x FROM c";
    f.exec_with(fill, &integers(&[count.into()]));
}

fn counts(f: &mut Fixture, query: &str) -> (u64, u64) {
    let counts = f.exec(query).counts;
    (counts.rows_read, counts.rows_written)
}

#[test]
fn c_134_the_cursor_is_one_row_ahead() {
    let mut f = fixture();
    things(&mut f, 10);
    let result = f.database.exec("SELECT * FROM things", &[], 0).expect("exec");
    let cursor = result.rest.expect("rest");
    assert_eq!(result.counts.rows_read, 1);
    for taken in 1..=10 {
        f.database.cursor_next(cursor, 1).expect("row");
        assert_eq!(f.database.cursor_counts(cursor).rows_read, (taken + 1).min(10));
    }
}

#[test]
fn c_135_scans_count_what_they_visit() {
    let mut f = fixture();
    things(&mut f, 1000);
    for (query, read) in [
        ("SELECT * FROM things", 1000),
        ("SELECT * FROM things WHERE n = 500", 1000),
        ("SELECT * FROM things WHERE n = 5000", 1000),
        ("SELECT * FROM things WHERE id = 5", 1),
        ("SELECT * FROM things LIMIT 5", 5),
        ("SELECT max(n) FROM things", 1000),
        ("SELECT min(id) FROM things", 1),
    ] {
        assert_eq!(counts(&mut f, query), (read, 0), "{query}");
    }
}

#[test]
fn c_136_writes_count_rows() {
    let mut f = fixture();
    things(&mut f, 3);
    f.exec(
        "CREATE TABLE log(a); CREATE TRIGGER l AFTER DELETE ON things BEGIN INSERT INTO log VALUES(1); END",
    );
    for (query, written) in [
        ("INSERT INTO things VALUES(10, 1)", 1),
        ("DELETE FROM things WHERE id = 99", 0),
        ("UPDATE things SET n = 0 WHERE id < 3", 2),
        ("DELETE FROM things WHERE id < 4", 6),
    ] {
        assert_eq!(counts(&mut f, query).1, written, "{query}");
    }
}

#[test]
fn c_137_lists_of_values_are_not_rows() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1), (2)");
    assert_eq!(counts(&mut f, "SELECT * FROM t WHERE a IN (1,2,3,4,5,6)"), (2, 0));
}

#[test]
fn c_138_cursors_count_their_own_rows_only() {
    let mut f = fixture();
    things(&mut f, 10);
    let mut open = || f.database.exec("SELECT * FROM things", &[], 0).expect("exec").rest.expect("rest");
    let (a, b) = (open(), open());
    f.database.cursor_next(a, 4).expect("rows");
    f.database.cursor_next(b, 1).expect("rows");
    assert_eq!(f.database.cursor_counts(a).rows_read, 5);
    assert_eq!(f.database.cursor_counts(b).rows_read, 2);
}

#[test]
fn c_139_a_row_over_many_pages_counts_once() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    assert_eq!(counts(&mut f, "INSERT INTO t VALUES(zeroblob(100000))").1, 1);
    assert_eq!(counts(&mut f, "SELECT a FROM t"), (1, 0));
}

#[test]
fn c_140_the_size_is_that_within_the_turn() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    let before = f.database.database_size().expect("size");
    assert_eq!(before % 4096, 0);
    f.exec("CREATE TABLE u(a)");
    assert_eq!(f.database.database_size().expect("size"), before + 4096);
    f.exec("DROP TABLE u");
    assert_eq!(f.database.database_size().expect("size"), before);
}

#[test]
fn the_cost_is_that_of_the_last_call_also_of_one_that_failed() {
    let mut f = fixture();
    things(&mut f, 1000);
    f.exec("SELECT n FROM things WHERE id = 1");
    let one_row = f.database.cost();
    assert!((1..100).contains(&one_row), "{one_row} steps");
    f.exec("SELECT sum(n) FROM things");
    let all_rows = f.database.cost();
    assert!(all_rows > 1000, "{all_rows} steps");
    // Statements of one text count together.
    f.exec("SELECT sum(n) FROM things; UPDATE things SET n = n; SELECT 1");
    assert!(f.database.cost() > 2 * all_rows, "{} steps", f.database.cost());
    f.database
        .exec("SELECT sum(abs(n - 1000 - 9223372036854775308)) FROM things", &[], 1)
        .expect_err("overflow");
    assert!(f.database.cost() > 100, "{} steps before the error", f.database.cost());
    f.database.exec("SELECT nothing", &[], 1).expect_err("no such column");
    assert_eq!(f.database.cost(), 0);
}

#[test]
fn reading_on_costs_what_it_adds() {
    let mut f = fixture();
    things(&mut f, 1000);
    let cursor = f.database.exec("SELECT n FROM things", &[], 1).expect("exec").rest.expect("rest");
    let first = f.database.cost();
    f.database.cursor_next(cursor, 1).expect("row");
    assert!((1..=first).contains(&f.database.cost()), "{} steps", f.database.cost());
    f.database.cursor_next(cursor, 2000).expect("rows");
    assert!(f.database.cost() > 900, "{} steps", f.database.cost());
    f.database.cursor_next(cursor, 1).expect("the end");
    assert_eq!(f.database.cost(), 0);
}
