//! When SQLite opens a database: at its first use, and not for an object that keeps nothing.
//!
//! A database that cannot be opened is poisoned by that.

use super::*;
use crate::error::StorageError;

#[test]
fn sqlite_opens_at_the_first_statement_and_not_for_turns_without_one() {
    let mut f = fixture();
    assert_eq!(f.end_turn(), None);
    f.database.discard_turn().expect("nothing to discard");
    f.checkpoint();
    assert!(f.database.renew().expect("renewed"));
    f.database = f.database.successor(&f.file, &f.options).expect("another");
    let bytes = f.database.wal_memory_bytes();
    assert!(bytes == 0 && !f.database.is_turn_open() && !f.database.is_open());
    assert_eq!(f.integer("SELECT 1"), 1);
    assert!(f.database.is_open());
}

/// A name, and what is done with a database.
type Use = (&'static str, fn(&mut Database));

#[test]
fn what_uses_no_sql_opens_it_too() {
    let uses: [Use; 5] = [
        ("kv", |database| assert!(database.kv_get("a").expect("read").is_none())),
        ("alarm", |database| assert!(database.alarm().expect("read").is_none())),
        ("schedule", |database| assert!(database.next_run().expect("read").is_none())),
        ("size", |database| assert_eq!(database.database_size().expect("read"), 4096)),
        ("wipe", |database| database.delete_all().expect("nothing to remove")),
    ];
    for (name, call) in uses {
        let mut f = fixture();
        call(&mut f.database);
        assert!(f.database.is_open(), "{name}");
    }
}

#[test]
fn who_held_the_brake_before_it_was_open_stops_it() {
    let slow = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) SELECT count(*) FROM c";
    let mut f = fixture();
    let brake = f.database.interrupt_handle();
    brake.interrupt();
    f.assert_fails(slow, "interrupted");
    brake.allow();
    assert_eq!(f.integer(slow), 100_000);
    brake.interrupt();
    f.assert_fails(slow, "interrupted");
}

#[test]
fn what_opening_takes_counts_for_no_statement() {
    let small = DatabaseOptions { memory_bytes_max: 20_000, ..DatabaseOptions::default() };
    let mut f = fixture_with(small.clone());
    assert_eq!(f.integer("SELECT 1"), 1);
    // And it is counted again when that is done.
    f.assert_fails("SELECT length(zeroblob(30000) || 'a')", "need more than 20000 bytes of memory");
}

#[test]
fn a_database_that_cannot_be_opened_is_poisoned() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn();
    f.checkpoint();
    // The kind of the schema's first page.
    f.file.write_at(&[77], 100).expect("damage");
    f.database = Database::of(&f.file, &f.options);
    let first = f.error("SELECT 1");
    assert!(first.message.starts_with("opening the object's database: "), "{first}");
    f.file.write_at(&[13], 100).expect("mended");
    assert_eq!(f.error("SELECT 1"), first);
    assert!(matches!(f.database.end_turn(), Err(StorageError::Poisoned(error)) if error == first));
    f.database.discard_turn().expect("nothing is open");
    assert!(!f.database.renew().expect("looked at"), "a poisoned database was kept");
    f.database = Database::of(&f.file, &f.options);
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}
