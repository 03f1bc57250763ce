//! Pages, checkpoints and recovery: what is replayed equals what was written.
//!
//! On the simulated disk; whole nodes under power loss are in `tests/simulation`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use durabo_changelog::codec;
use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::page;
use durabo_changelog::record::{FileMark, PAGE_BYTES, PageContent, Record, RecordBody};
use durabo_changelog::scan::{LogScan, StartedLog};
use durabo_changelog::segment::LogOptions;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::Epoch;
use durabo_model::time::Timestamp;

use super::*;
use crate::error::StorageError;
use crate::object_index::{AlarmEntry, ObjectIndex, ObjectRow};
use crate::recovery::{self, Job, RecoveryReport};

/// A database file made of commits alone.
#[derive(Default)]
pub(super) struct Replay(pub(super) Vec<u8>);

impl Replay {
    pub(super) fn apply(&mut self, commit: &TurnCommit) {
        if commit.has_wiped {
            self.0.clear();
        }
        self.0.resize(commit.database_pages as usize * PAGE_BYTES, 0);
        for entry in &commit.pages {
            let start = (entry.number as usize - 1) * PAGE_BYTES;
            let image = &mut self.0[start..start + PAGE_BYTES];
            page::apply(&entry.content, image.try_into().expect("page")).expect("apply");
        }
    }
}

/// A simple generator, so that runs repeat.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(super) fn random_writes(f: &mut Fixture, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let id = dice.below(200) as i64;
        match dice.below(5) {
            0 => {
                f.exec_with("DELETE FROM t WHERE id = ?", &integers(&[id]));
            }
            1 => {
                f.exec(
                    "CREATE TABLE IF NOT EXISTS u(a, b UNIQUE); INSERT OR REPLACE INTO u VALUES(1, random())",
                );
            }
            2 => {
                f.exec("DROP TABLE IF EXISTS u");
            }
            _ => {
                let size = dice.below(9000) as i64;
                f.exec_with("INSERT OR REPLACE INTO t VALUES(?, randomblob(?))", &integers(&[id, size]));
            }
        }
    }
}

pub(super) fn assert_sound(path: &Path) {
    let db = rusqlite::Connection::open(path).expect("stock");
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("check");
    assert_eq!(check, "ok");
}

#[test]
fn replayed_commits_give_the_file_that_a_checkpoint_gives() {
    let mut f = fixture();
    let (mut replay, mut dice) = (Replay::default(), Dice(7));
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
    replay.apply(&f.end_turn().expect("commit"));
    for round in 0..300 {
        random_writes(&mut f, &mut dice);
        if dice.below(5) == 0 {
            f.database.discard_turn().expect("discard");
        } else if let Some(commit) = f.end_turn() {
            replay.apply(&commit);
        }
        if round % 37 == 36 {
            f.checkpoint();
            assert!(std::fs::read(f.file.path()).expect("file") == replay.0, "round {round}");
        }
    }
    f.checkpoint();
    drop(f.database);
    assert_sound(f.file.path());
}

#[test]
fn a_transaction_that_spilled_is_captured_whole() {
    let options = DatabaseOptions { transaction_bytes_max: 16 * 1024 * 1024, ..Default::default() };
    let mut f = fixture_with(options);
    let mut replay = Replay::default();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
    replay.apply(&f.end_turn().expect("commit"));
    let fill = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000) \
                INSERT OR REPLACE INTO t SELECT x * 7919 % 3001, randomblob(1500) FROM c";
    for discarded in [true, false, false] {
        f.exec(fill);
        assert!(f.database.wal_bytes() > 2 * 1024 * 1024, "nothing was spilled");
        if discarded {
            f.database.discard_turn().expect("discard");
            f.exec("INSERT INTO t VALUES(9999, NULL)");
            replay.apply(&f.end_turn().expect("commit"));
        } else {
            replay.apply(&f.end_turn().expect("commit"));
        }
    }
    f.checkpoint();
    assert!(std::fs::read(f.file.path()).expect("file") == replay.0);
    assert_sound(f.file.path());
}

