//! Alarms on a node whose clock and log threads the test moves: when they run, how they are tried again, and what
//! undoes them. What must hold under accidents: `alarm_schedules`.

use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::NamespaceNumber;
use durabo_model::time::{Clock, Timestamp};
use durabo_objects::alarm_runs::RunOutcome;
use durabo_objects::append_outcome::AppendOutcome;
use durabo_objects::commit_faults::CommitFault;
use durabo_objects::control::OldSockets;
use durabo_simulation::act::{Act, write};
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen};
use durabo_simulation::world::limits;

const SECOND: u64 = 1000;

fn now(stage: &Stage) -> u64 {
    stage.clock.now().0
}

/// The alarm that the object sees, 0 if none.
async fn alarm(stage: &Stage, object: u64) -> u64 {
    let noted = stage.answer(object, &[Act::NoteAlarm]).await;
    *seen(noted).last().expect("the number that was noted")
}

#[tokio::test(start_paused = true)]
async fn al_6_an_alarm_runs_once_at_its_time_and_not_before() {
    let stage = Stage::start();
    let due = now(&stage) + 5 * SECOND;
    stage.answer(1, &[Act::SetAlarm(5000)]).await.expect("set");
    stage.pass(4999).await;
    assert_eq!(stage.alarm_runs(1).await, []);
    stage.pass(1).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_21_an_alarm_wakes_an_object_that_is_not_in_memory() {
    let stage = Stage::start();
    let due = now(&stage) + 120 * SECOND;
    stage.answer(1, &[Act::SetAlarm(120_000)]).await.expect("set");
    stage.leave().await;
    stage.pass(due - now(&stage)).await;
    assert_eq!(stage.world.directory.live_count(), 1);
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_6_an_alarm_that_fell_due_while_the_node_was_down_runs_once_at_the_start() {
    let mut stage = Stage::start();
    let due = now(&stage) + 30 * SECOND;
    stage.answer(1, &[Act::SetAlarm(30_000)]).await.expect("set");
    // Nothing of it is in the index: the log alone knows.
    stage.clock.set(Timestamp(due + 60 * SECOND));
    stage.start_again();
    stage.run_all().await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_4_an_alarm_set_in_a_turn_that_is_undone_never_runs() {
    let stage = Stage::start();
    stage.answer(1, &[Act::SetAlarm(1000), Act::Trap]).await.expect_err("trapped");
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, []);
}

#[tokio::test(start_paused = true)]
async fn al_1_an_alarm_set_later_or_earlier_runs_at_the_time_that_was_set_last() {
    let stage = Stage::start();
    let start = now(&stage);
    stage.answer(1, &[Act::SetAlarm(1000)]).await.expect("set");
    stage.answer(1, &[Act::SetAlarm(3000)]).await.expect("later");
    stage.answer(2, &[Act::SetAlarm(10_000)]).await.expect("set");
    stage.answer(2, &[Act::SetAlarm(1000)]).await.expect("earlier");
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, []);
    assert_eq!(stage.alarm_runs(2).await, [(start + 1000, 0)]);
    stage.pass(2000).await;
    assert_eq!(stage.alarm_runs(1).await, [(start + 3000, 0)]);
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.alarm_runs(2).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn al_3_a_deleted_alarm_never_runs() {
    let stage = Stage::start();
    stage.answer(1, &[Act::SetAlarm(1000)]).await.expect("set");
    stage.answer(1, &[Act::DeleteAlarm]).await.expect("deleted");
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, []);
}

#[tokio::test(start_paused = true)]
async fn al_11_a_failing_alarm_is_tried_seven_times_and_then_given_up() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![Act::Fail]), Act::SetAlarm(1000)]).await.expect("set");
    let mut runs = Vec::new();
    for _ in 0..250 {
        stage.pass(1000).await;
        let seen = stage.alarm_runs(1).await.len();
        if seen > runs.len() {
            runs.push(now(&stage));
        }
    }
    let seen = stage.alarm_runs(1).await;
    assert_eq!(seen, (0..7).map(|retries| (due, retries)).collect::<Vec<_>>());
    for (retry, pair) in runs.windows(2).enumerate() {
        let (waited, least) = (pair[1] - pair[0], 2000 << retry);
        assert!(waited >= least && waited <= least + least / 4 + 1000, "retry {retry} after {waited} ms");
    }
    assert_eq!(alarm(&stage, 1).await, 0);
    let history = stage.world.directory.alarm_runs(&address(1).key, 10);
    assert_eq!(history.len(), 7);
    assert_eq!((history[0].outcome, history[1].outcome), (RunOutcome::Abandoned, RunOutcome::Failed));
    assert_eq!(history[0].error.as_deref(), Some("failed as told"));
}

#[tokio::test(start_paused = true)]
async fn al_11_a_trap_of_the_handler_counts_and_the_count_outlives_a_restart() {
    let mut stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![Act::Wait, Act::Trap]), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    assert_eq!(alarm(&stage, 1).await, due, "between tries the time that was set is shown");
    stage.start_again();
    stage.pass(2500).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due, 1)]);
}

