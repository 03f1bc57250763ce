//! Transactions over waits: what the ends of turns leave to them, how they nest and end (TX-5 to TX-12).
//!
//! Sections and gates are the simulation's, what a guest sees is in the conformance suite.

use super::*;
use crate::kv::{Encoding, KvValue, KvWriteOptions};
use crate::savepoint::SavepointError;
use crate::transaction::{TransactionError, TransactionId};
use crate::wipe::WipeError;

impl Fixture {
    fn begin(&mut self) -> TransactionId {
        self.database.transaction_begin().expect("begin")
    }

    fn commit(&mut self, transaction: TransactionId) -> Option<TurnCommit> {
        self.database.transaction_commit(transaction).expect("commit")
    }

    fn insert(&mut self, number: i64) {
        self.exec_with("INSERT INTO t VALUES(?)", &integers(&[number]));
    }

    fn numbers(&mut self) -> Vec<Value> {
        self.rows("SELECT a FROM t")
    }

    fn put_unconfirmed(&mut self, key: &str) {
        let value = KvValue { encoding: Encoding::Bytes, data: Vec::new() };
        let options = KvWriteOptions { allow_unconfirmed: true };
        self.database.kv_put(&[(key.to_owned(), value)], options).expect("put");
    }
}

fn with_table() -> Fixture {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    f
}

#[test]
fn tx_5_ends_of_turns_commit_nothing_of_an_open_transaction_and_its_end_commits_all() {
    let mut f = with_table();
    let transaction = f.begin();
    f.insert(1);
    assert_eq!(f.end_turn(), None);
    f.insert(2);
    assert_eq!(f.end_turn(), None);
    assert!(f.database.is_turn_open() && !f.database.has_turn_to_commit());
    assert_eq!(f.numbers(), integers(&[1, 2]));
    f.commit(transaction).expect("a commit");
    assert!(!f.database.is_turn_open() && !f.database.is_in_transaction());
    f.insert(3);
    f.reset();
    assert_eq!(f.numbers(), integers(&[1, 2]));
}

#[test]
fn tx_5_a_rollback_undoes_sql_keys_and_tables_of_all_turns_and_the_object_goes_on() {
    let mut f = with_table();
    let transaction = f.begin();
    f.insert(1);
    f.put_unconfirmed("k");
    assert_eq!(f.end_turn(), None);
    f.exec("CREATE TABLE u(a)");
    f.database.transaction_rollback(transaction).expect("rollback");
    assert!(!f.database.is_turn_open());
    f.assert_fails("SELECT * FROM u", "no such table");
    assert_eq!(f.database.kv_get("k"), Ok(None));
    f.put_unconfirmed("later");
    f.insert(2);
    f.end_turn().expect("commit");
    f.reset();
    assert_eq!(f.numbers(), integers(&[2]));
}

#[test]
fn tx_5_a_transaction_left_open_goes_with_the_connection() {
    let mut f = with_table();
    f.begin();
    f.insert(1);
    assert_eq!(f.end_turn(), None);
    f.reset();
    assert!(!f.database.is_in_transaction());
    assert_eq!(f.numbers(), []);
}

#[test]
fn c_203_an_inner_commit_is_final_only_with_the_outermost() {
    let mut f = with_table();
    let outer = f.begin();
    f.insert(6);
    let inner = f.begin();
    f.insert(7);
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.commit(inner), None);
    f.database.transaction_rollback(outer).expect("rollback");
    assert_eq!(f.numbers(), []);

    let outer = f.begin();
    let inner = f.begin();
    f.insert(8);
    assert_eq!(f.commit(inner), None);
    f.commit(outer).expect("a commit");
    f.reset();
    assert_eq!(f.numbers(), integers(&[8]));
}

#[test]
fn tx_10_an_inner_rollback_keeps_the_outer_part_and_only_the_innermost_may_end() {
    let mut f = with_table();
    let outer = f.begin();
    f.insert(1);
    let inner = f.begin();
    f.insert(2);
    f.put_unconfirmed("k");
    let refused = f.database.transaction_rollback(outer).expect_err("the inner one is open");
    let text = "Cannot roll back an outer transaction while a nested transaction is still running.";
    assert_eq!(refused.to_string(), text);
    assert_eq!(f.database.transaction_commit(outer), Err(TransactionError::NestedOpen("commit")));
    f.database.transaction_rollback(inner).expect("rollback");
    assert_eq!(f.database.kv_get("k"), Ok(None));
    f.insert(3);
    f.commit(outer).expect("a commit");
    for ended in [inner, outer] {
        assert_eq!(f.database.transaction_commit(ended), Err(TransactionError::NotOpen));
        assert_eq!(f.database.transaction_rollback(ended), Err(TransactionError::NotOpen));
    }
    f.reset();
    assert_eq!(f.numbers(), integers(&[1, 3]));
}

