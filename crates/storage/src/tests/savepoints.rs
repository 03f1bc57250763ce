//! Savepoints: what they undo and keep, how they nest, and what becomes of those left open (TX-1 to TX-4, TX-12).
//!
//! What a guest sees of them is in the conformance suite.

use super::*;
use crate::kv::{Encoding, KvValue, KvWriteOptions};
use crate::savepoint::SavepointError;

impl Fixture {
    fn set(&mut self, key: &str) {
        let value = KvValue { encoding: Encoding::Bytes, data: key.as_bytes().to_owned() };
        self.database.kv_put(&[(key.to_owned(), value)], KvWriteOptions::default()).expect("put");
    }

    fn has(&mut self, key: &str) -> bool {
        self.database.kv_get(key).expect("get").is_some()
    }
}

#[test]
fn tx_1_a_rollback_undoes_sql_and_keys_alike_and_nothing_before_it() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.exec("INSERT INTO t VALUES(2); CREATE TABLE u(a)");
    f.set("k");
    f.database.savepoint_rollback(savepoint).expect("rollback");
    assert_eq!(f.rows("SELECT a FROM t"), integers(&[1]));
    f.assert_fails("SELECT * FROM u", "no such table");
    assert!(!f.has("k"));
    f.end_turn().expect("commit");
    f.reset();
    assert_eq!(f.rows("SELECT a FROM t"), integers(&[1]));
}

#[test]
fn c_190_a_first_put_that_is_rolled_back_leaves_no_table_and_later_puts_work() {
    let mut f = fixture();
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.set("k");
    f.database.savepoint_rollback(savepoint).expect("rollback");
    assert!(!f.has("k"));
    f.end_turn();
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_schema"), 0);
    f.set("other");
    f.end_turn().expect("commit");
    f.reset();
    assert!(f.has("other") && !f.has("k"));
}

#[test]
fn tx_2_an_inner_rollback_keeps_the_outer_part_and_only_the_innermost_may_end() {
    let mut f = fixture();
    let outer = f.database.savepoint_begin().expect("begin");
    f.set("outer");
    let inner = f.database.savepoint_begin().expect("begin");
    f.set("inner");
    assert_eq!(f.database.savepoint_release(outer), Err(SavepointError::NotInnermost));
    assert_eq!(f.database.savepoint_rollback(outer), Err(SavepointError::NotInnermost));
    f.database.savepoint_rollback(inner).expect("rollback");
    assert_eq!(f.database.savepoint_release(inner), Err(SavepointError::NotOpen));
    let released = f.database.savepoint_begin().expect("begin");
    f.set("released");
    f.database.savepoint_release(released).expect("release");
    f.database.savepoint_release(outer).expect("release");
    f.end_turn().expect("commit");
    f.reset();
    assert!(f.has("outer") && f.has("released") && !f.has("inner"));
}

#[test]
fn tx_2_what_an_inner_one_released_goes_with_the_outer_one() {
    let mut f = fixture();
    let outer = f.database.savepoint_begin().expect("begin");
    let inner = f.database.savepoint_begin().expect("begin");
    f.set("inner");
    f.database.savepoint_release(inner).expect("release");
    f.database.savepoint_rollback(outer).expect("rollback");
    assert!(!f.has("inner"));
    f.end_turn();
    f.reset();
    assert!(!f.has("inner"));
}

#[test]
fn tx_3_those_left_open_are_rolled_back_when_the_turn_ends_and_cannot_be_ended_later() {
    let mut f = fixture();
    f.set("before");
    let outer = f.database.savepoint_begin().expect("begin");
    f.set("within");
    let inner = f.database.savepoint_begin().expect("begin");
    f.set("deep within");
    f.end_turn().expect("commit");
    assert!(f.has("before") && !f.has("within") && !f.has("deep within"));
    for savepoint in [inner, outer] {
        assert_eq!(f.database.savepoint_release(savepoint), Err(SavepointError::NotOpen));
        f.database.savepoint_drop(savepoint);
    }
    f.set("later");
    let other = f.database.savepoint_begin().expect("begin");
    assert!(![inner, outer].contains(&other));
    f.database.savepoint_drop(inner);
    f.database.savepoint_release(other).expect("release");
    f.end_turn().expect("commit");
    assert!(f.has("later"));
}

