//! A disk that is full: what a turn may still do, and an instance over a WAL that its file cannot take.
//!
//! Whole nodes on a full disk are in `tests/simulation`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use durabo_changelog::simulated_disk::SimulatedDisk;

use super::*;
use crate::error::StorageError;
use crate::write_room::WriteRoom;

const TEXT: &str = "database or disk is full: SQLITE_FULL";

/// Room that a test gives.
#[derive(Debug, Default)]
struct Room {
    is_open: AtomicBool,
    left: AtomicU64,
    held: AtomicU64,
}

impl WriteRoom for Room {
    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    fn hold(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        let is_there = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if is_there {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        }
        is_there
    }

    fn give_back(&self) {
        self.left.fetch_add(self.held.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn with_room() -> (Fixture, Arc<Room>) {
    let mut f = fixture();
    let room = Arc::new(Room { is_open: true.into(), left: (1 << 20).into(), held: 0.into() });
    f.database.write_within(room.clone());
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
    f.exec("INSERT INTO t VALUES(1, NULL)");
    f.end_turn().expect("commit");
    room.held.store(0, Ordering::Relaxed); // queued
    (f, room)
}

#[test]
fn og_10_without_space_the_first_write_of_a_turn_poisons_the_instance() {
    for write in
        ["INSERT INTO t VALUES(2, NULL)", "CREATE TABLE u(x)", "DELETE FROM t", "ALTER TABLE t ADD c"]
    {
        let (mut f, room) = with_room();
        room.is_open.store(false, Ordering::Relaxed);
        assert_eq!(f.error(write).message, TEXT, "{write}");
        f.assert_fails("SELECT 1", TEXT);
        assert!(matches!(f.database.end_turn(), Err(StorageError::Poisoned(_))));
        f.reset();
        assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]), "{write}");
    }
}

#[test]
fn without_space_a_turn_that_changes_nothing_goes_on() {
    let (mut f, room) = with_room();
    room.is_open.store(false, Ordering::Relaxed);
    room.left.store(0, Ordering::Relaxed);
    f.exec("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, b)");
    f.exec("INSERT OR IGNORE INTO t VALUES(1, 2)");
    f.exec("DELETE FROM t WHERE id = 9");
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
    assert_eq!(f.end_turn(), None);
}

#[test]
fn em_8_without_space_many_groups_that_change_nothing_go_on_and_others_poison() {
    let (mut f, room) = with_room();
    room.is_open.store(false, Ordering::Relaxed);
    let counts = f.database.exec_many("INSERT OR IGNORE INTO t VALUES(?, 2)", 2, &integers(&[1, 1]));
    assert_eq!(counts.expect("nothing is written").rows_written, 0);
    let error = f.database.exec_many("INSERT OR IGNORE INTO t VALUES(?, 2)", 2, &integers(&[1, 2]));
    assert_eq!(error.expect_err("no space").message, TEXT);
    f.assert_fails("SELECT 1", TEXT);
    f.reset();
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
}

#[test]
fn a_turn_that_wrote_before_goes_on_as_far_as_there_is_room() {
    let (mut f, room) = with_room();
    f.exec("INSERT INTO t VALUES(2, NULL)");
    room.is_open.store(false, Ordering::Relaxed);
    f.exec("INSERT INTO t VALUES(3, NULL)");
    f.end_turn().expect("commit");
    assert!(room.held.load(Ordering::Relaxed) >= 4096);
}

#[test]
fn a_turn_holds_room_for_the_pages_that_it_writes_and_for_no_more() {
    let (mut f, room) = with_room();
    for checkpoint_first in [false, true] {
        if checkpoint_first {
            f.checkpoint();
        }
        for bytes in [10, 3_000, 100_000] {
            f.exec(&format!("INSERT INTO t(b) VALUES(zeroblob({bytes}))"));
            let commit = f.end_turn().expect("commit");
            let held = room.held.swap(0, Ordering::Relaxed);
            assert_eq!(held, commit.pages.len() as u64 * (4096 + 24), "{bytes}");
        }
    }
}