#[test]
fn invariant_3_the_first_change_after_a_checkpoint_is_logged_whole() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1)");
    f.end_turn().expect("commit");
    let change = |f: &mut Fixture| {
        f.exec("UPDATE t SET b = b + 1");
        let commit = f.end_turn().expect("commit");
        commit.pages.iter().all(|entry| matches!(entry.content, PageContent::Difference(_)))
    };
    assert!(change(&mut f));
    f.checkpoint();
    assert!(!change(&mut f));
    assert!(change(&mut f));
}

#[test]
fn a_planted_difference_base_gives_a_difference_after_a_checkpoint() {
    mutation::plant(Some(Mutation::KeepDifferenceBase));
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1)");
    f.end_turn().expect("commit");
    f.checkpoint();
    f.exec("UPDATE t SET b = 2");
    let commit = f.end_turn().expect("commit");
    mutation::plant(None);
    assert!(matches!(commit.pages[0].content, PageContent::Difference(_)));
}

/// In how many of 30 power losses a synced file was not as it was.
fn losses(planted: Option<Mutation>) -> usize {
    mutation::plant(planted);
    let lost = (0..30).filter(|&seed| {
        let simulated = SimulatedDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
        let file = object_file(disk.clone(), &path_of(&key(1)));
        let mut database = Database::of(&file, &DatabaseOptions::default());
        database.exec("CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(20000))", &[], 0).expect("write");
        database.end_turn().expect("turn").expect("commit");
        database.copy_wal_to_file(Sequence(1), Sequence(1)).expect("copy");
        file.sync().expect("sync");
        let mark = file.mark().expect("mark");
        simulated.power_loss();
        let reopened = ObjectFile::open(disk, path_of(&key(1)));
        !reopened.is_ok_and(|file| file.check_mark(Some(mark)).is_ok())
    });
    let count = lost.count();
    mutation::plant(None);
    count
}

#[test]
fn invariant_4_a_synced_file_survives_and_an_unsynced_one_does_not() {
    assert_eq!(losses(None), 0);
    assert!(losses(Some(Mutation::SkipFileSync)) > 0);
    assert!(losses(Some(Mutation::SkipFileDirSync)) > 0);
}

const DATA: &str = "/data";

fn key(byte: u8) -> ObjectKey {
    ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([byte; 32]) }
}

fn path_of(key: &ObjectKey) -> PathBuf {
    PathBuf::from(DATA).join("objects/1/ab").join(format!("{}.sqlite", key.id))
}

/// The log and the index as the last life left them.
fn find(disk: &Arc<dyn Disk>) -> (LogScan, ObjectIndex) {
    disk.create_dir_all(Path::new(DATA)).expect("folder");
    let log_dir = PathBuf::from(DATA).join("log");
    let options = LogOptions { segment_bytes: 4 * 1024 * 1024, ..Default::default() };
    let mut scan = LogScan::open(disk.clone(), &log_dir, options).expect("scan");
    let index = ObjectIndex::open(disk.clone(), &PathBuf::from(DATA).join("index.sqlite")).expect("index");
    scan.secure_tail().expect("tail");
    (scan, index)
}

fn recover(
    disk: &Arc<dyn Disk>,
    scan: &LogScan,
    index: &mut ObjectIndex,
) -> Result<RecoveryReport, StorageError> {
    recovery::recover(disk, &path_of, &one_by_one, scan, index)
}

fn one_by_one(count: usize, job: Job<'_>) -> Result<(), StorageError> {
    (0..count).try_for_each(job)
}

