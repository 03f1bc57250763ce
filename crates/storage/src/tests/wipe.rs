//! `delete-all`: what goes, what may follow in the turn, and that it comes back with a turn that is undone
//! (KV-15, TX-9, invariant 12).
//!
//! Recovery with wipes is in `durability`; whole nodes under power loss are in `tests/simulation`.

use durabo_changelog::record::{AlarmChange, PageContent};

use super::durability::{Dice, Replay, assert_sound, random_writes};
use super::*;
use crate::database::CursorId;
use crate::kv::{Encoding, KvValue, KvWriteOptions, ListOptions};
use crate::savepoint::SavepointError;
use crate::wipe::WipeError;

const EVERYTHING: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE INDEX i ON t(a); \
    CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; \
    CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(id, x1, x2); \
    INSERT INTO t(a) VALUES(1), (2), (3); INSERT INTO f VALUES('some text'); INSERT INTO r VALUES(1, 0, 1)";

impl Fixture {
    fn wipe(&mut self) {
        self.database.delete_all().expect("delete all");
    }

    fn store(&mut self, key: &str) {
        let value = KvValue { encoding: Encoding::Bytes, data: b"v".to_vec() };
        self.database.kv_put(&[(key.to_owned(), value)], KvWriteOptions::default()).expect("put");
    }

    fn keys(&mut self) -> Vec<String> {
        let listed = self.database.kv_list(&ListOptions::default()).expect("list");
        listed.into_iter().map(|(key, _)| key).collect()
    }

    fn assert_empty(&mut self) {
        assert_eq!(self.integer("SELECT count(*) FROM sqlite_schema"), 0);
        assert_eq!(self.keys(), [""; 0]);
        assert_eq!(self.database.database_size().expect("size"), 4096);
    }

    fn open_cursor(&mut self, query: &str) -> CursorId {
        self.database.exec(query, &[], 1).expect("a query").rest.expect("a cursor")
    }
}

/// A table with three rows and two keys, committed.
fn filled() -> Fixture {
    let mut f = fixture();
    f.exec(EVERYTHING);
    f.store("k");
    f.store("l");
    f.end_turn().expect("a commit");
    f
}

fn assert_filled(f: &mut Fixture) {
    assert_eq!(f.rows("SELECT a FROM v"), integers(&[1, 2, 3]));
    assert_eq!(f.rows("SELECT count(*) FROM f('text')"), integers(&[1]));
    assert_eq!(f.rows("SELECT id FROM r WHERE x1 < 1"), integers(&[1]));
    assert_eq!(f.keys(), ["k", "l"]);
}

#[test]
fn c_187_everything_is_gone_at_once_and_what_the_turn_wrote_before_goes_with_it() {
    // As instances find it: in the WAL of a connection that has used it, in the file, and in the turn itself.
    for place in 0..3 {
        let mut f = filled();
        match place {
            1 => f.reset(),
            2 => {
                f.exec(
                    "INSERT INTO t(a) VALUES(4); INSERT INTO f VALUES('more'); INSERT INTO r VALUES(2, 0, 1)",
                );
                f.exec("CREATE TABLE other(a)");
                f.store("m");
            }
            _ => {}
        }
        assert_eq!(f.rows("SELECT id FROM r WHERE x1 < 1 AND id = 1"), integers(&[1]));
        f.wipe();
        f.assert_empty();
        f.exec(EVERYTHING);
        f.exec("DROP VIEW v");
        let commit = f.end_turn().expect("a commit");
        assert!(commit.has_wiped && commit.confirmed);
        assert_eq!(commit.alarm, AlarmChange::Cleared);
        for _ in 0..2 {
            assert_eq!(f.rows("SELECT a FROM t"), integers(&[1, 2, 3]), "{place}");
            assert_eq!(f.rows("SELECT count(*) FROM f('text')"), integers(&[1]));
            f.assert_fails("SELECT * FROM other", "no such table");
            f.assert_fails("SELECT * FROM v", "no such table");
            f.reset();
        }
        assert_sound(f.file.path());
    }
}

#[test]
fn c_188_of_a_turn_with_a_wipe_in_its_midst_only_what_follows_is_kept() {
    let mut f = filled();
    f.store("a");
    f.wipe();
    f.store("b");
    f.end_turn().expect("a commit");
    assert_eq!(f.keys(), ["b"]);
    f.reset();
    assert_eq!(f.keys(), ["b"]);
}

