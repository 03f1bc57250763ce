//! A connection that serves one instance after another: what the next one sees of the one before.
//!
//! Nothing but what is committed; what a connection cannot forget asks for a new one.

use super::*;

#[test]
fn the_next_instance_goes_on_with_what_is_committed_and_finds_no_cursor() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.exec("INSERT INTO t VALUES (1), (2), (3)");
    f.end_turn().expect("a commit");
    let rest = f.database.exec("SELECT a FROM t", &[], 1).expect("a query").rest.expect("a cursor");
    f.end_turn();
    assert!(f.database.renew().expect("renewed"));
    assert_eq!(f.database.cursor_next(rest, 10).expect_err("it is gone").message, unknown(rest, &mut f));
    assert_eq!(f.integer("SELECT last_insert_rowid()"), 0);
    f.exec("INSERT INTO t VALUES (4)");
    // A difference to what the instance before logged is one to this connection's own image.
    assert_eq!(f.end_turn().expect("a commit").pages.len(), 1);
    assert_eq!(f.integer("SELECT sum(a) FROM t"), 10);
}

/// What the database says of a cursor that never was.
fn unknown(like: crate::database::CursorId, f: &mut Fixture) -> String {
    f.database.cursor_close(like);
    f.database.cursor_next(like, 10).expect_err("no such cursor").message
}

#[test]
fn sq_34_after_a_switch_it_takes_a_new_connection() {
    for set in ["PRAGMA foreign_keys = OFF", "PRAGMA CASE_SENSITIVE_LIKE(1)", "PRAGMA recursive_triggers=yes"]
    {
        let mut f = fixture();
        f.exec("PRAGMA foreign_keys");
        f.end_turn();
        assert!(f.database.renew().expect("renewed"), "a switch that was only read");
        f.exec(set);
        f.end_turn();
        assert!(!f.database.renew().expect("looked at"), "{set}");
    }
}

#[test]
fn a_poisoned_database_takes_a_new_connection() {
    let mut f = fixture_with(DatabaseOptions { pages_max: 5, ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(a)");
    f.end_turn();
    f.assert_fails("INSERT INTO t VALUES (zeroblob(100000))", "full");
    assert!(!f.database.renew().expect("looked at"));
}

#[test]
fn who_stopped_the_instance_before_stops_nothing_of_the_next() {
    let mut f = fixture();
    let stale = f.database.interrupt_handle();
    stale.interrupt();
    assert!(f.database.renew().expect("renewed"));
    let slow = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) SELECT count(*) FROM c";
    assert_eq!(f.integer(slow), 100_000);
    stale.interrupt();
    assert_eq!(f.integer(slow), 100_000);
    let own = f.database.interrupt_handle();
    own.interrupt();
    f.assert_fails(slow, "interrupted");
}

#[test]
fn what_a_connection_cached_is_given_back() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.exec(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400)
         INSERT INTO t SELECT randomblob(2000) FROM c",
    );
    f.end_turn();
    f.checkpoint();
    f.exec("SELECT sum(length(a)) FROM t");
    f.end_turn();
    let before = f.database.cached_bytes();
    assert!(before > 500 * 1024, "{before}");
    assert!(f.database.renew().expect("renewed"));
    let after = f.database.cached_bytes();
    assert!(after < 16 * 1024, "{after}");
}