fn start(disk: &Arc<dyn Disk>) -> (StartedLog, ObjectIndex, RecoveryReport) {
    let (scan, mut index) = find(disk);
    let report = recover(disk, &scan, &mut index).expect("recovery");
    // Again, and with so little room that files are written after nearly each commit.
    let again = recovery::recover_within(2, disk, &path_of, &one_by_one, &scan, &mut index);
    assert_eq!(report, again.expect("recovery again"));
    (scan.finish().expect("log"), index, report)
}

fn record(key: ObjectKey, row: Option<&ObjectRow>, commit: TurnCommit) -> Record {
    let sequence = row.map_or(Sequence(0), |row| row.sequence).next();
    let TurnCommit { database_pages, alarm, pages, .. } = commit;
    Record {
        key,
        epoch: Epoch::new(1, 1),
        sequence,
        chain: 0,
        raw_time: Timestamp(5),
        time: Timestamp(5),
        name: commit.name,
        body: match commit.has_wiped {
            true => RecordBody::Wipe { database_pages, alarm, pages },
            false => RecordBody::Commit { database_pages, alarm, pages },
        },
    }
}

#[test]
fn commits_in_the_log_survive_power_losses_and_kills() {
    for seed in 0..12 {
        let simulated = SimulatedDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
        let mut dice = Dice(seed);
        let mut expected: BTreeMap<u8, i64> = BTreeMap::new();
        for _life in 0..4 {
            let (mut started, index, _) = start(&disk);
            for byte in 0..4u8 {
                let row = index.get(&key(byte)).expect("row");
                let file = object_file(disk.clone(), &path_of(&key(byte)));
                file.check_mark(row.as_ref().map(|row| row.mark)).expect("mark");
                let options = DatabaseOptions { name: Some(format!("n{byte}")), ..Default::default() };
                let mut database = Database::of(&file, &options);
                if row.is_some() {
                    assert_eq!(row.as_ref().and_then(|row| row.name.as_deref()), options.name.as_deref());
                    let rows = database.exec("SELECT n FROM t; ", &[], 1).expect("select").rows;
                    assert_eq!(rows, integers(&[expected[&byte]]), "seed {seed}");
                    let check = "PRAGMA quick_check";
                    assert_eq!(database.exec(check, &[], 1).expect("check").rows, [text("ok")]);
                }
                let mut last = row;
                for _ in 0..dice.below(5) {
                    if dice.below(4) == 0 {
                        database.delete_all().expect("delete all");
                        expected.remove(&byte);
                    }
                    let query = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, n, pad); INSERT INTO t \
                        VALUES(1, 1, randomblob(9000)) ON CONFLICT DO UPDATE SET n = n + 1, pad = randomblob(500 * n)";
                    database.exec(query, &[], 0).expect("write");
                    let commit = database.end_turn().expect("turn").expect("commit");
                    let new = record(key(byte), last.as_ref(), commit);
                    let encoded = codec::encode(&new, last.as_ref().map_or(0, |row| row.chain));
                    let mark = file.mark().expect("mark");
                    let name = options.name.clone();
                    last = Some(ObjectRow {
                        key: key(byte),
                        name,
                        mark,
                        sequence: new.sequence,
                        chain: encoded.chain,
                        last_commit: new.time,
                        alarm: None,
                    });
                    started.log.append(&mut [encoded]).expect("append");
                    started.log.sync().expect("sync");
                    *expected.entry(byte).or_default() += 1;
                    if dice.below(3) == 0 {
                        // Copied, torn by the loss of power, and never said to be a checkpoint.
                        database.copy_wal_to_file(new.sequence, new.sequence).expect("copy");
                    }
                }
            }
            drop((started, index));
            if dice.below(2) == 0 { simulated.power_loss() } else { simulated.process_kill() }
        }
        let (_, index, _) = start(&disk);
        assert_eq!(index.count(NamespaceNumber(1)).expect("count"), expected.len() as u64);
        let listed = index.list(NamespaceNumber(1), None, 10).expect("list");
        assert_eq!(listed.len(), expected.len());
    }
}