#[test]
fn a_commit_for_which_there_is_no_room_is_undone_and_gives_back_what_it_held() {
    let (mut f, room) = with_room();
    f.checkpoint();
    room.left.store(100_000, Ordering::Relaxed);
    f.exec("INSERT INTO t VALUES(2, zeroblob(500000))");
    let error = f.database.end_turn().expect_err("no room");
    assert!(error.to_string().contains(TEXT), "{error}");
    f.assert_fails("SELECT 1", TEXT);
    assert_eq!(room.left.load(Ordering::Relaxed), 100_000);
    f.reset();
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
}

/// Why `query`, apart from the guest and as a turn of its own, failed, if it did, and why its turn did.
fn failed_apart(f: &mut Fixture, query: &str) -> (Option<SqlError>, StorageError) {
    let ran = f.database.turn_apart(|database| Ok::<_, Infallible>(database.exec(query, &[], 1000)));
    let (result, ended) = ran.expect("nothing else fails");
    (result.err(), ended.expect_err("the turn fails"))
}

#[test]
fn work_apart_whose_first_write_is_refused_poisons_nothing_and_the_guest_writes_on() {
    let (mut f, room) = with_room();
    for (count, write) in
        [(2, "INSERT INTO t VALUES(99, NULL)"), (3, "CREATE TABLE u(x)"), (4, "DELETE FROM t")]
    {
        room.is_open.store(false, Ordering::Relaxed);
        let (refused, ended) = failed_apart(&mut f, write);
        assert_eq!(refused.expect("no space").message, TEXT, "{write}");
        assert!(matches!(ended, StorageError::Poisoned(_)), "{write}: {ended}");
        room.is_open.store(true, Ordering::Relaxed);
        f.exec("INSERT INTO t(b) VALUES(NULL)");
        assert!(f.end_turn().is_some(), "{write}");
        assert_eq!(f.integer("SELECT count(*) FROM t"), count, "{write}");
    }
    f.reset();
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1, 2, 3, 4]));
    assert_eq!(f.rows("SELECT name FROM sqlite_schema"), [text("t")]);
}

#[test]
fn work_apart_in_whose_midst_there_is_no_space_poisons_as_a_guests_does() {
    // A page that is spilled finds no room; pages were spilled before the refusal; the commit finds no room.
    for (is_open, left, bytes) in
        [(true, 10_000, 3_000_000), (false, 16 << 20, 3_000_000), (true, 100_000, 500_000)]
    {
        let (mut f, room) = with_room();
        room.is_open.store(is_open, Ordering::Relaxed);
        room.left.store(left, Ordering::Relaxed);
        let (_, ended) = failed_apart(&mut f, &format!("INSERT INTO t VALUES(2, zeroblob({bytes}))"));
        assert!(matches!(ended, StorageError::Poisoned(_)), "{left}: {ended}");
        f.assert_fails("SELECT 1", TEXT);
        assert_eq!(room.left.load(Ordering::Relaxed), left, "it gives back what it held");
        f.reset();
        assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]), "{left}");
    }
}

#[test]
fn work_apart_beyond_the_limits_of_a_database_poisons_as_a_guests_does() {
    for options in [
        DatabaseOptions { transaction_bytes_max: 64 * 4096, ..DatabaseOptions::default() },
        DatabaseOptions { pages_max: 64, ..DatabaseOptions::default() },
    ] {
        let mut f = fixture_with(options);
        f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
        f.end_turn().expect("commit");
        let (refused, ended) = failed_apart(&mut f, "INSERT INTO t VALUES(1, zeroblob(3000000))");
        assert!(refused.expect("over the limit").is_full());
        assert!(matches!(ended, StorageError::Poisoned(_)), "{ended}");
        f.assert_fails("SELECT 1", TEXT);
        f.reset();
        assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
    }
}

#[test]
fn an_object_that_is_closed_reads_and_does_not_write() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id)");
    f.end_turn().expect("commit");
    f.database.set_closed(true);
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
    f.assert_fails("INSERT INTO t VALUES(1)", TEXT);
}

