//! Memory of write-ahead logs: what all objects together may hold before they are brought into their files.
//!
//! Which objects are asked is a unit test of `objects`.

use durabo_model::limits::{NODE_WAL_OVERRUN_FACTOR, ObjectLimits};
use durabo_simulation::act::Act;
use durabo_simulation::stage::{Stage, taken};

/// What one turn of these objects adds at most, rounded up as memory grows.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// A node whose objects' own bound is never reached.
fn stage(node_wal_bytes_max: usize) -> Stage {
    Stage::with_limits(ObjectLimits { node_wal_bytes_max, wal_bytes_max: 1 << 20, ..ObjectLimits::default() })
}

fn bytes(stage: &Stage) -> usize {
    stage.world.directory.wal_memory_bytes()
}

/// Writes without a step of upkeep, for as long as it takes the disk.
async fn write_slowly(stage: &Stage, object: u64, number: u64) {
    let answer = stage.send(object, &[Act::Write(number, 3000)]);
    for _ in 0..3 {
        stage.flush().await;
    }
    taken(answer).expect("a success");
}

#[tokio::test(start_paused = true)]
async fn beyond_their_bound_the_logs_of_idle_objects_go_to_their_files() {
    let most = 256 * 1024;
    let test = stage(most);
    let mut objects = 0;
    while bytes(&test) <= most {
        objects += 1;
        test.write(objects, objects).await;
    }
    test.keep_up().await;
    test.flush().await;
    assert!(bytes(&test) <= most, "{} of {most} are left", bytes(&test));
    assert!(bytes(&test) > most / 2, "no more are asked than is needed: {}", bytes(&test));
    for object in 1..=objects {
        assert_eq!(test.held(object).await, [object]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_writes_faster_than_upkeep_asks_brings_its_own_log_to_its_file() {
    let most = 128 * 1024;
    let mut test = stage(most);
    let far_beyond = NODE_WAL_OVERRUN_FACTOR * most;
    for round in 1..=12 {
        for object in 1..=4 {
            write_slowly(&test, object, round).await;
            assert!(bytes(&test) <= far_beyond + 4 * TURN_BYTES_MAX, "{}", bytes(&test));
        }
    }
    assert!(bytes(&test) > most, "it was never needed: {}", bytes(&test));
    test.disk.power_loss();
    test.start_again();
    for object in 1..=4 {
        assert_eq!(test.held(object).await, (1..=12).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_waits_for_the_disk_before_its_objects_log_goes_to_the_file() {
    let most = 128 * 1024;
    let test = stage(most);
    for number in 1..=3 {
        test.write(1, number).await;
    }
    for object in 2..=8 {
        let answer = test.send(object, &[]);
        test.flush().await;
        taken(answer).expect("what constructors write waits for nothing");
    }
    let before = bytes(&test);
    assert!(before > NODE_WAL_OVERRUN_FACTOR * most, "{before}");
    let answer = test.send(1, &[Act::Write(4, 10), Act::Wait, Act::Write(5, 10)]);
    test.run_tasks().await;
    let first = bytes(&test);
    assert!(first < before, "its log went to its file before it wrote: {first} of {before}");
    assert!(!answer.is_finished(), "the commit of its first turn is not on the disk");
    test.run_all().await;
    taken(answer).expect("a success");
    assert_eq!(test.held(1).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_reads_may_write_and_its_object_waits_with_the_next() {
    let most = 128 * 1024;
    let test = stage(most);
    for number in 1..=3 {
        test.write(1, number).await;
    }
    let mut acts = vec![Act::BeginToRead];
    acts.extend(vec![Act::Suspend; 50_000]);
    acts.extend([Act::Write(4, 10), Act::Wait, Act::Write(5, 10)]);
    let answer = test.send(1, &acts);
    test.run_tasks().await;
    let others: Vec<_> = (2..=8).map(|object| test.send(object, &[])).collect();
    test.run_tasks().await;
    let before = bytes(&test);
    assert!(before > NODE_WAL_OVERRUN_FACTOR * most, "{before}");
    // Without a step of upkeep, which would ask the others for their logs.
    while !answer.is_finished() {
        test.flush().await;
    }
    taken(answer).expect("a success");
    others.into_iter().for_each(|other| drop(taken(other).expect("a success")));
    assert!(bytes(&test) < before, "its log went to its file before the turn that does not read");
    assert_eq!(test.held(1).await, [1, 2, 3, 4, 5]);
}