/// A life in which an object commits and is checkpointed, the log of that is given up, and it commits again. Gives
/// its row in the index.
fn checkpoint_and_go_on(disk: &Arc<dyn Disk>) -> ObjectRow {
    let (mut started, mut index, _) = start(disk);
    let file = object_file(disk.clone(), &path_of(&key(1)));
    let mut database = Database::of(&file, &DatabaseOptions::default());
    let query = "CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(20000))";
    database.exec(query, &[], 0).expect("write");
    let first = record(key(1), None, database.end_turn().expect("turn").expect("commit"));
    let encoded = codec::encode(&first, 0);
    let (sequence, chain) = (first.sequence, encoded.chain);
    database.copy_wal_to_file(sequence, sequence).expect("copy");
    file.sync().expect("sync");
    let mark = file.mark().expect("mark");
    let (last_commit, alarm) = (first.time, Some(Timestamp(9)));
    let row = ObjectRow { key: key(1), name: None, mark, sequence, chain, last_commit, alarm };
    index.upsert_all(std::slice::from_ref(&row)).expect("row");
    let body = RecordBody::Checkpoint { through: sequence, mark };
    let checkpoint = codec::encode(&Record { chain, name: None, body, ..first }, chain);
    started.log.append(&mut [encoded, checkpoint]).expect("append");
    let given_up = started.log.sync().expect("sync");
    started.control.release(given_up, &started.pool).expect("release");
    database.exec("INSERT INTO t VALUES(1)", &[], 0).expect("write");
    let second = record(key(1), Some(&row), database.end_turn().expect("turn").expect("commit"));
    started.log.append(&mut [codec::encode(&second, chain)]).expect("append");
    started.log.sync().expect("sync");
    row
}

#[test]
fn a_missing_file_is_not_made_from_the_commits_after_its_checkpoint_and_may_be_put_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
    let row = checkpoint_and_go_on(&disk);
    let (path, away) = (path_of(&key(1)), path_of(&key(2)));
    disk.rename(&path, &away).expect("moved away");
    let (scan, mut index) = find(&disk);
    let tail = &scan.summary()[&key(1)];
    assert_eq!((tail.checkpoint, tail.first), (None, Some(Sequence(2))));
    let error = recover(&disk, &scan, &mut index).expect_err("a part of its pages is gone");
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    assert!(!disk.exists(&path).expect("looked"));
    assert_eq!(index.get(&key(1)).expect("row"), Some(row));
    drop((scan, index));
    disk.rename(&away, &path).expect("put back");
    let (_, index, report) = start(&disk);
    assert_eq!(report, RecoveryReport { objects: 1, commits: 1 });
    let row = index.get(&key(1)).expect("read").expect("row");
    assert_eq!((row.sequence, row.alarm), (Sequence(2), Some(Timestamp(9))));
    let file = object_file(disk, &path);
    file.check_mark(Some(row.mark)).expect("as recovery left it");
    let mut database = Database::of(&file, &DatabaseOptions::default());
    let rows = database.exec("SELECT count(*) FROM t", &[], 1).expect("select").rows;
    assert_eq!(rows, integers(&[2]));
}

#[test]
fn a_checkpoint_that_found_no_space_can_be_repeated() {
    for operation in 1..6 {
        let simulated = SimulatedDisk::new(1);
        let file = object_file(Arc::new(simulated.clone()), &path_of(&key(1)));
        let mut database = Database::of(&file, &DatabaseOptions::default());
        let query = "CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(20000))";
        database.exec(query, &[], 0).expect("write");
        database.end_turn().expect("turn").expect("commit");
        simulated.fail_at(simulated.operations() + operation, Fault::NoSpace);
        let error = database.copy_wal_to_file(Sequence(1), Sequence(1)).expect_err("no space");
        assert!(error.to_string().contains("copying an object's WAL to its file"), "{error}");
        let rows = database.exec("SELECT length(a) FROM t", &[], 1).expect("select").rows;
        assert_eq!(rows, integers(&[20000]));
        database.end_turn().expect("turn");
        database.copy_wal_to_file(Sequence(1), Sequence(1)).expect("space again");
        drop(database);
        let mut database = Database::of(&file, &DatabaseOptions::default());
        let rows = database.exec("SELECT length(a) FROM t", &[], 1).expect("select").rows;
        assert_eq!(rows, integers(&[20000]));
    }
}