#[test]
fn kv_15_cursors_that_are_open_end() {
    let mut f = filled();
    let kept = f.open_cursor("SELECT a FROM t");
    f.end_turn();
    let running = f.open_cursor("SELECT a + 0 FROM t");
    let returned = f.open_cursor("UPDATE t SET a = a RETURNING a");
    f.wipe();
    for cursor in [kept, running, returned] {
        assert_eq!(f.database.cursor_next(cursor, 10).expect_err("ended").name, "cursor-closed");
    }
    f.end_turn().expect("a commit");
}

#[test]
fn tx_9_within_a_savepoint_it_is_refused_and_nothing_is_removed() {
    let mut f = filled();
    f.store("m");
    let savepoint = f.database.savepoint_begin().expect("begin");
    let refused = f.database.delete_all().expect_err("refused");
    assert_eq!(refused, WipeError::WithinTransaction);
    assert!(refused.to_string().contains("Cannot call deleteAll() within a transaction"));
    f.database.savepoint_release(savepoint).expect("release");
    assert_eq!(f.keys(), ["k", "l", "m"]);
    f.wipe();
    assert_eq!(f.database.savepoint_release(savepoint), Err(SavepointError::NotOpen));
    let savepoint = f.database.savepoint_begin().expect("begin");
    f.store("n");
    f.database.savepoint_rollback(savepoint).expect("rollback");
    f.store("o");
    f.end_turn().expect("a commit");
    assert_eq!(f.keys(), ["o"]);
}

#[test]
fn invariant_12_a_wipe_comes_back_with_a_turn_that_is_undone() {
    for place in 0..2 {
        for after in ["SELECT 1", EVERYTHING] {
            let mut f = filled();
            if place == 1 {
                f.reset();
            }
            let bytes = f.database.wal_bytes();
            f.store("m");
            f.wipe();
            f.exec(after);
            f.wipe();
            f.exec(after);
            f.database.discard_turn().expect("discard");
            assert!(f.database.wal_bytes() <= bytes.max(32), "frames of the wipe are left");
            assert!(!f.database.renew().expect("looked at"), "the connection believes in the wipe");
            f.reset();
            assert_filled(&mut f);
            f.store("m");
            assert!(!f.end_turn().expect("a commit").has_wiped);
            f.reset();
            assert_eq!(f.keys(), ["k", "l", "m"]);
        }
    }
}

#[test]
fn og_11_a_commit_that_is_refused_takes_its_wipe_back() {
    let mut f = filled();
    f.wipe();
    f.exec(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); \
         CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES(1)",
    );
    let error = f.database.end_turn().expect_err("a violated constraint").to_string();
    assert!(error.contains("FOREIGN KEY constraint failed"), "{error}");
    f.reset();
    assert_filled(&mut f);
}

#[test]
fn og_10_a_turn_that_hits_a_limit_takes_its_wipe_back() {
    let mut f = fixture_with(DatabaseOptions { pages_max: 60, ..DatabaseOptions::default() });
    f.exec(EVERYTHING);
    f.store("k");
    f.store("l");
    f.end_turn().expect("a commit");
    f.wipe();
    f.exec("CREATE TABLE t(a)");
    f.assert_fails("INSERT INTO t VALUES(zeroblob(1000000))", "SQLITE_FULL");
    f.assert_fails("SELECT 1", "SQLITE_FULL");
    assert!(matches!(f.database.delete_all(), Err(WipeError::Sql(error)) if error.is_full()));
    f.reset();
    assert_filled(&mut f);
}

