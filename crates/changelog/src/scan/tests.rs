//! What a scan takes for the end of the log, and what for damage.
//! Logs are written by hand, record by record, so that each kind of damage stands alone.

use super::*;
use crate::codec::{EncodedRecord, encode, encode_in_parts};
use crate::disk::RealDisk;
use crate::samples::{checkpoint, commit, key};
use crate::simulated_disk::SimulatedDisk;

const DIR: &str = "/log";

fn try_open(disk: &SimulatedDisk) -> Result<LogScan, LogError> {
    let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
    LogScan::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

fn start(disk: &SimulatedDisk) -> StartedLog {
    let mut scan = try_open(disk).expect("sound");
    scan.secure_tail().expect("disk is well");
    scan.finish().expect("disk is well")
}

fn sequences(scan: &LogScan) -> Vec<(u8, u64)> {
    let mut found = Vec::new();
    let read = scan.for_each::<LogError>(&mut |record| {
        found.push((record.key.id.as_bytes()[0], record.sequence.0));
        Ok(())
    });
    read.expect("sound");
    found
}

/// Commits of one object, chained.
fn series(object: u8, range: std::ops::RangeInclusive<u64>, part_bytes: usize) -> Vec<EncodedRecord> {
    let mut chain = 0;
    let encode_next = |sequence| {
        let encoded = encode_in_parts(&commit(object, sequence, 1), chain, part_bytes);
        chain = encoded.chain;
        encoded
    };
    range.map(encode_next).collect()
}

/// A disk with a log of these records, and where each begins.
fn written(mut records: Vec<EncodedRecord>) -> (SimulatedDisk, Vec<LogPosition>) {
    let disk = SimulatedDisk::new(1);
    let mut started = start(&disk);
    let starts = started.log.append(&mut records).expect("disk is well");
    started.log.sync().expect("disk is well");
    disk.power_loss();
    (disk, starts)
}

fn flip(disk: &SimulatedDisk, position: u64, mask: u8) {
    let base = position - position % (16 * 1024);
    disk.flip(&Path::new(DIR).join(segment_name(base)), position - base, mask).expect("there");
}

#[test]
fn records_come_back_in_log_order_with_the_tails_of_their_objects() {
    let mut records = series(1, 1..=2, 9999);
    let chain = records[1].chain;
    records.extend(series(2, 1..=1, 9999));
    records.push(encode(&checkpoint(1, 1, 2, 1), chain));
    let (disk, starts) = written(records);
    let scan = try_open(&disk).expect("sound");
    assert_eq!(sequences(&scan), [(1, 1), (1, 2), (2, 1), (1, 2)]);
    let tail = &scan.summary()[&key(1)];
    assert_eq!((tail.sequence.0, tail.position), (2, starts[3]));
    assert_eq!(tail.checkpoint.map(|(through, mark)| (through.0, mark.file_bytes)), Some((1, 4096)));
    assert_eq!((tail.name.as_deref(), tail.needs_apply()), (Some("object 1"), true));
}

#[test]
fn a_last_record_damaged_at_any_byte_is_dropped_alone() {
    let size = series(1, 1..=3, 9999)[2].size_bytes() as u64;
    for byte in 0..size {
        let (disk, starts) = written(series(1, 1..=3, 9999));
        flip(&disk, starts[2].0 + byte, 1 << (byte % 8));
        let scan = try_open(&disk).expect("a torn tail");
        assert_eq!((sequences(&scan), scan.end()), (vec![(1, 1), (1, 2)], starts[2]), "{byte}");
    }
}

#[test]
fn a_last_record_cut_at_any_byte_is_dropped_alone() {
    for kept in [true, false] {
        let size = series(1, 1..=3, 500)[2].size_bytes() as u64;
        for byte in 0..size {
            let (disk, starts) = written(series(1, 1..=3, 500));
            let path = Path::new(DIR).join(segment_name(0));
            let file = disk.open(&path, OpenMode::Existing).expect("there");
            if kept {
                fill_with_zeros(&file, starts[2].0 + byte, 16 * 1024).expect("disk is well");
            } else {
                file.set_len(starts[2].0 + byte).expect("disk is well");
            }
            let mut scan = try_open(&disk).expect("a torn tail");
            // The last bytes of the payload may be zeros anyhow; then nothing was lost.
            let whole = kept && sequences(&scan).len() == 3;
            assert!(whole || sequences(&scan) == [(1, 1), (1, 2)], "{byte}");
            scan.secure_tail().expect("disk is well");
            scan.finish().expect("disk is well");
        }
    }
}

#[test]
fn damage_in_a_segment_before_the_last_is_an_error_and_not_an_end() {
    let (disk, starts) = written(series(1, 1..=100, 9999));
    assert!(starts[99].0 > 16 * 1024);
    flip(&disk, starts[5].0 + 40, 4);
    let error = try_open(&disk).expect_err("damaged");
    assert!(matches!(error, LogError::Damaged { position, .. } if position == starts[5]), "{error}");
}

#[test]
fn a_missing_segment_is_an_error() {
    let (disk, _) = written(series(1, 1..=100, 9999));
    disk.remove(&Path::new(DIR).join(segment_name(0))).expect("there");
    assert!(matches!(try_open(&disk), Err(LogError::Damaged { .. })));
}

#[test]
fn a_gap_names_its_object_unless_it_is_the_very_last_record() {
    let mut records = series(1, 1..=5, 9999);
    records.remove(2);
    let error = try_open(&written(records.clone()).0).expect_err("a gap");
    assert!(matches!(error, LogError::History { key: at, .. } if at == key(1)), "{error}");
    assert!(error.to_string().contains("commit 4 stands where 3 is due"), "{error}");
    records.truncate(3);
    assert_eq!(sequences(&try_open(&written(records).0).expect("an accident")), [(1, 1), (1, 2)]);
}

#[test]
fn checkpoints_may_stand_before_the_first_commit_that_is_read() {
    let commits = series(1, 1..=4, 9999);
    let late =
        |through: u64| encode(&checkpoint(1, through, through, 1), commits[through as usize - 1].chain);
    let read = |records: Vec<EncodedRecord>| {
        let scan = try_open(&written(records).0);
        scan.map(|scan| scan.summary()[&key(1)].clone()).map_err(|error| error.to_string())
    };
    // Commits up to 2 and up to 3 were given up, the second time because of the later checkpoint.
    let tail = read(vec![late(1), late(2)]).expect("sound");
    assert_eq!((tail.sequence.0, tail.needs_apply(), tail.chain), (2, false, commits[1].chain));
    let tail = read(vec![late(1), commits[3].clone(), late(3)]).expect("sound");
    assert_eq!((tail.sequence.0, tail.needs_apply(), tail.first), (4, true, Some(tail.sequence)));
    let error = read(vec![late(1), commits[3].clone(), late(2)]).expect_err("commit 3 is nowhere");
    assert!(error.contains("commits 3 to 3 are missing"), "{error}");
}

#[test]
fn a_broken_chain_and_a_late_instance_name_their_object() {
    let first = series(1, 1..=1, 9999).remove(0);
    let end = encode(&commit(2, 1, 1), 0);
    let mut late = commit(1, 2, 0);
    late.epoch.0 = 0;
    for (second, text) in [
        (encode(&commit(1, 2, 1), first.chain ^ 1), "does not continue the chain"),
        (encode(&late, first.chain), "of an earlier instance"),
        (encode(&checkpoint(1, 2, 1, 1), first.chain), "a checkpoint of commit 2"),
    ] {
        let error = try_open(&written(vec![first.clone(), second, end.clone()]).0).expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn interleaved_parts_are_joined_and_an_unfinished_record_does_not_count() {
    let mut one = encode_in_parts(&commit(1, 1, 1), 0, 50).into_parts().into_iter();
    let mut two = encode_in_parts(&commit(2, 1, 1), 0, 50).into_parts().into_iter();
    let mut mixed: Vec<_> = one.by_ref().zip(two.by_ref()).flat_map(|(a, b)| [a, b]).collect();
    assert!(mixed.len() > 4);
    mixed.extend(one.chain(two));
    let last = mixed.len() - 1;
    let last_object = mixed[last].key.id.as_bytes()[0];
    let scan = try_open(&written(mixed.clone()).0).expect("sound");
    assert_eq!(sequences(&scan).len(), 2);
    let scan = try_open(&written(mixed[..last].to_vec()).0).expect("a torn tail");
    let rest = sequences(&scan);
    assert!(rest.iter().all(|(object, _)| *object != last_object), "{rest:?}");
}

#[test]
fn parts_whose_beginning_was_given_up_are_passed_over() {
    let disk = SimulatedDisk::new(1);
    let mut started = start(&disk);
    let mut parts = encode_in_parts(&commit(1, 1, 1), 0, 60).into_parts();
    parts.extend(series(2, 1..=1, 9999));
    let starts = started.log.append(&mut parts).expect("disk is well");
    started.log.sync().expect("disk is well");
    started.control.release(starts[1], &started.pool).expect("disk is well");
    assert_eq!(sequences(&try_open(&disk).expect("sound")), [(2, 1)]);
}

#[test]
fn a_new_start_begins_behind_all_that_was_ever_written_and_recycles_it() {
    let (disk, starts) = written(series(1, 1..=100, 9999));
    let started = start(&disk);
    assert_eq!(started.start_number, 2);
    assert!(started.log.position() > starts[99] && started.control.recover_from() > starts[99]);
    assert_eq!(started.pool.ready(), 3);
    let names = disk.list(Path::new(DIR)).expect("list");
    assert!(!names.iter().any(|name| base_of(name).is_some()), "{names:?}");
    assert_eq!(sequences(&try_open(&disk).expect("sound")), []);
}

/// Lengths of the segments, in their order.
fn lengths(disk: &SimulatedDisk) -> Vec<u64> {
    find_segments(disk, Path::new(DIR)).expect("list").into_values().collect()
}

#[test]
fn a_secured_tail_ends_with_what_counts_and_becomes_no_spare_segment() {
    let (disk, starts) = written(series(1, 1..=3, 9999));
    let mut scan = try_open(&disk).expect("sound");
    scan.secure_tail().expect("disk is well");
    scan.secure_tail().expect("once more");
    let end = scan.end().0;
    assert_eq!(lengths(&disk), [end]);
    assert!(end > starts[2].0 && end < 16 * 1024, "{end}");
    // A crash before the log is given up finds the same.
    disk.power_loss();
    let mut scan = try_open(&disk).expect("sound");
    assert_eq!((sequences(&scan), scan.end().0), (vec![(1, 1), (1, 2), (1, 3)], end));
    scan.secure_tail().expect("disk is well");
    let started = scan.finish().expect("disk is well");
    // What is cut has no prepared room.
    assert_eq!((lengths(&disk), started.pool.ready()), (vec![], 0));
    assert_eq!(started.log.position().0, 16 * 1024);
}

#[test]
fn a_secured_tail_behind_a_seal_keeps_its_length_by_which_the_next_is_found() {
    let (disk, starts) = written(series(1, 1..=100, 9999));
    let next = starts.iter().map(|start| start.0 / (16 * 1024)).max().expect("some") * 16 * 1024;
    // The log ends with the seal before the last segment, whose first record is damaged.
    flip(&disk, next + 60, 1);
    let before = lengths(&disk);
    let mut scan = try_open(&disk).expect("sound");
    assert!(scan.end().0 < next && before.len() > 1, "{before:?}");
    scan.secure_tail().expect("disk is well");
    assert_eq!(lengths(&disk), before);
    let sound = sequences(&scan);
    disk.power_loss();
    assert_eq!(sequences(&try_open(&disk).expect("sound")), sound);
}

#[test]
fn a_log_on_the_machines_own_disk_comes_back() {
    let dir = std::env::temp_dir().join(format!("durabo-changelog-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = || LogScan::open(disk.clone(), &dir, LogOptions::default()).expect("sound");
    let mut scan = open();
    scan.secure_tail().expect("disk is well");
    let mut started = scan.finish().expect("disk is well");
    assert!(started.pool.prepare().expect("space"));
    started.log.append(&mut series(1, 1..=3, 9999)).expect("disk is well");
    started.log.sync().expect("disk is well");
    assert_eq!(started.pool.unprepared(), 0);
    let mut scan = open();
    scan.secure_tail().expect("disk is well");
    assert_eq!(sequences(&scan), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(scan.finish().expect("disk is well").start_number, 2);
    std::fs::remove_dir_all(&dir).expect("ours");
}

#[test]
fn a_log_without_its_control_file_and_a_small_segment_size_are_refused() {
    let (disk, _) = written(series(1, 1..=1, 9999));
    disk.remove(&control_path(Path::new(DIR))).expect("there");
    assert!(matches!(try_open(&disk), Err(LogError::ControlMissing(_))));
    let options = LogOptions { segment_bytes: 4096, ..LogOptions::default() };
    let error = LogScan::open(Arc::new(disk), Path::new(DIR), options).expect_err("too small");
    assert!(matches!(error, LogError::SegmentSize { bytes: 4096, .. }));
}