#[test]
fn a_dropped_savepoint_takes_those_within_it_along() {
    let mut f = fixture();
    f.set("before");
    let outer = f.database.savepoint_begin().expect("begin");
    f.set("within");
    let inner = f.database.savepoint_begin().expect("begin");
    f.database.savepoint_drop(outer);
    assert_eq!(f.database.savepoint_rollback(inner), Err(SavepointError::NotOpen));
    f.end_turn().expect("commit");
    assert!(f.has("before") && !f.has("within"));
}

#[test]
fn a_turn_that_only_opened_savepoints_commits_nothing_and_stores_no_name() {
    let mut f = fixture_with(DatabaseOptions { name: Some("n".into()), ..Default::default() });
    let savepoint = f.database.savepoint_begin().expect("begin");
    assert!(!f.has("k"));
    assert!(!f.database.is_turn_confirmed());
    f.database.savepoint_release(savepoint).expect("release");
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.database.stored_name().expect("name"), None);
}

#[test]
fn tx_12_after_a_critical_error_a_release_fails_and_says_so() {
    let mut f = fixture_with(DatabaseOptions { pages_max: 40, ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, NULL)");
    f.end_turn().expect("commit");
    f.exec("INSERT INTO t VALUES(2, NULL)");
    let outer = f.database.savepoint_begin().expect("begin");
    let inner = f.database.savepoint_begin().expect("begin");
    f.assert_fails("INSERT INTO t VALUES(3, zeroblob(1000000))", "SQLITE_FULL");
    for savepoint in [inner, outer] {
        let error = f.database.savepoint_release(savepoint).expect_err("poisoned").to_string();
        assert!(
            error.starts_with("Cannot commit transaction due to an earlier SQL critical error"),
            "{error}"
        );
        f.database.savepoint_drop(savepoint);
    }
    assert!(f.database.end_turn().is_err());
    f.reset();
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
}

#[test]
fn cursors_over_a_rollback_go_on_or_say_that_they_were_closed() {
    for undone in ["INSERT INTO t VALUES(4)", "CREATE TABLE u(a)"] {
        let mut f = fixture();
        f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1), (2), (3)");
        let cursor = f.database.exec("SELECT a FROM t", &[], 1).expect("open").rest.expect("more");
        let savepoint = f.database.savepoint_begin().expect("begin");
        f.exec(undone);
        f.database.savepoint_rollback(savepoint).expect("rollback");
        let mut rows = Vec::new();
        let end = loop {
            match f.database.cursor_next(cursor, 10) {
                Ok(more) if more.is_empty() => break None,
                Ok(more) => rows.extend(more),
                Err(error) => break Some(error.name),
            }
        };
        match end {
            None => assert_eq!(rows, integers(&[2, 3]), "{undone}"),
            Some(name) => assert!(name == "cursor-closed" && rows.len() < 2, "{undone}: {name}, {rows:?}"),
        }
        f.end_turn().expect("commit");
        assert_eq!(f.integer("SELECT count(*) FROM t"), 3);
    }
}

#[test]
fn savepoints_are_nested_so_deep_and_no_deeper() {
    let mut f = fixture();
    let open: Vec<_> = (0..64).map(|_| f.database.savepoint_begin().expect("begin")).collect();
    assert_eq!(f.database.savepoint_begin(), Err(SavepointError::TooDeep));
    f.set("k");
    open.into_iter().rev().for_each(|savepoint| f.database.savepoint_release(savepoint).expect("release"));
    f.end_turn().expect("commit");
    assert!(f.has("k"));
}
