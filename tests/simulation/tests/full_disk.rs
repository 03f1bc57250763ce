//! A disk that is full from any operation on, until it has space again: nothing acknowledged is lost, reads
//! go on, the node does not stop, and writes come back without a restart. Each planted fault is found.

use std::time::Duration;

use durabo_changelog::mutation::Mutation;
use durabo_objects::event::SqlRequest;
use durabo_simulation::act::{Act, write};
use durabo_simulation::address::address;
use durabo_simulation::full_disk::{fill_at, random};
use durabo_simulation::seeds::{find_each, report};
use durabo_simulation::stage::{Stage, seen};
use futures::FutureExt;

/// More than the script has operations that need space.
const GROWTHS_MAX: u64 = 5_000;
const SEEDS: u64 = 150;
/// Operations, and as many seeds, tried before a planted fault counts as unseen.
const TRIES: u64 = 400;

#[test]
fn whichever_operation_finds_no_space_nothing_is_lost_and_all_come_back() {
    let (mut refused, mut growths) = (0, 0);
    for growth in 1..GROWTHS_MAX {
        let happened = fill_at(growth, None).unwrap_or_else(|why| panic!("full at growth {growth}: {why}"));
        refused += happened.refused;
        growths = growth;
        if !happened.was_full {
            break;
        }
    }
    report(&format!("{growths} operations, {refused} refusals"));
    assert!((50..GROWTHS_MAX - 1).contains(&growths), "{growths} operations of the script need space");
    assert!(refused > growths, "only {refused} events were refused");
}

#[test]
fn whatever_comes_and_goes_of_the_space_nothing_is_lost_and_all_come_back() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let happened = random(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        refused += happened.refused;
    }
    assert!(refused > SEEDS, "only {refused} events were refused");
}

#[test]
fn every_fault_planted_for_a_full_disk_is_found() {
    let violation = |n, mutation| fill_at(n, Some(mutation)).and_then(|_| random(n, Some(mutation))).err();
    find_each(Mutation::OF_FULL_DISK.iter().copied(), TRIES, violation);
}

#[tokio::test(start_paused = true)]
async fn without_space_for_more_segments_those_that_become_free_are_used_again() {
    let stage = Stage::start();
    // Until the files of the objects and of the index are as large as they will be.
    for number in 1..700 {
        stage.answer(number % 3, &[Act::Write(number, 10)]).await.expect("a success");
        stage.world.directory.request_checkpoint(address(number % 3).key);
    }
    stage.leave().await;
    // Besides the reserve, an eighth, less is free than a segment has.
    let capacity = (stage.disk.used() + 24 * 1024) * 8 / 7;
    stage.disk.set_capacity(Some(capacity));
    let mut written = 0;
    for number in 700..1000 {
        let outcome = stage.answer(number % 3, &[Act::Write(number, 10)]).await;
        written += u32::from(outcome.is_ok());
    }
    // Most of them, each some hundred bytes of a log that has 160 KiB in all.
    assert!(written > 250, "{written} of 300");
    assert!(stage.disk.used() <= capacity);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_may_not_write_hears_of_that_also_while_the_disk_is_full() {
    let stage = Stage::start();
    stage.answer(1, &[write(7)]).await.expect("a success");
    let resets = || stage.world.directory.live_objects().remove(0).resets;
    let before = resets();
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.keep_up().await;
    for (may_write, code, text) in
        [(false, "sql-failed", "Say that it may write"), (true, "storage-failed", "SQLITE_FULL")]
    {
        let request = SqlRequest { query: "DELETE FROM a".to_owned(), bindings: Vec::new(), may_write };
        let directory = stage.world.directory.clone();
        let asked = tokio::spawn(async move { directory.sql(address(1), request).await });
        stage.run_tasks().await;
        let refused = asked.now_or_never().expect("answered by now").expect("no panic");
        let refused = refused.expect_err("it writes");
        assert_eq!(refused.code, code);
        assert!(refused.message.contains(text), "{refused}");
    }
    assert_eq!(resets(), before, "the object was reset");
    stage.disk.set_capacity(None);
    stage.keep_up().await;
    assert_eq!(stage.held(1).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_disk_is_full_stops_at_once_and_loses_nothing() {
    let mut full = 0;
    for growth in 1.. {
        let mut stage = Stage::start();
        for number in 1..=6 {
            stage.write(number % 3, number).await;
        }
        let full_from = stage.disk.growths() + growth;
        stage.disk.fill_at(full_from);
        let directory = stage.world.directory.clone();
        let stop = tokio::spawn(async move { directory.stop(Duration::from_secs(30)).await });
        stage.run_all().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        stage.run_all().await;
        assert_eq!(
            stop.now_or_never().map(|left| left.expect("no panic")),
            Some(0),
            "full at growth {growth}"
        );
        let was_full = stage.disk.growths() >= full_from;
        stage.disk.make_space();
        stage.start_again();
        for object in 0..3 {
            let expected: Vec<u64> = (1..=6).filter(|number| number % 3 == object).collect();
            assert_eq!(stage.held(object).await, expected, "full at growth {growth}");
        }
        if !was_full {
            break;
        }
        full += 1;
    }
    assert!(full > 10, "{full} operations of a stop need space");
}

#[tokio::test(start_paused = true)]
async fn a_start_without_space_fails_and_the_next_one_finds_everything() {
    let mut stage = Stage::start();
    for number in 1..=20 {
        stage.answer(number % 3, &[Act::Write(number, 3000)]).await.expect("a success");
    }
    for number in 21..=24 {
        stage.write(number % 3, number).await;
    }
    let mut failed = 0;
    for growth in 1.. {
        stage.disk.process_kill();
        let full_from = stage.disk.growths() + growth;
        stage.disk.fill_at(full_from);
        let started = stage.try_start_again();
        let was_full = stage.disk.growths() >= full_from;
        stage.disk.make_space();
        match started {
            Ok(()) if !was_full => break,
            // It serves what needs no space.
            Ok(()) => {}
            Err(text) => {
                failed += 1;
                assert!(text.contains("No space left") || text.contains("SQLITE_FULL"), "{text}");
            }
        }
    }
    assert!(failed > 5, "{failed} operations of a start need space");
    for object in 0..3 {
        let expected: Vec<u64> = (1..=24).filter(|number| number % 3 == object).collect();
        assert_eq!(seen(stage.answer(object, &[]).await), expected);
    }
}