#[test]
fn the_index_keeps_rows_and_pages_through_them() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("index.sqlite");
    let row = |byte: u8| ObjectRow {
        key: key(byte),
        name: byte.is_multiple_of(2).then(|| format!("n{byte}")),
        mark: FileMark { file_bytes: 8192, first_page_crc: u32::MAX },
        sequence: Sequence(u64::MAX),
        chain: 9,
        last_commit: Timestamp(3),
        alarm: (byte == 2).then_some(Timestamp(7)),
    };
    let mut index = ObjectIndex::open(Arc::new(RealDisk), &path).expect("index");
    index.upsert_all(&[row(3), row(1), row(2)]).expect("rows");
    drop(index);
    let index = ObjectIndex::open(Arc::new(RealDisk), &path).expect("index");
    assert_eq!(index.get(&key(2)).expect("row"), Some(row(2)));
    assert_eq!(index.get(&key(9)).expect("row"), None);
    assert_eq!(index.list(NamespaceNumber(1), None, 2).expect("list"), [row(1), row(2)]);
    assert_eq!(index.list(NamespaceNumber(1), Some(key(2).id), 2).expect("list"), [row(3)]);
    assert_eq!(index.count(NamespaceNumber(2)).expect("count"), 0);
}

#[test]
fn a_damaged_index_is_said_to_be_damaged() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("index.sqlite");
    std::fs::write(&path, vec![7; 8192]).expect("write");
    let text = ObjectIndex::open(Arc::new(RealDisk), &path).expect_err("damaged").to_string();
    assert!(text.contains("is damaged") && text.contains("restore the data folder"), "{text}");
}

#[test]
fn the_index_lists_alarms_by_their_time_and_pages_through_them() {
    let temp = tempfile::tempdir().expect("temp");
    let mut index = ObjectIndex::open(Arc::new(RealDisk), &temp.path().join("index.sqlite")).expect("index");
    let row = |byte: u8, alarm: Option<u64>| ObjectRow {
        key: key(byte),
        name: None,
        mark: FileMark { file_bytes: 8192, first_page_crc: 1 },
        sequence: Sequence(1),
        chain: 9,
        last_commit: Timestamp(3),
        alarm: alarm.map(Timestamp),
    };
    let rows = [row(1, Some(30)), row(2, Some(10)), row(3, None), row(4, Some(10)), row(5, Some(20))];
    index.upsert_all(&rows).expect("rows");
    let all = index.alarms(None, None, 10).expect("alarms");
    let seen: Vec<_> = all.iter().map(|entry| (entry.due.0, entry.key)).collect();
    assert_eq!(seen, [(10, key(2)), (10, key(4)), (20, key(5)), (30, key(1))]);
    assert_eq!(index.alarms(None, Some(all[1]), 1).expect("alarms"), all[2..3]);
    assert_eq!(index.alarms(Some(key(1).namespace), Some(all[0]), 10).expect("alarms"), all[1..]);
    let other = NamespaceNumber(99);
    assert_eq!(index.alarms(Some(other), None, 10).expect("alarms"), []);
    let elsewhere = ObjectKey { namespace: other, ..key(6) };
    index.upsert_all(&[ObjectRow { key: elsewhere, ..row(6, Some(15)) }]).expect("rows");
    let of_other = index.alarms(Some(other), None, 10).expect("alarms");
    assert_eq!(of_other, [AlarmEntry { due: Timestamp(15), key: elsewhere }]);
    assert_eq!(index.alarms(Some(key(1).namespace), None, 10).expect("alarms"), all);
    index.upsert_all(&[ObjectRow { key: elsewhere, ..row(6, None) }]).expect("rows");
    index.upsert_all(&[row(2, None)]).expect("rows");
    assert_eq!(index.alarms(None, None, 10).expect("alarms"), all[1..]);
}