#[test]
fn a_database_at_its_limit_can_be_wiped() {
    let mut f = fixture_with(DatabaseOptions { pages_max: 40, ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(a)");
    while f.database.exec("INSERT INTO t VALUES(zeroblob(9000))", &[], 0).is_ok() {
        f.end_turn().expect("a commit");
    }
    f.reset();
    f.wipe();
    f.end_turn().expect("a commit");
    f.assert_empty();
}

#[test]
fn invariant_6_a_wipe_whose_commit_is_not_in_the_log_is_undone() {
    let mut f = fixture();
    f.exec(EVERYTHING);
    f.store("k");
    f.store("l");
    let kept = f.end_turn().expect("a commit").wal_frames;
    f.wipe();
    f.store("m");
    f.end_turn().expect("a commit");
    f.exec("CREATE TABLE later(a)");
    f.database.discard_turn().expect("discard");
    f.database = f.database.undo_commits(kept, &f.file, &f.options).expect("undo");
    assert_filled(&mut f);
    // And one that is undone within its turn, behind a commit that is undone too.
    f.store("m");
    f.end_turn().expect("a commit");
    f.wipe();
    f.database.discard_turn().expect("discard");
    f.database = f.database.undo_commits(kept, &f.file, &f.options).expect("undo");
    assert_filled(&mut f);
    f.reset();
    assert_filled(&mut f);
}

#[test]
fn a_wipe_is_one_page_of_the_log_whatever_the_database_held_and_the_file_shrinks() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    for _ in 0..20 {
        f.exec("INSERT INTO t VALUES(zeroblob(1000000))");
        f.end_turn().expect("a commit");
    }
    f.checkpoint();
    assert!(f.file.mark().expect("mark").file_bytes > 20_000_000);
    (0..3).for_each(|_| f.wipe());
    let commit = f.end_turn().expect("a commit");
    assert_eq!((commit.database_pages, commit.pages.len(), commit.wal_frames), (1, 1, 1));
    f.assert_empty();
    assert!(f.database.is_file_to_be_cut());
    f.checkpoint();
    assert_eq!(f.file.mark().expect("mark").file_bytes, 4096);
    assert!(!f.database.is_file_to_be_cut());
    f.reset();
    f.assert_empty();
}

#[test]
fn an_empty_database_is_not_wiped_and_makes_no_file() {
    let mut f = fixture();
    f.wipe();
    assert!(f.database.is_turn_confirmed());
    assert_eq!(f.end_turn(), None);
    f.store("k");
    f.wipe();
    assert_eq!(f.end_turn(), None);
    f.reset();
    f.assert_empty();
    assert!(!f.file.is_present());
}

#[test]
fn a_view_alone_is_wiped_too() {
    let mut f = fixture();
    f.exec("CREATE VIEW v AS SELECT 1");
    f.end_turn().expect("a commit");
    f.wipe();
    assert!(f.end_turn().expect("a commit").has_wiped);
    f.assert_empty();
}

#[test]
fn the_name_is_stored_again_with_the_first_write_after_a_wipe() {
    let name = Some("an object".to_owned());
    let mut f = fixture_with(DatabaseOptions { name: name.clone(), ..DatabaseOptions::default() });
    f.store("k");
    assert_eq!(f.end_turn().expect("a commit").name, name);
    f.wipe();
    assert_eq!(f.end_turn().expect("a commit").name, None);
    f.assert_empty();
    f.store("l");
    assert_eq!(f.end_turn().expect("a commit").name, name);
    f.wipe();
    f.store("m");
    assert_eq!(f.end_turn().expect("a commit").name, name);
    assert_eq!(f.database.stored_name().expect("name"), name);
}

#[test]
fn what_is_written_after_a_wipe_is_logged_whole() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1)");
    f.end_turn().expect("a commit");
    f.wipe();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 2)");
    let commit = f.end_turn().expect("a commit");
    assert!(commit.pages.iter().all(|page| !matches!(page.content, PageContent::Difference(_))));
    f.exec("UPDATE t SET b = 3");
    let commit = f.end_turn().expect("a commit");
    assert!(commit.pages.iter().all(|page| matches!(page.content, PageContent::Difference(_))));
}

/// All rows of the tables that random writes make, in a file.
fn content(path: &Path) -> Vec<(String, i64, Vec<u8>)> {
    let db = rusqlite::Connection::open(path).expect("stock");
    let mut rows = Vec::new();
    for table in ["t", "u"] {
        let query = format!("SELECT rowid, CAST(b AS BLOB) FROM {table} ORDER BY rowid");
        let Ok(mut statement) = db.prepare(&query) else { continue };
        let found = statement.query_map([], |row| Ok((table.to_owned(), row.get(0)?, row.get(1)?)));
        rows.extend(found.expect("query").map(|row| row.expect("row")));
    }
    rows
}

#[test]
fn commits_and_wipes_replayed_hold_what_the_file_holds() {
    let mut f = fixture();
    let (mut replay, mut dice, mut wipes) = (Replay::default(), Dice(5), 0);
    let make = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, b)";
    for round in 0..400 {
        f.exec(make);
        random_writes(&mut f, &mut dice);
        if dice.below(4) == 0 {
            f.wipe();
            if dice.below(2) == 0 {
                f.exec(make);
                random_writes(&mut f, &mut dice);
            }
        }
        if dice.below(5) == 0 {
            f.reset();
        } else if let Some(commit) = f.end_turn() {
            wipes += u32::from(commit.has_wiped);
            replay.apply(&commit);
        }
        if round % 23 == 22 {
            f.reset();
            let replayed = f.file.path().with_extension("replayed");
            std::fs::write(&replayed, &replay.0).expect("write");
            assert_sound(&replayed);
            assert!(content(&replayed) == content(f.file.path()), "round {round}");
        }
    }
    assert!(wipes > 40, "only {wipes} turns wiped");
}