#[tokio::test(start_paused = true)]
async fn al_6_and_sc_22_a_retry_waits_for_the_time_that_was_set_when_the_clock_is_set_back_in_a_run() {
    let stage = Stage::start();
    let due = now(&stage) + 60 * SECOND;
    let handler = vec![Act::Pause(20_000), Act::FailAtFirst];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(60_000)]).await.expect("set");
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)], "it runs");
    stage.clock.set(Timestamp(due - 30 * SECOND));
    while stage.world.directory.alarm_runs(&address(1).key, 1).is_empty() {
        stage.run_all().await;
    }
    for _ in 0..29 {
        stage.pass(SECOND).await;
    }
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)], "it was tried again before its time");
    stage.pass(SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due, 1)]);
}

#[tokio::test(start_paused = true)]
async fn al_9_and_al_14_the_handler_sees_no_alarm_and_what_it_sets_is_the_next() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    let handler = vec![Act::NoteAlarm, Act::SetAlarm(1000)];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    assert_eq!(stage.held(1).await, [0]);
    stage.answer(1, &[Act::OnAlarm(Vec::new())]).await.expect("told");
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due + SECOND, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_14_an_alarm_set_by_a_handler_that_then_fails_replaces_the_retry() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    let handler = vec![Act::SetAlarm(10_000), Act::Fail];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    stage.answer(1, &[Act::OnAlarm(Vec::new())]).await.expect("told");
    stage.pass(9000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due + 10_000, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_15_a_handler_that_deletes_and_then_fails_is_not_tried_again() {
    let stage = Stage::start();
    stage.answer(1, &[Act::OnAlarm(vec![Act::DeleteAlarm, Act::Fail]), Act::SetAlarm(0)]).await.expect("set");
    stage.pass(300 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn al_15_a_handler_may_take_back_what_it_has_set() {
    let stage = Stage::start();
    let handler = vec![Act::SetAlarm(50), Act::Wait, Act::DeleteAlarm];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(0)]).await.expect("set");
    stage.pass(300 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn al_16_the_same_time_set_from_outside_during_a_run_queues_another() {
    let stage = Stage::start();
    stage.answer(1, &[Act::OnAlarm(vec![Act::Pause(300)]), Act::SetAlarm(0)]).await.expect("set");
    let begun = now(&stage);
    let again = stage.send(1, &[Act::SetAlarm(0)]);
    stage.run_all().await;
    again.await.expect("no panic").expect("set");
    stage.run_all().await;
    stage.run_all().await;
    assert_eq!(stage.alarm_runs(1).await, [(begun, 0), (begun, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_19_a_handler_that_gives_its_alarm_up_is_not_tried_again() {
    let stage = Stage::start();
    stage.answer(1, &[Act::OnAlarm(vec![Act::Wait, Act::GiveAlarmUp]), Act::SetAlarm(0)]).await.expect("set");
    stage.pass(300 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await.len(), 1);
    assert_eq!(alarm(&stage, 1).await, 0);
    let runs = stage.world.directory.alarm_runs(&address(1).key, 10);
    assert_eq!(runs[0].outcome, RunOutcome::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn al_25_an_alarm_set_while_a_retry_waits_replaces_it() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![Act::Fail]), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    stage.answer(1, &[Act::OnAlarm(Vec::new()), Act::SetAlarm(300)]).await.expect("replaced");
    stage.pass(300).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due + 300, 0)]);
    stage.pass(300 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn al_18_a_run_that_takes_too_long_is_cut_and_tried_again() {
    let stage =
        Stage::with_limits(ObjectLimits { alarm_run_timeout: Duration::from_millis(500), ..limits() });
    let due = now(&stage);
    stage.answer(1, &[Act::OnAlarm(vec![Act::Wait, Act::WaitForEver]), Act::SetAlarm(0)]).await.expect("set");
    let others = stage.send(1, &[Act::WaitForEver]);
    stage.pass(500).await;
    let failure = others.await.expect("no panic").expect_err("reset");
    assert_eq!(failure.code, "alarm-timeout");
    assert!(failure.message.contains("Alarm exceeded its allowed execution time"), "{failure}");
    stage.pass(2500).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due, 1)]);
}

#[tokio::test(start_paused = true)]
async fn al_22_a_due_run_is_dropped_if_the_constructor_sets_another_time() {
    let stage = Stage::start();
    stage.answer(1, &[Act::SetAlarm(100_000)]).await.expect("set");
    stage.sql(1, "CREATE TABLE alarm_at_start(x)").await.expect("told");
    stage.leave().await;
    let left = now(&stage);
    stage.pass(100_000).await;
    stage.sql(1, "DROP TABLE alarm_at_start").await.expect("told");
    assert_eq!(stage.alarm_runs(1).await, []);
    stage.pass(60_000).await;
    assert_eq!(stage.alarm_runs(1).await, [(left + 160_000, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_6_an_alarm_waits_for_the_clock_after_a_step_back_and_runs_soon_after_a_step_forward() {
    let stage = Stage::start();
    let start = now(&stage);
    stage.answer(1, &[Act::SetAlarm(10_000)]).await.expect("set");
    stage.pass(5000).await;
    stage.clock.set(Timestamp(start));
    tokio::time::advance(Duration::from_secs(9)).await;
    stage.run_all().await;
    assert_eq!(stage.alarm_runs(1).await, []);
    stage.clock.set(Timestamp(start + 3_600_000));
    tokio::time::advance(Duration::from_secs(1)).await;
    stage.run_all().await;
    assert_eq!(stage.alarm_runs(1).await, [(start + 10_000, 0)]);
}

#[tokio::test(start_paused = true)]
async fn b_25_a_deployment_in_the_midst_of_a_run_is_no_failure() {
    let stage = Stage::start();
    let due = now(&stage);
    stage.answer(1, &[Act::OnAlarm(vec![Act::Wait, Act::WaitForEver]), Act::SetAlarm(0)]).await.expect("set");
    stage.world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut);
    stage.run_all().await;
    stage.pass(limits().drain.as_millis() as u64).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0), (due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_12_a_fault_of_the_node_is_not_counted() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::SetAlarm(1000)]).await.expect("set");
    let lost = AppendOutcome::Failed(Failure::new(ErrorCode::StorageFailed, "lost"));
    stage.plan(1, CommitFault::Answer(lost));
    stage.pass(1000).await;
    assert_eq!(stage.alarm_runs(1).await, [], "undone");
    stage.pass(2500).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_12_after_a_fault_of_the_node_the_waits_begin_anew_also_if_the_constructor_fails_then() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![Act::Fail]), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    stage.pass(2500).await;
    let lost = AppendOutcome::Failed(Failure::new(ErrorCode::StorageFailed, "lost"));
    stage.plan(1, CommitFault::Answer(lost));
    stage.pass(5000).await;
    let runs = [(due, 0), (due, 1)];
    assert_eq!(stage.alarm_runs(1).await, runs, "the third is undone");
    stage.sql(1, "CREATE TABLE no_start(x)").await.expect("told");
    stage.pass(2500).await;
    stage.sql(1, "DROP TABLE no_start").await.expect("told");
    assert_eq!(stage.alarm_runs(1).await, runs, "the constructor has failed");
    stage.pass(2500).await;
    assert_eq!(stage.alarm_runs(1).await, [&runs[..], &[(due, 3)]].concat());
}

#[tokio::test(start_paused = true)]
async fn al_10_a_crash_before_the_clearing_is_durable_runs_the_alarm_again() {
    let mut stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![write(7)]), Act::SetAlarm(1000)]).await.expect("set");
    stage.clock.set(Timestamp(due));
    tokio::time::advance(Duration::from_secs(1)).await;
    stage.run_tasks().await;
    // It has run, and nothing of that is in the log.
    stage.start_again();
    stage.run_all().await;
    assert_eq!(stage.held(1).await, [7]);
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn overdue_alarms_do_not_start_all_their_objects_at_once_and_the_oldest_come_first() {
    let mut stage = Stage::with_limits(ObjectLimits { alarm_runs_max: 2, ..limits() });
    let order = [4, 2, 5, 1, 3];
    for (place, object) in order.into_iter().enumerate() {
        let acts = [Act::OnAlarm(vec![Act::Pause(1000)]), Act::SetAlarm(200_000 + place as i64)];
        stage.answer(object, &acts).await.expect("set");
    }
    stage.leave().await;
    stage.clock.set(Timestamp(now(&stage) + 300 * SECOND));
    stage.start_again();
    stage.run_tasks().await;
    let live = |stage: &Stage| order.map(|object| stage.world.directory.is_live(&address(object).key));
    assert_eq!(live(&stage), [true, true, false, false, false]);
    for _ in 0..10 {
        stage.run_all().await;
    }
    assert_eq!(live(&stage), [true; 5]);
    for object in order {
        assert_eq!(stage.alarm_runs(object).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn al_12_an_alarm_that_is_due_while_the_disk_is_full_runs_when_there_is_space() {
    let stage = Stage::start();
    let due = now(&stage) + 5 * SECOND;
    stage.answer(1, &[Act::SetAlarm(5000)]).await.expect("set");
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.keep_up().await;
    for _ in 0..100 {
        stage.pass(SECOND).await;
    }
    assert_eq!(stage.alarm_runs(1).await, [], "nothing can be written, and reads go on");
    stage.disk.set_capacity(None);
    stage.keep_up().await;
    for _ in 0..200 {
        stage.pass(SECOND).await;
    }
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_10_the_alarm_is_cleared_in_the_last_turn_of_its_handler() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    stage.answer(1, &[Act::OnAlarm(vec![write(7)]), Act::SetAlarm(1000)]).await.expect("set");
    stage.plan(1, CommitFault::Hold);
    stage.pass(1000).await;
    let held = stage.world.commits.held_commits(&address(1).key);
    assert_eq!(held, 1, "one commit has what the handler wrote and the clearing");
    stage.answer_held(1, AppendOutcome::Committed).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    assert_eq!(alarm(&stage, 1).await, 0);
}
