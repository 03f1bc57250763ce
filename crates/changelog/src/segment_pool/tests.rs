//! Segments: prepared ahead, handed out, let go, and kept back while the disk is short of space.
//! On the simulated disk, which tells its room and refuses what would exceed it.

use super::*;
use crate::simulated_disk::{Fault, SimulatedDisk};

fn pool(disk: &SimulatedDisk) -> SegmentPool {
    disk.create_dir_all(Path::new("/log")).expect("folder");
    let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
    SegmentPool::open(Arc::new(disk.clone()), Path::new("/log"), &options).expect("pool")
}

#[test]
fn as_many_segments_as_wanted_are_prepared_and_found_again() {
    let disk = SimulatedDisk::new(1);
    let first = pool(&disk);
    while first.prepare().expect("space") {}
    assert_eq!(first.ready(), 3);
    disk.process_kill();
    let second = pool(&disk);
    assert_eq!((second.ready(), second.prepare().expect("nothing to do")), (3, false));
}

#[test]
fn a_segment_that_cannot_be_prepared_leaves_nothing_behind() {
    let disk = SimulatedDisk::new(1);
    let pool = pool(&disk);
    disk.fail_at(disk.operations() + 2, Fault::NoSpace);
    assert!(pool.prepare().is_err());
    assert_eq!(disk.list(Path::new("/log")).expect("list"), Vec::<String>::new());
    assert!(pool.prepare().expect("space again"));
}

#[test]
fn half_made_segments_are_removed_at_the_next_start() {
    let disk = SimulatedDisk::new(1);
    drop(pool(&disk));
    let path = Path::new("/log/spare-00000009");
    disk.open(path, OpenMode::Create).expect("file").write_all_at(&[0; 100], 0).expect("write");
    let pool = pool(&disk);
    assert_eq!((pool.ready(), disk.exists(path).expect("look")), (0, false));
}

#[test]
fn a_segment_is_made_on_the_spot_if_none_is_ready_and_counted() {
    let disk = SimulatedDisk::new(1);
    let pool = pool(&disk);
    assert_eq!(pool.take(0).expect("space").len().expect("length"), 16 * 1024);
    assert_eq!(pool.unprepared(), 1);
}

#[test]
fn given_up_segments_become_spares_until_there_are_enough() {
    let disk = SimulatedDisk::new(1);
    let pool = pool(&disk);
    for base in 0..4 {
        pool.take(base * 16 * 1024).expect("space");
    }
    for base in 0..4 {
        pool.give(&segment_name(base * 16 * 1024), 16 * 1024).expect("renamed or removed");
    }
    assert_eq!((pool.ready(), disk.list(Path::new("/log")).expect("list").len()), (3, 3));
}

#[test]
fn a_claim_makes_the_segments_that_it_needs_and_gives_them_back() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    let mut claim = Claim::new(pool.clone());
    claim.grow(4000).expect("space");
    assert_eq!(pool.ready(), 2, "one for the commit, one for checkpoints");
    claim.grow(40_000).expect("space");
    let ready = pool.ready();
    assert!(ready > 3, "{ready}");
    drop(claim);
    Claim::new(pool.clone()).grow(40_000).expect("space");
    assert_eq!(pool.ready(), ready, "what was made is still there");
}

#[test]
fn a_full_disk_refuses_claims_beyond_what_is_prepared_until_there_is_space() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    pool.look_for_space().expect("space");
    disk.fill_at(disk.growths() + 1);
    let (mut small, mut large) = (Claim::new(pool.clone()), Claim::new(pool.clone()));
    small.grow(4000).expect("prepared");
    let error = large.grow(40_000).expect_err("not prepared");
    assert!(matches!(error, LogError::NoSpace { .. }), "{error}");
    assert!(!pool.is_short(), "others have room");
    assert!(pool.look_for_space().is_err() && pool.is_short());
    disk.make_space();
    pool.look_for_space().expect("space again");
    assert!(!pool.is_short());
    large.grow(40_000).expect("space again");
}

