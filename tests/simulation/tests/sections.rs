//! Critical sections under a fake guest: who waits for them, and what breaks them.
//!
//! The order of the numbers that an object holds is the order in which its code ran.

use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_simulation::act::{Act, write};
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;

/// Writes one number, waits for a call of another object, and writes the next, all within a section.
fn section(first: u64, other: u64, second: u64) -> [Act; 6] {
    [Act::Enter, write(first), Act::Call(other, vec![write(first)]), Act::Await, write(second), Act::Leave]
}

#[tokio::test(start_paused = true)]
async fn c_063_an_event_that_comes_meanwhile_runs_after_the_section() {
    let stage = Stage::start();
    let section = stage.send(1, &section(1, 2, 2));
    stage.run_tasks().await;
    let other = stage.send(1, &[write(3)]);
    stage.run_tasks().await;
    stage.run_all().await;
    assert_eq!(seen(taken(section))[..2], [1, 2]);
    assert_eq!(seen(taken(other)), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn t_8_what_was_waited_for_before_the_section_opened_comes_back_after_it() {
    let stage = Stage::start();
    let before = stage.send(1, &[Act::Call(2, vec![write(9)]), Act::Await, write(3)]);
    stage.run_tasks().await;
    let section = stage.send(1, &section(1, 3, 2));
    stage.run_all().await;
    assert_eq!(seen(taken(section)), [1, 2]);
    assert_eq!(seen(taken(before)), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn t_6_code_that_was_on_its_way_when_the_section_was_asked_for_runs_before_it() {
    let stage = Stage::start();
    assert!(stage.held(1).await.is_empty());
    let other = stage.send(1, &[write(3), Act::Suspend, Act::Suspend, Act::Wait, write(4)]);
    let section = stage.send(1, &[Act::Enter, write(1), Act::Wait, Act::Wait, Act::Wait, write(2)]);
    stage.run_all().await;
    assert!(taken(other).is_ok());
    let held = seen(taken(section));
    let at = |number| held.iter().position(|n| *n == number);
    assert_eq!(at(2), at(1).map(|place| place + 1), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn c_065_sections_run_one_after_the_other_and_before_events_that_wait() {
    let stage = Stage::start();
    let first = stage.send(1, &section(1, 2, 2));
    let second = stage.send(1, &section(3, 2, 4));
    stage.run_tasks().await;
    let event = stage.send(1, &[write(5)]);
    stage.run_all().await;
    assert!(taken(first).is_ok() && taken(second).is_ok());
    assert_eq!(seen(taken(event)), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn c_068_events_behind_a_section_that_breaks_fail_as_it_does_and_do_not_run() {
    let stage = Stage::start();
    let acts = [Act::Enter, write(1), Act::Call(2, vec![write(9)]), Act::Await, write(2), Act::Abort];
    let section = stage.send(1, &acts);
    stage.run_tasks().await;
    let waiting = [stage.send(1, &[write(3)]), stage.send(1, &[write(4)])];
    stage.run_all().await;
    for answer in waiting.into_iter().chain([section]) {
        let failed = taken(answer).expect_err("the section broke");
        assert_eq!((failed.message.as_str(), failed.flags.object_reset), ("aborted as told", true));
    }
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn c_069_a_section_that_does_not_end_resets_the_object_with_its_own_error() {
    let stage = Stage::start();
    let acts = [write(1), Act::Enter, write(2), Act::Call(2, vec![write(9)]), Act::WaitForEver];
    let section = stage.send(1, &acts);
    stage.flush().await;
    let waiting = stage.send(1, &[write(3)]);
    tokio::time::advance(limits().section_timeout - Duration::from_secs(1)).await;
    stage.run_tasks().await;
    assert!(!section.is_finished());
    tokio::time::advance(Duration::from_secs(2)).await;
    stage.run_tasks().await;
    stage.run_all().await;
    for answer in [section, waiting] {
        let failed = taken(answer).expect_err("waited for too long");
        assert_eq!(failed.listed_code(), Some(ErrorCode::SectionTimeout));
        assert!(failed.message.contains("waited for too long"), "{failed}");
        assert!(failed.flags.overloaded && failed.flags.object_reset, "{failed}");
    }
    // What the turns before had committed stays, and so does what the call has done.
    assert_eq!((stage.held(1).await, stage.held(2).await), (vec![1, 2], vec![9]));
}

#[tokio::test(start_paused = true)]
async fn st_12_a_call_of_a_section_that_comes_back_is_refused_and_one_from_before_it_waits() {
    let stage = Stage::start();
    let own = [Act::Enter, Act::Call(2, vec![Act::Call(1, vec![write(3)]), Act::Expect]), Act::Expect];
    let failed = stage.answer(1, &own).await.expect_err("it would wait for itself");
    assert_eq!(failed.code, "object-busy", "{failed}");

    let before = stage
        .send(1, &[Act::Call(2, vec![write(9), Act::Call(1, vec![write(3)]), Act::Expect]), Act::Expect]);
    stage.run_tasks().await;
    let section = stage.send(1, &section(1, 3, 2));
    stage.run_all().await;
    assert_eq!(seen(taken(section)), [1, 2]);
    assert_eq!(seen(taken(before)), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_section_that_is_left_by_a_trap_lets_the_next_instance_run() {
    let stage = Stage::start();
    assert!(stage.answer(1, &[Act::Enter, write(1), Act::Trap]).await.is_err());
    assert_eq!(seen(stage.answer(1, &[Act::Enter, write(2), Act::Wait, Act::Leave, write(3)]).await), [2, 3]);
}
