//! Cursors: order, names, interleaving, the end of a turn (SQ-8 to SQ-14).
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use super::*;
use crate::database::CursorId;
use durabo_model::limits::CURSORS_KEPT_BYTES_MAX;

fn numbers(f: &mut Fixture, count: u32) {
    f.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, pad)");
    let fill = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) \
                INSERT INTO t SELECT x, printf('%1000d', x) FROM c";
    f.exec_with(fill, &integers(&[count.into()]));
}

fn open(f: &mut Fixture, query: &str) -> CursorId {
    f.database.exec(query, &[], 0).expect("exec").rest.expect("cursor")
}

#[test]
fn c_124_c_125_rows_come_in_order_and_the_end_stays_the_end() {
    let mut f = fixture();
    numbers(&mut f, 3);
    let cursor = open(&mut f, "SELECT n FROM t");
    assert_eq!(f.database.cursor_next(cursor, 1).expect("next"), integers(&[1]));
    assert_eq!(f.database.cursor_next(cursor, 10).expect("next"), integers(&[2, 3]));
    for _ in 0..2 {
        assert_eq!(f.database.cursor_next(cursor, 10).expect("end"), []);
    }
    f.database.cursor_close(cursor);
    assert_eq!(f.database.cursor_next(cursor, 1).expect_err("closed").name, "cursor-closed");
}

#[test]
fn c_126_c_127_one_row_more_tells_one_from_many() {
    let mut f = fixture();
    numbers(&mut f, 2);
    assert!(f.database.exec("SELECT n FROM t WHERE n = 1", &[], 1).expect("one").rest.is_none());
    assert!(f.database.exec("SELECT n FROM t", &[], 1).expect("many").rest.is_some());
}

#[test]
fn c_128_c_129_c_131_names_keep_duplicates_and_source_texts() {
    let mut f = fixture();
    let result = f.exec("SELECT 1 AS a, 2 AS b, 3 AS a");
    assert_eq!((result.columns.join(","), result.rows), ("a,b,a".to_owned(), integers(&[1, 2, 3])));
    let result = f.exec_with("SELECT count(*), 'hello', ?", &integers(&[1]));
    assert_eq!(result.columns, ["count(*)", "'hello'", "?"]);
}

#[test]
fn c_130_names_of_statements_without_rows() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a, b)");
    assert!(f.exec("UPDATE t SET a = 1").columns.is_empty());
    assert_eq!(f.exec("SELECT a, b FROM t").columns, ["a", "b"]);
}

#[test]
fn c_132_the_same_text_twice_gives_two_cursors() {
    let mut f = fixture();
    numbers(&mut f, 3);
    let (first, second) = (open(&mut f, "SELECT n FROM t"), open(&mut f, "SELECT n FROM t"));
    for cursor in [second, first] {
        assert_eq!(f.database.cursor_next(cursor, 10).expect("rows"), integers(&[1, 2, 3]));
    }
}

#[test]
fn c_133_nested_loops_give_the_full_product() {
    let mut f = fixture();
    numbers(&mut f, 3);
    let outer = open(&mut f, "SELECT n FROM t");
    let mut seen = 0;
    while !f.database.cursor_next(outer, 1).expect("outer").is_empty() {
        let inner = open(&mut f, "SELECT n FROM t ORDER BY n DESC");
        while !f.database.cursor_next(inner, 1).expect("inner").is_empty() {
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}

#[test]
fn packed_rows_are_bounded_by_bytes() {
    let mut f = fixture();
    numbers(&mut f, 10);
    let cursor = open(&mut f, "SELECT n, pad FROM t");
    let packed = f.database.cursor_next_packed(cursor, 100, 2500).expect("packed");
    assert_eq!(packed.len(), 3 * (9 + 5 + 1000));
    assert_eq!(&packed[..14], [1, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 3, 0, 0]);
}

#[test]
fn a_short_rest_is_read_ahead_when_the_turn_ends() {
    let mut f = fixture();
    numbers(&mut f, 100);
    let cursor = open(&mut f, "SELECT n FROM t");
    assert_eq!(f.database.cursor_next(cursor, 1).expect("row"), integers(&[1]));
    f.end_turn().expect("commit");
    f.exec("DELETE FROM t");
    assert_eq!(f.database.cursor_next(cursor, 1000).expect("rows").len(), 99);
}

#[test]
fn a_long_rest_answers_cursor_closed_after_the_turn() {
    let mut f = fixture();
    numbers(&mut f, 2000);
    let cursor = open(&mut f, "SELECT pad FROM t");
    f.end_turn().expect("commit");
    let error = f.database.cursor_next(cursor, 1).expect_err("closed");
    assert_eq!((error.code, error.name.as_str()), (0, "cursor-closed"));
    f.checkpoint();
}

#[test]
fn rows_of_returning_outlive_the_turn() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    let result = f.database.exec("INSERT INTO t VALUES(1), (2), (3) RETURNING a", &[], 1).expect("insert");
    let cursor = result.rest.expect("rest");
    f.end_turn().expect("commit");
    assert_eq!(f.database.cursor_next(cursor, 10).expect("rows"), integers(&[2, 3]));
}

#[test]
fn a_statement_that_returns_too_much_is_undone_and_nothing_else() {
    let mut f = fixture();
    numbers(&mut f, 10);
    f.exec("CREATE TABLE big(b)");
    let query = "INSERT INTO big SELECT zeroblob(1000000) FROM t RETURNING b";
    let error = f.error(query);
    assert_eq!(error.name, "limit-exceeded");
    assert_eq!(f.integer("SELECT count(*) FROM big"), 0);
    f.end_turn().expect("commit");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 10);
}

