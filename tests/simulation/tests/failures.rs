//! Failures of parts of a node: what an object may still answer, and that nobody waits for ever.
//!
//! An object whose newest state is not in its file must refuse rather than show an older one.

use std::path::Path;
use std::time::Duration;

use durabo_changelog::disk::Disk;
use durabo_changelog::simulated_disk::Fault;
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen, taken};

/// SQL whose commit fails.
const ORPHAN: &str = "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p);
                      PRAGMA defer_foreign_keys=ON; INSERT INTO c VALUES (1)";

fn file_of(object: u64) -> String {
    format!("/data/objects/1/{}.sqlite", address(object).key.id)
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_task_panicked_refuses_until_the_node_is_started_again() {
    let mut stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    let lost = stage.answer(1, &[Act::Write(2, 10), Act::Wait, Act::Panic]).await.expect_err("no answer");
    assert_eq!(lost.code, "internal");
    let refused = stage.answer(1, &[]).await.expect_err("refused");
    assert!(refused.message.contains("out of service until the node is started again"), "{refused}");
    assert!(stage.world.directory.live_objects().is_empty());
    assert!(stage.world.directory.has_live(address(1).key.namespace), "its commits are in the log alone");
    stage.disk.process_kill();
    stage.start_again();
    assert_eq!(stage.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_brought_into_its_file_refuses_and_comes_back_by_itself() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    let trap = stage.send(1, &[Act::Write(2, 3000), Act::Wait, Act::Trap]);
    stage.run_tasks().await;
    stage.world.flush().expect("a working log");
    // The reset copies the WAL, and then tries again.
    for operation in 1..=2 {
        stage.disk.fail_at(stage.disk.operations() + operation, Fault::InputOutput);
    }
    stage.run_tasks().await;
    taken(trap).expect_err("trapped");
    let refused = stage.answer(1, &[Act::Write(3, 10)]).await.expect_err("refused");
    assert!(refused.message.contains("out of service until this succeeds"), "{refused}");
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(10)).await;
        stage.run_all().await;
    }
    assert_eq!(seen(stage.answer(1, &[Act::Write(4, 10)]).await), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_file_is_missing_is_refused_and_not_begun_anew() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage.leave().await;
    stage.disk.remove(Path::new(&file_of(1))).expect("a file");
    let refused = stage.answer(1, &[]).await.expect_err("refused");
    assert_eq!(refused.code, "file-foreign", "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_operators_sql_whose_commit_fails_resets_the_object_and_nothing_more() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage.leave().await;
    let failed = stage.sql(1, ORPHAN).await.expect_err("the commit fails");
    assert!(failed.message.contains("FOREIGN KEY constraint failed"), "{failed}");
    assert_eq!(stage.held(1).await, [1]);
    assert!(stage.sql(1, "SELECT * FROM c").await.is_err(), "all of the turn is undone");
}

#[tokio::test(start_paused = true)]
async fn an_event_behind_an_operators_sql_that_resets_the_object_is_served() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage.leave().await;
    let sql = stage.send_sql(1, ORPHAN);
    let event = stage.send(1, &[]);
    stage.run_all().await;
    assert!(sql.await.expect("no panic").is_err());
    assert_eq!(seen(taken(event)), [1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_of_the_log_an_object_that_had_nothing_in_it_answers_too() {
    let stage = Stage::start();
    for object in [1, 2] {
        assert_eq!(seen(stage.answer(object, &[Act::Write(object, 10)]).await), [object]);
    }
    let first = stage.send(1, &[Act::Write(3, 10)]);
    stage.run_tasks().await;
    stage.disk.fail_at(stage.disk.operations() + 1, Fault::InputOutput);
    assert!(stage.world.flush().is_err());
    let second = stage.send(2, &[Act::Write(4, 10)]);
    stage.run_tasks().await;
    assert!(taken(first).is_err());
    assert!(taken(second).is_err());
}

#[tokio::test(start_paused = true)]
async fn lc_3_a_constructor_that_fails_answers_its_caller_and_the_next_event_tries_again() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage.sql(1, "CREATE TABLE no_start(x)").await.expect("allowed");
    stage.leave().await;
    let failed = stage.answer(1, &[]).await.expect_err("no start");
    assert!(failed.flags.object_reset, "{failed}");
    stage.sql(1, "DROP TABLE no_start").await.expect("allowed");
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn sql_of_an_operator_that_changes_nothing_has_no_commit_to_wait_for() {
    let stage = Stage::start();
    stage.sql(1, "CREATE TABLE c(x CHECK (x < 9))").await.expect("without an instance");
    for has_instance in [false, true] {
        if has_instance {
            stage.answer(1, &[Act::Write(1, 10)]).await.expect("a success");
        }
        let answer = stage.sql(1, "UPDATE c SET x = 1 WHERE false").await.expect("no row is changed");
        assert_eq!(answer.counts.rows_written, 0);
        let failure = stage.sql(1, "INSERT INTO c VALUES (10)").await.expect_err("refused");
        assert!(failure.message.contains("CHECK constraint failed"), "{failure}");
    }
    assert_eq!(stage.held(1).await, [1]);
}