#[test]
fn an_index_of_the_second_form_is_migrated_with_its_alarms_and_a_copy_is_kept() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("index.sqlite");
    crate::vfs::register().expect("SQLite is set up");
    let old = rusqlite::Connection::open(&path).expect("stock");
    old.execute_batch(
        "PRAGMA journal_mode=WAL; CREATE TABLE objects(namespace INTEGER, id BLOB, name TEXT, \
         file_bytes INTEGER NOT NULL, first_page_crc INTEGER NOT NULL, sequence INTEGER NOT NULL, \
         chain INTEGER NOT NULL, last_commit INTEGER NOT NULL, alarm INTEGER, PRIMARY KEY(namespace, id)) \
         WITHOUT ROWID; CREATE INDEX alarms ON objects(alarm, namespace, id) WHERE alarm IS NOT NULL; \
         INSERT INTO objects VALUES(1, zeroblob(32), 'n', 4096, 1, 2, 3, 4, 9); PRAGMA user_version=2",
    )
    .expect("the second form");
    drop(old);
    for _ in 0..2 {
        let index = ObjectIndex::open(Arc::new(RealDisk), &path).expect("migrated, then opened again");
        let of_one = index.alarms(Some(NamespaceNumber(1)), None, 9).expect("alarms");
        assert_eq!(of_one.iter().map(|entry| entry.due.0).collect::<Vec<_>>(), [9]);
        assert_eq!(index.alarms(None, None, 9).expect("alarms"), of_one);
    }
    let copy = rusqlite::Connection::open(temp.path().join("index.sqlite.v2")).expect("a copy");
    let version: i64 = copy.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("version");
    assert_eq!(version, 2);
}

#[test]
fn an_index_of_the_first_form_is_migrated_and_a_copy_is_kept() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("index.sqlite");
    crate::vfs::register().expect("SQLite is set up");
    let old = rusqlite::Connection::open(&path).expect("stock");
    old.execute_batch(
        "PRAGMA journal_mode=WAL; CREATE TABLE objects(namespace INTEGER, id BLOB, name TEXT, \
         file_bytes INTEGER NOT NULL, first_page_crc INTEGER NOT NULL, sequence INTEGER NOT NULL, \
         chain INTEGER NOT NULL, last_commit INTEGER NOT NULL, PRIMARY KEY(namespace, id)) WITHOUT ROWID; \
         INSERT INTO objects VALUES(1, zeroblob(32), 'n', 4096, 1, 2, 3, 4); PRAGMA user_version=1",
    )
    .expect("the first form");
    drop(old);
    let mut index = ObjectIndex::open(Arc::new(RealDisk), &path).expect("migrated");
    let key = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([0; 32]) };
    let row = index.get(&key).expect("readable").expect("kept");
    assert_eq!((row.name.as_deref(), row.sequence, row.alarm), (Some("n"), Sequence(2), None));
    index.upsert_all(&[ObjectRow { alarm: Some(Timestamp(9)), ..row }]).expect("rows");
    drop(index);
    let index = ObjectIndex::open(Arc::new(RealDisk), &path).expect("opened again");
    assert_eq!(index.alarms(None, None, 9).expect("alarms").len(), 1);
    let copy = rusqlite::Connection::open(temp.path().join("index.sqlite.v1")).expect("a copy");
    let version: i64 = copy.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("version");
    let names: i64 = copy.query_row("SELECT count(*) FROM objects", [], |row| row.get(0)).expect("rows");
    assert_eq!((version, names), (1, 1));
}
