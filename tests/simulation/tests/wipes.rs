//! Keys and `delete-all` under power loss, kills and disk faults: the keys are those of a plain map, and a wipe
//! happens wholly or not at all, the alarm included (KV-15 to KV-17, invariant 12). And each planted fault is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::time::Clock;
use durabo_objects::append_outcome::AppendOutcome;
use durabo_objects::commit_faults::CommitFault;
use durabo_simulation::act::{Act, numbers};
use durabo_simulation::scenario::{Events, run};
use durabo_simulation::seeds::{find_each, report, seeds};
use durabo_simulation::stage::{Stage, seen, taken};
use futures::FutureExt;

const SEEDS: u64 = 200;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 300;

#[test]
fn keys_are_those_of_a_plain_map_whatever_happens_to_power_and_disk() {
    for seed in 0..seeds(SEEDS) {
        run(seed, Events::WriteAndWipe, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn every_fault_planted_in_wipes_is_found_by_a_seed() {
    let violation = |seed, mutation| run(seed, Events::WriteAndWipe, Some(mutation)).err();
    find_each(Mutation::OF_WIPES.iter().copied(), SEEDS_TO_FIND, violation);
}

/// An object with three numbers, in its file or only in memory and log, that removes everything, alone in a turn
/// that is in the log before the next one ends; the power fails at the operation of the disk with this number. What it holds after that and whether it had
/// answered; `None` if all was over before.
async fn cut_at(operation: u64, in_file: bool) -> Option<(Vec<u64>, bool)> {
    let mut test = Stage::on(SimulatedDisk::new(operation), Durability::Strict).expect("a new folder");
    for number in 1..=3 {
        assert!(test.answer(1, &[Act::Write(number, 3000)]).await.is_ok());
    }
    if in_file {
        test.leave().await;
    }
    test.disk.fail_at(test.disk.operations() + operation, Fault::PowerLoss);
    let wiped = test.send(1, &[Act::DeleteAll, Act::Pause(250), Act::MakeTables, Act::Write(4, 10)]);
    let mut goes_on = true;
    for _ in 0..6 {
        test.run_tasks().await;
        goes_on = goes_on && test.world.flush().is_ok();
        test.run_tasks().await;
        test.world.directory.request_checkpoint(durabo_simulation::address::address(1).key);
        test.run_tasks().await;
        goes_on = goes_on && test.world.keep_up().is_ok();
    }
    test.run_tasks().await;
    let has_answered = wiped.now_or_never().is_some_and(|outcome| outcome.expect("no panic").is_ok());
    if !test.disk.is_off() {
        assert!(goes_on && has_answered);
        return None;
    }
    test.disk.clear_faults();
    test.disk.power_loss();
    test.start_again();
    let held = test.send(1, &[]);
    test.run_all().await;
    Some((numbers(&taken(held).expect("it answers")), has_answered))
}

#[tokio::test(start_paused = true)]
async fn invariant_12_whenever_the_power_fails_a_wipe_has_happened_or_has_not() {
    for in_file in [false, true] {
        let mut states = Vec::new();
        for operation in 1.. {
            let Some((held, has_answered)) = cut_at(operation, in_file).await else { break };
            assert!(held == [4] || !has_answered, "operation {operation}: answered, and holds {held:?}");
            assert!([&[1, 2, 3][..], &[], &[4]].contains(&&held[..]), "operation {operation}: {held:?}");
            states.push(held);
        }
        report(&format!("{} operations of a wipe were cut", states.len()));
        for state in [&[1, 2, 3][..], &[], &[4]] {
            assert!(states.iter().any(|held| held == state), "no cut left {state:?}: {states:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wiped_object_hibernates_leaves_and_keeps_its_name() {
    let test = Stage::start();
    assert_eq!(seen(test.answer(1, &[Act::Write(1, 3000)]).await), [1]);
    let acts = [Act::DeleteAll, Act::Wait, Act::MakeTables, Act::Write(2, 10)];
    assert_eq!(seen(test.answer(1, &acts).await), [2]);
    test.fall_idle().await;
    assert_eq!(test.held(1).await, [2]);
    test.leave().await;
    assert_eq!(test.held(1).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn kv_15_a_wipe_is_undone_with_its_turn() {
    let test = Stage::start();
    assert_eq!(seen(test.answer(1, &[Act::Write(1, 3000), Act::Put(1, 10)]).await), [1]);
    for end in [Act::Trap, Act::Abort] {
        let acts = [Act::Write(2, 10), Act::DeleteAll, Act::MakeTables, Act::Write(3, 10), end];
        assert!(test.answer(1, &acts).await.is_err());
        assert_eq!(test.held(1).await, [1]);
    }
}

/// An object whose alarm is due in five seconds, and when that is.
async fn with_alarm() -> (Stage, u64) {
    let stage = Stage::start();
    let due = stage.clock.now().0 + 5000;
    assert!(stage.answer(1, &[Act::Write(1, 10), Act::SetAlarm(5000)]).await.is_ok());
    (stage, due)
}

const WIPE: [Act; 2] = [Act::DeleteAll, Act::MakeTables];

#[tokio::test(start_paused = true)]
async fn kv_16_an_alarm_goes_with_everything_and_stays_away_after_a_crash() {
    // In the log alone; and in the index, which a later record of the log contradicts.
    for is_indexed in [false, true] {
        let (mut test, _) = with_alarm().await;
        if is_indexed {
            test.copy(1).await;
            test.keep_up().await;
        }
        let answer = test.send(1, &WIPE);
        test.flush().await;
        assert_eq!(seen(taken(answer)), Vec::<u64>::new());
        test.disk.power_loss();
        test.start_again();
        test.pass(10_000).await;
        assert_eq!(test.alarm_runs(1).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn kv_16_an_alarm_that_is_set_after_the_wipe_runs_also_after_a_crash() {
    let (mut test, due) = with_alarm().await;
    let acts = [WIPE.as_slice(), &[Act::SetAlarm(7000)]].concat();
    assert!(test.answer(1, &acts).await.is_ok());
    test.disk.power_loss();
    test.start_again();
    test.pass(6000).await;
    assert_eq!(test.alarm_runs(1).await, []);
    test.pass(1000).await;
    assert_eq!(test.alarm_runs(1).await, [(due + 2000, 0)]);
}

#[tokio::test(start_paused = true)]
async fn kv_16_the_alarm_comes_back_with_a_wipe_that_is_undone() {
    for is_commit in [false, true] {
        let (test, due) = with_alarm().await;
        let end = if is_commit { Act::Wait } else { Act::Trap };
        if is_commit {
            let refused = Failure::new(ErrorCode::StorageFailed, "the log refused the commit");
            test.plan(1, CommitFault::Answer(AppendOutcome::Failed(refused)));
        }
        assert!(test.answer(1, &[WIPE.as_slice(), &[end]].concat()).await.is_err());
        assert_eq!(test.held(1).await, [1]);
        test.pass(5000).await;
        assert_eq!(test.alarm_runs(1).await, [(due, 0)], "{is_commit}");
    }
}

#[tokio::test(start_paused = true)]
async fn kv_17_a_handler_that_removes_everything_ends_its_run_as_any() {
    let test = Stage::start();
    let acts = [WIPE.as_slice(), &[Act::Write(9, 10)]].concat();
    assert!(test.answer(1, &[Act::Write(1, 10), Act::OnAlarm(acts), Act::SetAlarm(1000)]).await.is_ok());
    test.pass(1000).await;
    assert_eq!(test.held(1).await, [9]);
    test.pass(600_000).await;
    assert_eq!(test.held(1).await, [9]);
    assert_eq!(test.alarm_runs(1).await, [], "it runs no more");
}