#[test]
fn too_many_open_cursors_are_refused() {
    let mut f = fixture();
    for _ in 0..1000 {
        open(&mut f, "SELECT 1 UNION ALL SELECT 2");
    }
    let error = f.database.exec("SELECT 1 UNION ALL SELECT 2", &[], 0).expect_err("limit");
    assert!(error.message.contains("1000 cursors are open"), "{error}");
}

#[test]
fn b_03_a_cursor_left_half_read_does_not_pin_the_wal() {
    let mut f = fixture();
    numbers(&mut f, 1000);
    f.end_turn().expect("commit");
    let cursor = open(&mut f, "SELECT pad FROM t");
    assert_eq!(f.database.cursor_next(cursor, 1).expect("row").len(), 1);
    let mut largest = 0;
    for turn in 0..2000 {
        f.exec_with("UPDATE t SET pad = pad || 'x' WHERE n = ?", &integers(&[turn % 1000 + 1]));
        f.end_turn().expect("commit");
        if f.database.wal_bytes() > 1024 * 1024 {
            f.checkpoint();
        }
        largest = largest.max(f.database.wal_bytes());
    }
    assert!(largest < 2 * 1024 * 1024, "{largest}");
    assert_eq!(f.database.cursor_next(cursor, 1000).expect("read ahead").len(), 999);
}

#[test]
fn b_79_rows_that_many_cursors_keep_have_one_bound() {
    const ROWS: usize = 900;
    let mut f = fixture();
    numbers(&mut f, ROWS as u32);
    let cursors: Vec<CursorId> = (0..50).map(|_| open(&mut f, "SELECT pad FROM t")).collect();
    f.database.end_turn().expect("end");
    let whole = cursors.iter().filter(|cursor| f.database.cursor_next(**cursor, 1).is_ok()).count();
    let bytes = whole * ROWS * 1000;
    assert!(bytes > CURSORS_KEPT_BYTES_MAX * 9 / 10 && bytes <= CURSORS_KEPT_BYTES_MAX, "{bytes}");

    // Nothing that a statement returns is kept beyond it, and the statement is undone.
    let error = f.error("UPDATE t SET pad = 'x' RETURNING zeroblob(5000)");
    assert_eq!(error.name, "limit-exceeded", "{error}");
    assert_eq!(f.integer("SELECT count(*) FROM t WHERE pad = 'x'"), 0);

    cursors.into_iter().for_each(|cursor| f.database.cursor_close(cursor));
    assert_eq!(f.exec("UPDATE t SET pad = 'x' RETURNING zeroblob(5000)").columns.len(), 1);
}

#[test]
fn work_apart_from_the_guest_leaves_its_cursors_and_closes_what_it_opened() {
    let mut f = fixture();
    numbers(&mut f, 100);
    f.end_turn();
    let [first, second] = [open(&mut f, "SELECT n FROM t"), open(&mut f, "SELECT -n FROM t")];
    assert_eq!(f.database.cursor_next(first, 1).expect("next"), integers(&[1]));
    f.end_turn();
    // One that is undone, and one that is committed; both leave a cursor open.
    for is_kept in [false, true] {
        let rest = f.database.apart(|database| {
            database.exec("DELETE FROM t WHERE n > 50", &[], 1).expect("runs");
            let rest = database.exec("SELECT pad FROM t", &[], 1).expect("runs").rest;
            if !is_kept {
                database.discard_turn().expect("undone");
            }
            rest
        });
        assert_eq!(f.end_turn().is_some(), is_kept);
        let closed = f.database.cursor_next(rest.expect("a cursor"), 1).expect_err("closed");
        assert_eq!(closed.name, "cursor-closed");
        let next = if is_kept { 3 } else { 2 };
        assert_eq!(f.database.cursor_next(first, 1).expect("the guest's"), integers(&[next]));
    }
    assert_eq!(f.database.cursor_next(second, 1000).expect("the guest's").len(), 100);
    assert_eq!(f.integer("SELECT count(*) FROM t"), 50);
}