#[test]
fn a_dropped_transaction_takes_those_within_it_along_and_one_that_has_ended_nothing() {
    let mut f = with_table();
    let outer = f.begin();
    f.insert(1);
    let inner = f.begin();
    f.insert(2);
    f.database.transaction_drop(outer);
    assert!(!f.database.is_in_transaction());
    f.insert(3);
    f.database.transaction_drop(inner);
    f.database.transaction_drop(outer);
    f.end_turn().expect("commit");
    assert_eq!(f.numbers(), integers(&[3]));
}

#[test]
fn savepoints_within_end_with_their_turn_and_the_transaction_goes_on() {
    let mut f = with_table();
    let transaction = f.begin();
    f.insert(1);
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.insert(2);
    assert_eq!(f.database.transaction_begin(), Err(TransactionError::SavepointOpen("begin")));
    assert_eq!(f.database.transaction_commit(transaction), Err(TransactionError::SavepointOpen("commit")));
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.database.savepoint_release(savepoint), Err(SavepointError::NotOpen));
    let kept = f.database.savepoint_begin().expect("begin");
    f.insert(3);
    f.database.savepoint_release(kept).expect("release");
    f.commit(transaction).expect("a commit");
    assert_eq!(f.numbers(), integers(&[1, 3]));
}

#[test]
fn a_rollback_takes_savepoints_along() {
    let mut f = with_table();
    for depth in [1, 2] {
        let all: Vec<_> = (0..depth).map(|_| f.begin()).collect();
        let savepoint = f.database.savepoint_begin().expect("begin");
        f.insert(1);
        f.database.transaction_rollback(all[depth - 1]).expect("rollback");
        assert_eq!(f.database.savepoint_release(savepoint), Err(SavepointError::NotOpen));
        f.database.transaction_drop(all[0]);
        assert_eq!(f.numbers(), []);
    }
}

#[test]
fn og_11_constraints_that_are_violated_at_the_commit_undo_the_transaction_and_nothing_else() {
    let mut f = fixture();
    f.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id))");
    f.end_turn().expect("commit");
    let transaction = f.begin();
    f.exec("PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES(1)");
    assert_eq!(f.end_turn(), None);
    let error = f.database.transaction_commit(transaction).expect_err("no such parent").to_string();
    assert!(error.contains("FOREIGN KEY constraint failed"), "{error}");
    assert!(!f.database.is_turn_open() && f.database.poisoned().is_none());
    assert_eq!(f.integer("SELECT count(*) FROM c"), 0);
    f.exec("INSERT INTO p VALUES(1); INSERT INTO c VALUES(1)");
    f.end_turn().expect("commit");
}

#[test]
fn tx_12_after_a_critical_error_a_commit_fails_and_says_so() {
    let mut f = fixture_with(DatabaseOptions { pages_max: 40, ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    f.end_turn().expect("commit");
    let transaction = f.begin();
    f.insert(2);
    assert_eq!(f.end_turn(), None);
    f.assert_fails("INSERT INTO t VALUES(zeroblob(1000000))", "SQLITE_FULL");
    let error = f.database.transaction_commit(transaction).expect_err("poisoned").to_string();
    assert!(error.starts_with("Cannot commit transaction due to an earlier SQL critical error"), "{error}");
    assert!(f.database.end_turn().is_err());
    f.reset();
    assert_eq!(f.numbers(), integers(&[1]));
}

#[test]
fn tx_13_a_commit_is_confirmed_if_a_write_was_and_nothing_waits_for_it_before() {
    let mut f = with_table();
    let transaction = f.begin();
    f.put_unconfirmed("k");
    f.database.confirm_turn();
    assert!(!f.commit(transaction).expect("a commit").confirmed);
    let transaction = f.begin();
    f.insert(1);
    assert!(!f.database.is_turn_confirmed());
    assert!(f.commit(transaction).expect("a commit").confirmed);
}

#[test]
fn a_transaction_that_changed_nothing_commits_nothing_and_stores_no_name() {
    let mut f = fixture_with(DatabaseOptions { name: Some("n".into()), ..Default::default() });
    let transaction = f.begin();
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.commit(transaction), None);
    assert_eq!(f.database.stored_name(), Ok(None));
    let transaction = f.begin();
    f.exec("CREATE TABLE t(a)");
    assert_eq!(f.commit(transaction).expect("a commit").name.as_deref(), Some("n"));
}

#[test]
fn sq_14_a_cursor_within_is_read_ahead_at_the_end_of_its_turn_or_closed() {
    let mut f = with_table();
    let transaction = f.begin();
    (1..=3).for_each(|number| f.insert(number));
    let short = f.database.exec("SELECT a FROM t", &[], 0).expect("open").rest.expect("rows");
    let long =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT printf('%9000d', x) FROM c";
    let long = f.database.exec(long, &[], 0).expect("open").rest.expect("rows");
    assert_eq!(f.end_turn(), None);
    f.insert(4);
    assert_eq!(f.database.cursor_next(short, 10), Ok(integers(&[1, 2, 3])));
    assert_eq!(f.database.cursor_next(long, 1).expect_err("too long").name, "cursor-closed");
    f.commit(transaction).expect("a commit");
}

#[test]
fn a_transaction_that_outgrows_its_limit_in_a_later_turn_fails_and_is_undone() {
    let options = DatabaseOptions { transaction_bytes_max: 512 * 1024, ..DatabaseOptions::default() };
    let mut f = fixture_with(options);
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    f.begin();
    let mut failed = None;
    for _ in 0..40 {
        failed = f.database.exec("INSERT INTO t VALUES(randomblob(50000))", &[], 0).err();
        if failed.is_some() {
            break;
        }
        assert_eq!(f.end_turn(), None);
    }
    assert!(failed.expect("over the limit").is_full());
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}

#[test]
fn the_commit_of_a_transaction_over_turns_is_whole_in_the_log() {
    let mut f = with_table();
    let transaction = f.begin();
    for _ in 0..3 {
        f.exec("INSERT INTO t VALUES(randomblob(9000))");
        assert_eq!(f.end_turn(), None);
    }
    let pages = f.commit(transaction).expect("a commit").pages.len();
    assert!(pages >= 7, "{pages} pages");
}

#[test]
fn c_204_a_wipe_within_is_refused_and_nothing_is_removed() {
    let mut f = with_table();
    let transaction = f.begin();
    f.insert(1);
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.database.delete_all(), Err(WipeError::WithinTransaction));
    f.commit(transaction).expect("a commit");
    f.reset();
    assert_eq!(f.numbers(), integers(&[1]));
}

