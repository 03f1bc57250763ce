//! What operators do with alarms: list, run and cancel them, also while one runs or the disk is full.
//! Runs that come by themselves: `alarms`.

use durabo_model::object::NamespaceNumber;
use durabo_model::time::Clock;
use durabo_objects::alarm_runs::RunOutcome;
use durabo_simulation::act::{Act, write};
use durabo_simulation::address::address;
use durabo_simulation::stage::Stage;
use futures::FutureExt;

const SECOND: u64 = 1000;

fn now(stage: &Stage) -> u64 {
    stage.clock.now().0
}

#[tokio::test(start_paused = true)]
async fn an_operator_lists_runs_and_cancels_alarms() {
    let stage = Stage::start();
    let start = now(&stage);
    for object in 1..=3 {
        stage.answer(object, &[Act::SetAlarm(1000 * object as i64)]).await.expect("set");
    }
    stage.leave().await;
    let directory = &stage.world.directory;
    let list = || directory.list_alarms(NamespaceNumber(1), None, 10).expect("a list");
    let objects = |list: &[durabo_storage::object_index::AlarmEntry]| {
        list.iter().map(|entry| (entry.key == address(2).key, entry.due.0)).collect::<Vec<_>>()
    };
    // They were due while time passed, save by the clock.
    assert_eq!(objects(&list()), [(false, start + 1000), (true, start + 2000), (false, start + 3000)]);
    let first = list()[0];
    assert_eq!(directory.list_alarms(NamespaceNumber(1), Some(first), 1).expect("a page"), list()[1..2]);
    let cancelling = tokio::spawn({
        let directory = directory.clone();
        async move { directory.cancel_alarm(address(2)).await }
    });
    let running = tokio::spawn({
        let directory = directory.clone();
        async move { directory.run_alarm(address(3)).await }
    });
    stage.run_all().await;
    cancelling.await.expect("no panic").expect("cancelled");
    running.await.expect("no panic").expect("ran");
    assert_eq!(objects(&list()), [(false, start + 1000)]);
    assert_eq!(stage.alarm_runs(3).await, [(start + 3000, 0)]);
    let none = tokio::spawn({
        let directory = directory.clone();
        async move { directory.cancel_alarm(address(2)).await }
    });
    stage.run_all().await;
    assert_eq!(none.await.expect("no panic").expect_err("none").code, "not-found");
}

#[tokio::test(start_paused = true)]
async fn al_15_an_operator_cancels_an_alarm_while_it_runs_and_it_is_not_tried_again() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    let acts = [Act::OnAlarm(vec![Act::Pause(60_000), Act::Fail]), Act::SetAlarm(1000)];
    stage.answer(1, &acts).await.expect("set");
    stage.pass(1000).await;
    let ask_to_run = || {
        let directory = stage.world.directory.clone();
        tokio::spawn(async move { directory.run_alarm(address(1)).await })
    };
    let waiting = ask_to_run();
    stage.run_tasks().await;
    let cancelling = tokio::spawn({
        let directory = stage.world.directory.clone();
        async move { directory.cancel_alarm(address(1)).await }
    });
    stage.run_all().await;
    assert!(cancelling.is_finished() && !waiting.is_finished(), "it waits for the run");
    cancelling.await.expect("no panic").expect("cancelled");
    assert_eq!(stage.world.directory.list_alarms(NamespaceNumber(1), None, 10).expect("a list"), []);
    stage.pass(60_000).await;
    assert_eq!(waiting.await.expect("no panic").expect_err("none is left").code, "not-found");
    stage.pass(600 * SECOND).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    let runs = stage.world.directory.alarm_runs(&address(1).key, 9);
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [RunOutcome::Abandoned]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_cancels_an_alarm_while_the_disk_is_full_is_refused_and_its_run_goes_on() {
    let stage = Stage::start();
    let due = now(&stage) + SECOND;
    let acts = [Act::OnAlarm(vec![Act::Pause(20_000), write(7)]), Act::SetAlarm(1000)];
    stage.answer(1, &acts).await.expect("set");
    stage.pass(1000).await;
    let live = || stage.world.directory.live_objects().remove(0);
    let before = live();
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.keep_up().await;
    let cancelling = tokio::spawn({
        let directory = stage.world.directory.clone();
        async move { directory.cancel_alarm(address(1)).await }
    });
    stage.run_tasks().await;
    let refused = cancelling.now_or_never().expect("answered by now").expect("no panic");
    let refused = refused.expect_err("there is no space");
    assert_eq!(refused.code, "storage-failed");
    assert!(refused.message.contains("SQLITE_FULL"), "{refused}");
    let changed = stage.send_sql(1, "DELETE FROM expected");
    stage.run_tasks().await;
    let refused = changed.now_or_never().expect("answered by now").expect("no panic");
    assert!(refused.expect_err("there is no space").message.contains("SQLITE_FULL"));
    stage.disk.set_capacity(None);
    stage.keep_up().await;
    while stage.world.directory.alarm_runs(&address(1).key, 1).is_empty() {
        stage.run_all().await;
    }
    assert_eq!((live().starts, live().resets), (before.starts, before.resets), "the object was reset");
    assert_eq!(stage.held(1).await, [7], "the handler has ended");
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    assert_eq!(stage.world.directory.list_alarms(NamespaceNumber(1), None, 9).expect("a list"), []);
}

#[tokio::test(start_paused = true)]
async fn an_operator_cancels_the_alarm_of_an_object_without_an_instance_only_while_the_disk_has_space() {
    let stage = Stage::start();
    stage.answer(1, &[Act::SetAlarm(600_000)]).await.expect("set");
    stage.fall_idle().await;
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.keep_up().await;
    let cancel = || {
        let directory = stage.world.directory.clone();
        tokio::spawn(async move { directory.cancel_alarm(address(1)).await })
    };
    let refused = cancel();
    stage.run_tasks().await;
    let refused = refused.now_or_never().expect("answered by now").expect("no panic");
    assert!(refused.expect_err("there is no space").message.contains("SQLITE_FULL"));
    assert_eq!(stage.world.directory.list_alarms(NamespaceNumber(1), None, 9).expect("a list").len(), 1);
    stage.disk.set_capacity(None);
    stage.keep_up().await;
    let cancelled = cancel();
    stage.run_all().await;
    cancelled.await.expect("no panic").expect("there is space");
    assert_eq!(stage.world.directory.list_alarms(NamespaceNumber(1), None, 9).expect("a list"), []);
    let live = stage.world.directory.live_objects().remove(0);
    assert_eq!((live.starts, live.resets), (1, 0), "it took an instance, or a reset");
}
