//! Turns: what is committed, what is undone, what poisons (OG-1, OG-10, OG-11, SQ-32, SQ-33).
//!
//! Run on a database alone; with a guest around it they are in `tests/simulation`.

use std::time::Duration;

use super::*;
use crate::error::StorageError;

const ENDLESS: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

#[test]
fn a_turn_opens_at_its_first_write_and_ends_with_its_pages() {
    let mut f = fixture();
    f.exec("SELECT 1");
    assert!(!f.database.is_turn_open());
    assert_eq!(f.end_turn(), None);
    f.exec("CREATE TABLE t(a)");
    assert!(f.database.is_turn_open());
    let commit = f.end_turn().expect("commit");
    assert_eq!((commit.database_pages, commit.pages.len(), commit.name), (2, 2, None));
    f.exec("SELECT * FROM t");
    assert_eq!(f.end_turn(), None);
}

#[test]
fn an_absent_file_stays_absent_until_the_first_checkpoint() {
    let mut f = fixture();
    f.exec("SELECT 1");
    f.end_turn();
    f.checkpoint();
    assert!(!f.file.path().parent().expect("folder").exists());
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    assert!(!f.file.is_present());
    f.checkpoint();
    assert!(f.file.is_present());
}

#[test]
fn a_discarded_turn_leaves_nothing() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    f.exec("INSERT INTO t VALUES(1)");
    f.database.discard_turn().expect("discard");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
    assert_eq!(f.end_turn(), None);
}

#[test]
fn the_name_is_in_the_first_commit_only() {
    let mut f = fixture_with(DatabaseOptions { name: Some("ä room".into()), ..Default::default() });
    assert_eq!(f.database.stored_name().expect("name"), None);
    f.exec("CREATE TABLE t(a)");
    assert_eq!(f.end_turn().expect("commit").name.as_deref(), Some("ä room"));
    f.exec("INSERT INTO t VALUES(1)");
    assert_eq!(f.end_turn().expect("commit").name, None);
    f.reset();
    f.exec("INSERT INTO t VALUES(2)");
    assert_eq!(f.end_turn().expect("commit").name, None);
    assert_eq!(f.database.stored_name().expect("name").as_deref(), Some("ä room"));
}

fn family(f: &mut Fixture) {
    f.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id))");
    f.end_turn().expect("commit");
}

#[test]
fn c_086_a_child_may_come_before_its_parent_within_a_turn() {
    let mut f = fixture();
    family(&mut f);
    f.exec("PRAGMA defer_foreign_keys=ON");
    f.exec("SELECT count(*) FROM p");
    f.exec("INSERT INTO c VALUES(1)");
    f.exec("INSERT INTO p VALUES(1)");
    f.end_turn().expect("commit");
    f.assert_fails("INSERT INTO c VALUES(2)", "FOREIGN KEY constraint failed");
}

#[test]
fn c_087_a_child_without_parent_fails_the_commit() {
    let mut f = fixture();
    family(&mut f);
    f.exec("PRAGMA defer_foreign_keys=ON");
    f.exec("INSERT INTO c VALUES(1)");
    let error = f.database.end_turn().expect_err("violated");
    assert!(matches!(error, StorageError::Constraint(_)));
    let text = error.to_string();
    assert!(text.contains("rolled back to its last good state"), "{text}");
    assert!(text.contains("FOREIGN KEY constraint failed: SQLITE_CONSTRAINT"), "{text}");
    f.assert_fails("SELECT 1", "FOREIGN KEY constraint failed");
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM c"), 0);
}

#[test]
fn sq_32_a_transaction_that_vanishes_poisons() {
    for query in
        ["INSERT OR ROLLBACK INTO t VALUES(1)", "UPDATE OR ROLLBACK t SET id = 1", "INSERT INTO r VALUES(1)"]
    {
        let mut f = fixture();
        f.exec(
            "CREATE TABLE t(id PRIMARY KEY); INSERT INTO t VALUES(1), (2); CREATE TABLE r(a); \
             CREATE TRIGGER x BEFORE INSERT ON r BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        );
        f.end_turn().expect("commit");
        f.exec("INSERT INTO t VALUES(3)");
        let error = f.error(query);
        assert_eq!(f.error("SELECT 1"), error, "{query}");
        assert!(matches!(f.database.end_turn(), Err(StorageError::Poisoned(poison)) if poison == error));
        f.reset();
        assert_eq!(f.integer("SELECT count(*) FROM t"), 2);
    }
}

#[test]
fn or_fail_keeps_the_rows_before_the_failing_one() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id PRIMARY KEY); INSERT INTO t VALUES(2)");
    f.assert_fails("INSERT OR FAIL INTO t VALUES(1), (2), (3)", "UNIQUE constraint failed");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 2);
    f.end_turn().expect("commit");
}

fn interrupted(f: &mut Fixture, query: &str) -> SqlError {
    let handle = f.database.interrupt_handle();
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = scope.spawn(move || {
            let short = Duration::from_millis(5);
            while stopped.recv_timeout(short) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
            handle.allow();
        });
        let error = f.error(query);
        drop(stop);
        thread.join().expect("thread");
        error
    })
}

#[test]
fn sq_33_an_interrupted_read_leaves_the_turn_intact() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    assert_eq!(interrupted(&mut f, ENDLESS).name, "SQLITE_INTERRUPT");
    f.end_turn().expect("commit");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 1);
}

#[test]
fn og_10_an_interrupted_write_poisons() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    f.exec("INSERT INTO t VALUES(1)");
    let handle = f.database.interrupt_handle();
    // Before the statement: it stays, and strikes at the first look of the statement that runs. One from another thread
    // may strike while the statement is prepared, and that writes nothing yet.
    handle.interrupt();
    assert_eq!(f.error(&format!("INSERT INTO t {ENDLESS}")).name, "SQLITE_INTERRUPT");
    handle.allow();
    assert!(f.database.end_turn().is_err());
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}

#[test]
fn an_interrupt_handle_is_harmless_after_close() {
    let f = fixture();
    let handle = f.database.interrupt_handle();
    drop(f);
    handle.interrupt();
}

#[test]
#[should_panic(expected = "only 1 is durable")]
fn invariant_2_a_checkpoint_before_its_commits_are_durable_is_a_bug() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    drop(f.database.copy_wal_to_file(Sequence(1), Sequence(2)));
}

#[test]
fn a_database_can_be_handed_to_another_thread() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Database>();
}

#[test]
fn a_turn_whose_reading_ahead_is_cut_is_undone() {
    let mut f = fixture();
    f.exec("CREATE TABLE t (a)");
    f.database.end_turn().expect("committed");
    f.exec("INSERT INTO t VALUES (1)");
    let endless_after_two =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i <= 2";
    f.database.exec(endless_after_two, &[], 1).expect("the first row").rest.expect("a second one");
    assert!(f.database.has_rows_to_read_ahead());
    let handle = f.database.interrupt_handle();
    handle.interrupt();
    let error = f.database.end_turn().expect_err("the end of the turn is cut");
    assert!(error.to_string().contains("interrupted"), "{error}");
    assert!(!f.database.is_turn_open() && !f.database.has_rows_to_read_ahead());
}