#[test]
fn a_wipe_before_one_in_the_same_turn_is_committed_ahead_of_it_and_stays_when_it_is_undone() {
    let mut f = with_table();
    f.database.delete_all().expect("wiped");
    assert!(f.end_turn().expect("a commit").has_wiped);
    let transaction = f.begin();
    f.exec("CREATE TABLE t(a)");
    f.database.transaction_rollback(transaction).expect("rollback");
    assert!(f.database.poisoned().is_none());
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("a commit");
    assert_eq!(f.numbers(), []);
}

/// Some 6 MB of rows, most of which SQLite cannot keep in its cache.
const SPILLS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 6000) \
                      INSERT INTO t SELECT randomblob(1000) FROM c";

#[test]
fn what_was_spilled_and_is_undone_leaves_the_wal() {
    let undo: [fn(&mut Fixture); 3] = [
        |f| {
            let transaction = f.begin();
            f.exec(SPILLS);
            f.database.transaction_rollback(transaction).expect("rollback");
        },
        |f| {
            let transaction = f.begin();
            f.exec(SPILLS);
            f.database.transaction_drop(transaction);
        },
        |f| {
            f.exec(SPILLS);
            assert!(f.database.wal_bytes() > 2 * 1024 * 1024, "nothing was spilled");
            f.database.discard_turn().expect("discard");
        },
    ];
    for (way, undo) in undo.into_iter().enumerate() {
        for is_checkpointed in [false, true] {
            let mut f = with_table();
            if is_checkpointed {
                f.checkpoint();
            }
            let before = f.database.wal_bytes();
            undo(&mut f);
            assert_eq!(f.database.wal_bytes(), before, "way {way}, checkpointed: {is_checkpointed}");
            f.insert(1);
            f.end_turn().expect("a commit");
            f.reset();
            assert_eq!(f.numbers(), integers(&[1]), "way {way}");
        }
    }
}

#[test]
fn what_a_savepoint_has_spilled_leaves_the_wal_at_the_turns_end() {
    let mut f = with_table();
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.exec(SPILLS);
    f.database.savepoint_rollback(savepoint).expect("rollback");
    f.insert(1);
    assert!(f.database.wal_bytes() > 2 * 1024 * 1024, "nothing was spilled");
    f.end_turn().expect("a commit");
    assert!(f.database.wal_bytes() < 64 * 1024, "{} bytes are left", f.database.wal_bytes());
    f.reset();
    assert_eq!(f.numbers(), integers(&[1]));
}

#[test]
fn a_wipe_of_what_the_turn_has_spilled_leaves_nothing_of_it_in_the_wal() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.exec(SPILLS);
    f.database.delete_all().expect("wiped");
    assert_eq!(f.end_turn(), None);
    assert_eq!(f.database.wal_bytes(), 0);
}

#[test]
fn transactions_that_were_undone_leave_later_ones_no_more_room() {
    let options = DatabaseOptions { transaction_bytes_max: 8 * 1024 * 1024, ..DatabaseOptions::default() };
    let mut f = fixture_with(options);
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    for _ in 0..3 {
        let transaction = f.begin();
        f.exec(SPILLS);
        f.database.transaction_rollback(transaction).expect("rollback");
    }
    f.begin();
    f.exec(SPILLS);
    assert!(f.error(SPILLS).is_full());
}
