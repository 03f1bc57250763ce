//! What a test may ask of an object besides events: to be reset, to hibernate, to leave memory.
//!
//! Faults of commits are in `outcomes`.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen, taken};

/// Whether an instance of object 1 runs, if it is in memory.
fn has_instance(stage: &Stage) -> Option<bool> {
    stage.world.directory.live_object(&address(1).key).map(|live| live.has_instance)
}

fn asked() -> Failure {
    Failure::new(ErrorCode::ObjectReset, "reset as asked")
}

#[tokio::test(start_paused = true)]
async fn a_reset_fails_the_events_of_the_instance_and_keeps_what_was_committed() {
    let stage = Stage::start();
    let waiting = stage.send(1, &[Act::Write(1, 10), Act::WaitForEver]);
    stage.run_all().await;
    assert!(stage.world.directory.reset(&address(1).key, asked()));
    stage.run_all().await;
    assert_eq!(taken(waiting).expect_err("reset").message, "reset as asked");
    assert_eq!(stage.held(1).await, [1]);
    let live = &stage.world.directory.live_objects()[0];
    assert_eq!((live.resets, live.starts), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_object_without_an_instance_cannot_be_reset_and_its_next_event_succeeds() {
    let stage = Stage::start();
    assert!(!stage.world.directory.reset(&address(1).key, asked()));
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage.fall_idle().await;
    assert!(!stage.world.directory.reset(&address(1).key, asked()));
    assert_eq!(stage.held(1).await, [1]);
    assert_eq!(stage.world.directory.live_objects()[0].resets, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_evicted_leaves_memory_as_soon_as_it_has_no_work() {
    let stage = Stage::start();
    let working = stage.send(1, &[Act::Write(1, 10), Act::Call(2, vec![Act::Pause(8000)]), Act::Await]);
    stage.run_all().await;
    stage.world.directory.evict(&address(1).key);
    stage.run_all().await;
    assert!(!working.is_finished());
    assert!(stage.world.directory.is_live(&address(1).key), "it has work");
    while !working.is_finished() {
        stage.run_all().await;
    }
    stage.run_all().await;
    assert_eq!(seen(taken(working)), [1]);
    assert!(!stage.world.directory.is_live(&address(1).key));
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_to_hibernate_drops_the_instance_that_runs_as_soon_as_it_has_no_work() {
    let stage = Stage::start();
    let working = stage.send(1, &[Act::Write(1, 10), Act::Call(2, vec![Act::Pause(8000)]), Act::Await]);
    stage.run_all().await;
    stage.world.directory.hibernate(&address(1).key);
    stage.run_all().await;
    assert!(!working.is_finished());
    assert_eq!(has_instance(&stage), Some(true), "it has work");
    while !working.is_finished() {
        stage.run_all().await;
    }
    stage.run_all().await;
    assert_eq!(seen(taken(working)), [1]);
    assert_eq!(has_instance(&stage), Some(false), "its instance stayed, or it has left memory");
    assert_eq!(stage.held(1).await, [1]);
    assert_eq!(has_instance(&stage), Some(true), "the next instance has gone as well");
}
