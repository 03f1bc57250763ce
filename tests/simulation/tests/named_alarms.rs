//! Named alarms on a node whose clock and log threads the test moves: rules and intervals over steps of the clock, time
//! that the node was down, runs that fail, and commits that are lost (SC-3, SC-4, SC-10, SC-13, SC-14, SC-18, SC-22).
//! What must hold under accidents: `alarm_schedules`.

use std::time::Duration;

use durabo_model::time::{Clock, Timestamp};
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::schedule_model::{When, Zone};
use durabo_simulation::stage::Stage;
use durabo_storage::value::Value;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn now(stage: &Stage) -> u64 {
    stage.clock.now().0
}

fn every_minute() -> When {
    When::Minutes((0..60).collect(), Zone::Utc)
}

async fn set(stage: &Stage, when: When) {
    let set = Act::SetEntry { name: 1, when, payload: 0 };
    stage.answer(1, &[set]).await.expect("set");
}

/// Times for which the entry ran, in order; what objects themselves find wrong fails the test.
async fn runs(stage: &Stage) -> Vec<u64> {
    let answer = stage.sql(1, "SELECT scheduled, wrong FROM entry_runs ORDER BY run").await;
    let rows = answer.expect("a good table").rows;
    let time = |row: &[Value]| match row {
        [Value::Integer(scheduled), Value::Null] => *scheduled as u64,
        wrong => panic!("{wrong:?}"),
    };
    rows.chunks_exact(2).map(time).collect()
}

fn in_a_second(name: u64) -> Act {
    Act::SetEntry { name, when: When::In(SECOND as i64), payload: 0 }
}

/// Which entries ran, in order, and how often each had failed before.
async fn tries(stage: &Stage) -> Vec<(i64, i64)> {
    let answer = stage.sql(1, "SELECT name, retries FROM entry_runs ORDER BY run").await;
    let rows = answer.expect("a good table").rows;
    let one = |row: &[Value]| match row {
        [Value::Integer(name), Value::Integer(retries)] => (*name, *retries),
        wrong => panic!("{wrong:?}"),
    };
    rows.chunks_exact(2).map(one).collect()
}

/// Lets a second pass, and everything run that comes of it one after the other while the clock stands.
async fn pass_a_second(stage: &Stage) {
    stage.pass(SECOND).await;
    for _ in 0..3 {
        stage.run_all().await;
    }
}

/// Sets the clock without any time that timers could see, and lets the next look at it come.
async fn step_to(stage: &Stage, time: u64) {
    stage.clock.set(Timestamp(time));
    tokio::time::advance(Duration::from_secs(1)).await;
    stage.run_all().await;
}