#[test]
fn a_wal_that_found_no_space_is_kept_for_the_next_instance_and_copied_later() {
    let disk = SimulatedDisk::new(1);
    for at in 1..40 {
        let path = format!("/objects/{at}/x.sqlite");
        let file = object_file(Arc::new(disk.clone()), Path::new(&path));
        let options = DatabaseOptions::default();
        let mut database = Database::of(&file, &options);
        let run = |database: &mut Database, query: &str| database.exec(query, &[], 100).expect("runs").rows;
        run(&mut database, "CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
        database.end_turn().expect("commit");
        run(&mut database, "INSERT INTO t VALUES(1, randomblob(50000))");
        database.end_turn().expect("commit");
        let sum = "SELECT id, length(b), hex(b) FROM t";
        let expected = run(&mut database, sum);
        disk.fill_at(disk.growths() + at);
        let copied = database.copy_wal_to_file(Sequence(2), Sequence(2));
        let was_full = copied.is_err();
        if let Err(error) = copied {
            assert!(error.is_full(), "{error}");
            // What was undone stands behind the last commit of the WAL.
            run(&mut database, "INSERT INTO t VALUES(7, randomblob(3000000))");
            database.discard_turn().expect("discard");
            let next = database.successor(&file, &options).expect("over the WAL");
            database = next;
        }
        assert_eq!(run(&mut database, sum), expected, "{at}");
        run(&mut database, "INSERT INTO t VALUES(2, NULL)");
        let commit = database.end_turn().expect("commit").expect("changes");
        // The page of the new row, and what stands on the first; not what was committed before.
        assert!((1..=3).contains(&commit.pages.len()), "{} pages", commit.pages.len());
        disk.make_space();
        database.copy_wal_to_file(Sequence(3), Sequence(3)).expect("space");
        drop(database);
        let mut again = Database::of(&file, &options);
        assert_eq!(run(&mut again, "SELECT id FROM t"), integers(&[1, 2]), "{at}");
        assert_eq!(run(&mut again, "PRAGMA quick_check"), [text("ok")], "{at}");
        if !was_full {
            assert!(at > 14, "fifteen pages were to be written");
            return;
        }
    }
    panic!("the copy was never whole");
}

#[test]
fn a_wipe_for_which_there_is_no_space_is_refused_and_one_without_room_is_undone() {
    for is_open in [false, true] {
        let (mut f, room) = with_room();
        f.checkpoint();
        room.is_open.store(is_open, Ordering::Relaxed);
        room.left.store(if is_open { 4000 } else { 1 << 20 }, Ordering::Relaxed);
        let before = room.left.load(Ordering::Relaxed);
        let error = f.database.delete_all().expect_err("no space").to_string();
        assert!(error.contains("SQLITE_FULL"), "{error}");
        assert!(matches!(f.database.end_turn(), Err(StorageError::Poisoned(_))));
        assert_eq!(room.left.load(Ordering::Relaxed), before);
        f.reset();
        assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]), "{is_open}");
    }
}

#[test]
fn a_wipe_gives_back_what_it_held_if_its_turn_is_undone() {
    let (mut f, room) = with_room();
    let before = room.left.load(Ordering::Relaxed);
    f.database.delete_all().expect("delete all");
    f.exec("CREATE TABLE u(a)");
    f.database.discard_turn().expect("discard");
    assert_eq!(room.left.load(Ordering::Relaxed), before);
    // As when the file has no space for the WAL: the next connection opens over it.
    f.database = f.database.successor(&f.file, &f.options).expect("over the WAL");
    assert_eq!(f.rows("SELECT id FROM t"), integers(&[1]));
    f.database.delete_all().expect("delete all");
    f.exec("CREATE TABLE u(a)");
    let commit = f.end_turn().expect("commit");
    assert!(room.held.load(Ordering::Relaxed) >= commit.pages.len() as u64 * (4096 + 24));
    f.database = f.database.successor(&f.file, &f.options).expect("over the WAL");
    assert_eq!(f.rows("SELECT name FROM sqlite_schema"), [text("u")]);
    assert!(f.database.is_file_to_be_cut());
}
