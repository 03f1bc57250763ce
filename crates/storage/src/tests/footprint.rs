//! What an open database keeps in memory: nothing that it does not need.
//!
//! How the index's blocks are kept is tested beside `index_blocks`.

use super::*;

/// Pages that the index of a WAL of a few frames needs: its head with the numbers of the pages, and where their
/// hashes lie.
const PAGES_OF_FEW: usize = 2;

#[test]
#[cfg(target_os = "linux")]
fn the_index_of_a_small_wal_keeps_no_pages_of_zeros() {
    let mut f = fixture();
    f.exec("SELECT 1");
    assert!(f.database.connection.index_pages() <= PAGES_OF_FEW, "opened");
    f.exec("CREATE TABLE t(a)");
    f.end_turn();
    for number in 1..=3 {
        f.exec_with("INSERT INTO t VALUES (?)", &integers(&[number]));
        f.end_turn();
        assert!(f.database.connection.index_pages() <= PAGES_OF_FEW, "commit {number}");
    }
    f.checkpoint();
    f.exec("INSERT INTO t VALUES (4)");
    f.end_turn();
    assert!(f.database.connection.index_pages() <= PAGES_OF_FEW, "after a checkpoint");
    assert_eq!(f.integer("SELECT sum(a) FROM t"), 10);
}

#[test]
fn a_wal_whose_index_rested_grows_over_several_indexes_and_comes_back() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    f.end_turn();
    // More frames than one index has places for.
    for turn in 0..3 {
        f.exec_with(
            "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000)
             INSERT INTO t SELECT i + ?, randomblob(3500) FROM c",
            &integers(&[turn * 2000]),
        );
        f.end_turn();
    }
    assert!(f.database.wal_bytes() > 5000 * 4096);
    assert_eq!(f.integer("SELECT count(*) FROM t WHERE length(b) = 3500"), 6000);
    f.reset();
    assert_eq!(f.integer("SELECT count(*) FROM t WHERE length(b) = 3500"), 6000);
    assert_eq!(f.rows("PRAGMA quick_check"), [text("ok")]);
}

#[test]
fn a_database_at_rest_keeps_no_pages_and_goes_on_where_it_was() {
    let mut f = fixture();
    f.database.rest();
    assert!(!f.database.is_open(), "rest opens nothing");
    f.exec("CREATE TABLE t(a)");
    f.exec("INSERT INTO t VALUES (1), (2), (3)");
    f.end_turn();
    let rest = f.database.exec("SELECT a FROM t", &[], 1).expect("a query").rest.expect("a cursor");
    f.end_turn();
    let before = f.database.cached_bytes();
    f.database.rest();
    let after = f.database.cached_bytes();
    assert!(before > 12_000 && after < 8192, "{before} and {after}");
    assert_eq!(f.database.cursor_next(rest, 10).expect("what was read ahead"), integers(&[2, 3]));
    f.exec("INSERT INTO t VALUES (4)");
    // A difference to what was logged before.
    assert_eq!(f.end_turn().expect("a commit").pages.len(), 1);
    assert_eq!(f.integer("SELECT sum(a) FROM t"), 10);
}