#[tokio::test(start_paused = true)]
async fn sc_4_and_sc_10_a_rule_runs_at_the_begin_of_its_minute_and_not_before() {
    let stage = Stage::start();
    let first = now(&stage) / MINUTE * MINUTE + MINUTE;
    set(&stage, every_minute()).await;
    stage.pass(first - 1 - now(&stage)).await;
    assert!(runs(&stage).await.is_empty());
    stage.pass(1).await;
    assert_eq!(runs(&stage).await, [first]);
    stage.pass(MINUTE - 1).await;
    assert_eq!(runs(&stage).await, [first]);
    stage.pass(1).await;
    assert_eq!(runs(&stage).await, [first, first + MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn sc_5_a_rule_goes_by_the_clocks_of_its_zone() {
    let stage = Stage::start();
    set(&stage, When::Minutes(vec![0], Zone::Kathmandu)).await;
    stage.pass(HOUR).await;
    // The hour begins there at a quarter past ours.
    let expected = When::Minutes(vec![15], Zone::Utc).first(now(&stage) - HOUR);
    assert_eq!(runs(&stage).await, [expected]);
}

#[tokio::test(start_paused = true)]
async fn sc_13_what_was_missed_while_the_node_was_down_is_made_up_by_one_run() {
    let mut stage = Stage::start();
    let first = now(&stage) / MINUTE * MINUTE + MINUTE;
    set(&stage, every_minute()).await;
    stage.leave().await;
    stage.clock.set(Timestamp(first + 3 * HOUR + 5 * SECOND));
    stage.start_again();
    stage.run_all().await;
    assert_eq!(runs(&stage).await, [first]);
    stage.pass(MINUTE).await;
    assert_eq!(runs(&stage).await, [first, first + 3 * HOUR + MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn sc_22_no_time_runs_twice_when_the_clock_is_set_back() {
    let stage = Stage::start();
    let start = now(&stage);
    set(&stage, When::Every(10 * SECOND)).await;
    stage.pass(10 * SECOND).await;
    step_to(&stage, start).await;
    for _ in 0..19 {
        stage.pass(SECOND).await;
    }
    assert_eq!(runs(&stage).await, [start + 10 * SECOND]);
    stage.pass(SECOND).await;
    assert_eq!(runs(&stage).await, [start + 10 * SECOND, start + 20 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn sc_22_what_became_overdue_by_a_step_forward_is_made_up_by_one_run() {
    let stage = Stage::start();
    let start = now(&stage);
    set(&stage, When::Every(10 * SECOND)).await;
    step_to(&stage, start + HOUR + SECOND).await;
    assert_eq!(runs(&stage).await, [start + 10 * SECOND]);
    stage.pass(9 * SECOND).await;
    assert_eq!(runs(&stage).await, [start + 10 * SECOND, start + HOUR + 10 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn sc_18_a_run_whose_end_is_not_in_the_log_comes_again_after_a_crash() {
    let mut stage = Stage::start();
    let start = now(&stage);
    set(&stage, When::In(SECOND as i64)).await;
    stage.clock.set(Timestamp(start + SECOND));
    tokio::time::advance(Duration::from_secs(1)).await;
    stage.run_tasks().await;
    // It has run, and nothing of that is in the log.
    stage.start_again();
    stage.run_all().await;
    assert_eq!(runs(&stage).await, [start + SECOND]);
    stage.pass(HOUR).await;
    assert_eq!(runs(&stage).await, [start + SECOND]);
}

#[tokio::test(start_paused = true)]
async fn sc_14_a_run_that_fails_holds_back_nothing_that_is_due_at_the_same_time() {
    for handler in [vec![Act::Fail], vec![Act::Wait, Act::Trap]] {
        let stage = Stage::start();
        let due = now(&stage) + SECOND;
        let acts = [Act::OnAlarm(handler), Act::SetAlarm(1000), in_a_second(1), in_a_second(2)];
        stage.answer(1, &acts).await.expect("set");
        pass_a_second(&stage).await;
        assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
        assert_eq!(tries(&stage).await, [(1, 0), (2, 0)]);
    }
}

#[tokio::test(start_paused = true)]
async fn sc_14_a_run_that_fails_with_a_transaction_open_holds_back_nothing_once_that_has_gone() {
    let stage = Stage::start();
    let handler = vec![Act::Enter, Act::Begin, Act::Keep, Act::Fail];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(1000), in_a_second(1)]).await.expect("set");
    pass_a_second(&stage).await;
    // It goes with the instance; then the entry's run leaves one open.
    for _ in 0..2 {
        stage.fall_idle().await;
        stage.run_all().await;
    }
    assert_eq!(tries(&stage).await, [(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn sc_14_a_constructor_that_fails_counts_for_each_entry_that_is_due_at_the_same_time() {
    let stage = Stage::start();
    stage.answer(1, &[in_a_second(1), in_a_second(2)]).await.expect("set");
    stage.sql(1, "CREATE TABLE no_start(x)").await.expect("told");
    stage.leave().await;
    pass_a_second(&stage).await;
    let failed = stage.world.directory.alarm_runs(&address(1).key, 9);
    let names: Vec<_> = failed.iter().filter_map(|run| run.name.as_deref()).collect();
    assert_eq!(names, ["2", "1"], "newest first");
}