#[test]
fn prepared_segments_hold_as_many_commits_as_their_pages_fill() {
    const PAGE_IN_WAL_BYTES: u64 = 4096 + 24;
    let disk = SimulatedDisk::new(1);
    disk.create_dir_all(Path::new("/log")).expect("folder");
    let pool = SegmentPool::open(Arc::new(disk.clone()), Path::new("/log"), &LogOptions::default());
    let pool = Arc::new(pool.expect("pool"));
    pool.look_for_space().expect("space");
    let mut claims = Vec::new();
    loop {
        let mut claim = Claim::new(pool.clone());
        if !(0..4).all(|_| claim.try_grow(PAGE_IN_WAL_BYTES)) {
            break;
        }
        claims.push(claim);
    }
    // Of three segments one is kept for checkpoints. A frame that does not fit leaves the end of one free.
    let commits = 2 * (LogOptions::default().segment_bytes / (4 * PAGE_IN_WAL_BYTES));
    assert!(claims.len() as u64 > commits * 9 / 10, "{} of {commits}", claims.len());
}

#[test]
fn a_claim_that_has_room_makes_no_segment_and_one_that_tries_never_does() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    let mut claim = Claim::new(pool.clone());
    assert!(!claim.try_grow(4000) && pool.ready() == 0);
    pool.look_for_space().expect("space");
    let before = disk.operations();
    assert!(claim.try_grow(4000));
    claim.grow(1000).expect("room");
    assert!(!claim.try_grow(100_000));
    assert_eq!(disk.operations(), before);
    claim.grow(100_000).expect("space");
    assert!(disk.operations() > before);
}

#[test]
fn what_is_refused_for_lack_of_space_does_not_ask_the_disk() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    disk.set_capacity(Some(10_000));
    pool.look_for_space().expect_err("no space");
    let before = disk.measurements();
    let error = Claim::new(pool.clone()).grow(4000).expect_err("no space");
    assert!(matches!(error, LogError::NoSpace { free: 1..=10_000, .. }), "{error}");
    assert_eq!(disk.measurements(), before);
}

#[test]
fn a_claim_that_finds_nothing_prepared_and_no_space_closes_the_log_to_others() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    disk.fill_at(disk.growths() + 1);
    Claim::new(pool.clone()).grow(1).expect_err("no space");
    assert!(pool.is_short());
}

#[test]
fn a_commit_that_is_too_large_for_the_disk_leaves_others_their_room_and_the_reserve_its_space() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    pool.look_for_space().expect("space");
    disk.set_capacity(Some((disk.used() + 200_000) * 8 / 7));
    let mut large = Claim::new(pool.clone());
    while large.grow(4000).is_ok() {}
    assert!(!pool.is_short() && pool.ready() > 10, "{} are ready", pool.ready());
    Claim::new(pool.clone()).grow(4000).expect_err("all room is held");
    drop(large);
    Claim::new(pool.clone()).grow(4000).expect("room");
    // The reserve lacks space, and there are segments that nobody needs.
    disk.set_capacity(Some(disk.used() + 20_000));
    pool.look_for_space().expect("they were given up");
    assert_eq!(pool.ready(), 3);
}

#[test]
fn segments_that_a_commit_holds_are_not_given_up() {
    let disk = SimulatedDisk::new(1);
    let pool = Arc::new(pool(&disk));
    let mut claim = Claim::new(pool.clone());
    claim.grow(100_000).expect("space");
    let ready = pool.ready();
    disk.set_capacity(Some(disk.used()));
    pool.look_for_space().expect_err("no space for the reserve");
    assert_eq!(pool.ready(), ready);
}

#[test]
fn a_reserve_stays_free_and_is_no_larger_than_a_part_of_the_file_system() {
    let disk = SimulatedDisk::new(1);
    disk.create_dir_all(Path::new("/log")).expect("folder");
    let options = LogOptions { segment_bytes: 16 * 1024, reserve_bytes: 1 << 40, ..LogOptions::default() };
    let pool = SegmentPool::open(Arc::new(disk.clone()), Path::new("/log"), &options).expect("pool");
    disk.set_capacity(Some(80 * 1024));
    pool.look_for_space().expect("an eighth and three segments fit");
    disk.set_capacity(Some(60 * 1024));
    pool.look_for_space().expect("an eighth is free");
    disk.set_capacity(Some(50 * 1024));
    assert!(matches!(pool.look_for_space(), Err(LogError::NoSpace { .. })));
}
