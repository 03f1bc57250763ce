//! Commits that fail, come late, or are not known to be in the log: what waits for them fails, and the object
//! goes on from what is durable (invariants 6 and 7).
//!
//! Seeded runs with such commits are in `lost_commits`.

use std::time::Duration;

use durabo_changelog::simulated_disk::Fault;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::append_outcome::AppendOutcome::{self, Committed, Failed, Fenced, Unknown};
use durabo_objects::commit_faults::CommitFault::{Answer, Hold};
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;

fn refused() -> AppendOutcome {
    Failed(Failure::new(ErrorCode::StorageFailed, "the log refused the commit"))
}

/// A node whose object 1 holds the number 1, durably.
async fn with_one() -> Stage {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(1, 10)]).await), [1]);
    stage
}

fn resets(stage: &Stage) -> u64 {
    stage.world.directory.live_objects()[0].resets
}

#[tokio::test(start_paused = true)]
async fn c_059_a_commit_that_fails_is_undone_and_its_caller_gets_the_error() {
    let mut stage = with_one().await;
    stage.plan(1, Answer(refused()));
    let failure = stage.answer(1, &[Act::Write(2, 3000)]).await.expect_err("not in the log");
    assert_eq!(failure.message, "the log refused the commit");
    assert!(failure.flags.object_reset, "{failure}");
    assert_eq!(resets(&stage), 1);
    assert_eq!(stage.held(1).await, [1]);
    assert_eq!(seen(stage.answer(1, &[Act::Write(3, 10)]).await), [1, 3]);
    stage.disk.process_kill();
    stage.start_again();
    assert_eq!(stage.held(1).await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn og_6_what_waited_before_the_commit_passes_and_what_waited_behind_it_fails() {
    let stage = with_one().await;
    // Else the events wait for it.
    stage.copy(1).await;
    stage.run_all().await;
    stage.plan(1, Answer(Committed));
    stage.plan(1, Hold);
    let in_two_turns = [Act::Write(3, 10), Act::Wait, Act::Write(4, 10)];
    let [before, failing, read] =
        [&[Act::Write(2, 10)][..], &in_two_turns, &[]].map(|acts| stage.send(1, acts));
    stage.run_tasks().await;
    assert!(stage.world.commits.answer_held(&address(1).key, refused()));
    stage.run_tasks().await;
    assert_eq!(stage.world.commits.held_commits(&address(1).key), 0);
    for fails in [failing, read] {
        assert_eq!(taken(fails).expect_err("behind the commit").message, "the log refused the commit");
    }
    assert!(!before.is_finished(), "it is not durable yet");
    stage.flush().await;
    assert_eq!(seen(taken(before)), [1, 2]);
    assert_eq!(stage.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_waits_for_something_else_is_reset_when_its_commit_fails() {
    let stage = with_one().await;
    stage.plan(1, Hold);
    let waiting = stage.send(1, &[Act::Write(2, 10), Act::WaitForEver]);
    stage.run_all().await;
    stage.answer_held(1, refused()).await;
    assert_eq!(taken(waiting).expect_err("reset").message, "the log refused the commit");
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn c_076_a_call_behind_a_commit_that_fails_never_leaves() {
    let stage = with_one().await;
    stage.plan(1, Hold);
    let caller = stage.send(1, &[Act::Write(2, 10), Act::Call(2, vec![Act::Write(3, 10)]), Act::Await]);
    stage.run_all().await;
    assert!(stage.held(2).await.is_empty(), "it has left");
    stage.answer_held(1, refused()).await;
    assert!(taken(caller).is_err());
    assert!(stage.held(2).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn st_3_a_stub_of_an_object_whose_commit_failed_is_broken() {
    let stage = with_one().await;
    stage.held(2).await;
    stage.plan(2, Hold);
    let acts = [Act::Call(1, vec![]), Act::Await, Act::Write(7, 10), Act::Call(1, vec![]), Act::Expect];
    let caller = stage.send(2, &acts);
    stage.run_all().await;
    stage.plan(1, Answer(refused()));
    assert!(stage.answer(1, &[Act::Write(2, 10)]).await.is_err());
    stage.answer_held(2, Committed).await;
    assert_eq!(taken(caller).expect_err("a broken stub").message, "the log refused the commit");
}

#[tokio::test(start_paused = true)]
async fn og_7_a_commit_that_takes_too_long_resets_its_object_and_stays_if_it_is_durable_after_all() {
    for (outcome, holds) in [(Committed, &[1, 2][..]), (refused(), &[1])] {
        let stage = with_one().await;
        stage.plan(1, Hold);
        let late = stage.send(1, &[Act::Write(2, 10)]);
        stage.run_all().await;
        tokio::time::advance(limits().commit_timeout - Duration::from_millis(1)).await;
        stage.run_all().await;
        assert!(!late.is_finished());
        tokio::time::advance(Duration::from_millis(2)).await;
        stage.run_all().await;
        let failure = taken(late).expect_err("too late");
        assert_eq!(failure.code, "commit-timeout");
        assert!(failure.message.contains("exceeded timeout which caused object to be reset"), "{failure}");
        assert!(failure.flags.overloaded && failure.flags.object_reset, "{failure}");
        // Invariant 7: it may not be started, however long that takes.
        for _ in 0..3 {
            let refused = stage.answer(1, &[]).await.expect_err("out of service");
            assert!(refused.message.contains("until it is known what became of its commits"), "{refused}");
            assert!(refused.flags.retryable, "{refused}");
            tokio::time::advance(limits().commit_timeout).await;
            stage.run_all().await;
        }
        stage.answer_held(1, outcome).await;
        assert_eq!(stage.held(1).await, holds);
        assert_eq!(resets(&stage), 1);
        assert_eq!(seen(stage.answer(1, &[Act::Write(3, 10)]).await), [holds, &[3]].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn og_7_each_commit_has_its_own_time() {
    let stage = with_one().await;
    tokio::time::advance(limits().commit_timeout / 2).await;
    stage.plan(1, Hold);
    let late = stage.send(1, &[Act::Write(2, 10)]);
    stage.run_all().await;
    tokio::time::advance(limits().commit_timeout * 3 / 4).await;
    stage.run_all().await;
    assert!(!late.is_finished(), "the time of an earlier commit is over, not that of this one");
    tokio::time::advance(limits().commit_timeout / 2).await;
    stage.run_all().await;
    assert_eq!(taken(late).expect_err("too late").code, "commit-timeout");
}

#[tokio::test(start_paused = true)]
async fn invariant_7_an_object_is_not_started_before_it_is_known_what_became_of_its_commit() {
    for (outcome, holds) in [(Committed, &[1, 2][..]), (refused(), &[1]), (Fenced, &[1])] {
        let stage = with_one().await;
        stage.plan(1, Answer(Unknown));
        let failure = stage.answer(1, &[Act::Write(2, 10)]).await.expect_err("not known");
        assert!(failure.message.contains("is not known at present"), "{failure}");
        let refused = stage.answer(1, &[]).await.expect_err("out of service");
        assert!(refused.message.contains("until it is known what became of its commits"), "{refused}");
        stage.answer_held(1, outcome).await;
        assert_eq!(stage.held(1).await, holds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_open_when_the_outcome_of_an_earlier_commit_becomes_open_is_undone() {
    let stage = with_one().await;
    stage.plan(1, Hold);
    let earlier = stage.send(1, &[Act::Write(2, 10)]);
    stage.run_tasks().await;
    let mut acts = vec![Act::Write(3, 10)];
    acts.extend(vec![Act::Suspend; 10_000]);
    let open = stage.send(1, &acts);
    stage.run_tasks().await;
    stage.answer_held(1, Unknown).await;
    for failed in [earlier, open] {
        assert!(taken(failed).expect_err("reset").message.contains("is not known at present"));
    }
    stage.answer_held(1, Committed).await;
    assert_eq!(stage.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn callers_of_an_object_that_was_fenced_are_told_to_ask_again() {
    let stage = with_one().await;
    stage.plan(1, Answer(Fenced));
    let failure = stage.answer(1, &[Act::Write(2, 10)]).await.expect_err("moved");
    assert_eq!(failure.code, "object-moved");
    assert!(failure.flags.retryable && failure.flags.object_reset, "{failure}");
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_operators_sql_that_is_not_in_the_log_is_undone_and_the_next_event_is_served() {
    let stage = with_one().await;
    stage.leave().await;
    stage.plan(1, Answer(refused()));
    let failed = stage.sql(1, "CREATE TABLE extra(x)").await.expect_err("not in the log");
    assert_eq!(failed.message, "the log refused the commit");
    assert_eq!(stage.held(1).await, [1]);
    assert!(stage.sql(1, "SELECT * FROM extra").await.is_err());
    assert_eq!(resets(&stage), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_does_not_leave_memory_while_a_commit_is_under_way() {
    for (outcome, holds) in [(Committed, &[1, 2][..]), (refused(), &[1])] {
        let stage = with_one().await;
        stage.plan(1, Hold);
        let answer = stage.send(1, &[Act::Write(2, 10)]);
        stage.run_all().await;
        tokio::time::advance(limits().hibernate_after + limits().close_after).await;
        stage.run_all().await;
        assert_eq!(stage.world.directory.live_objects().len(), 1);
        stage.answer_held(1, outcome.clone()).await;
        assert_eq!(taken(answer).is_ok(), outcome == Committed);
        assert_eq!(stage.held(1).await, holds);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_first_commit_fails_begins_anew() {
    let stage = Stage::start();
    stage.plan(1, Answer(refused()));
    assert!(stage.answer(1, &[Act::Write(1, 10)]).await.is_err());
    assert_eq!(seen(stage.answer(1, &[Act::Write(2, 10)]).await), [2]);
    stage.leave().await;
    assert_eq!(stage.held(1).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_outcome_is_open_when_the_log_fails_is_out_of_service_for_good() {
    let stage = with_one().await;
    stage.plan(1, Answer(Unknown));
    assert!(stage.answer(1, &[Act::Write(2, 10)]).await.is_err());
    let other = stage.send(2, &[Act::Write(3, 10)]);
    stage.run_tasks().await;
    stage.disk.fail_at(stage.disk.operations() + 1, Fault::InputOutput);
    assert!(stage.world.flush().is_err());
    stage.run_tasks().await;
    assert!(taken(other).is_err());
    let event = stage.send(1, &[]);
    stage.run_tasks().await;
    let refused = taken(event).expect_err("out of service");
    assert!(refused.message.contains("until the node is started again"), "{refused}");
    assert!(!refused.flags.retryable, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_stops_although_the_outcome_of_a_commit_is_open() {
    let mut stage = with_one().await;
    stage.plan(1, Answer(Unknown));
    assert!(stage.answer(1, &[Act::Write(2, 10)]).await.is_err());
    let directory = stage.world.directory.clone();
    let stop = tokio::spawn(async move { directory.stop(Duration::from_secs(1)).await });
    stage.run_all().await;
    assert_eq!(stop.await.expect("no panic"), 0);
    stage.start_again();
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn commits_that_are_not_in_the_log_give_back_the_room_that_they_held_in_it() {
    let stage = with_one().await;
    let mut used = Vec::new();
    for number in 2..40 {
        stage.plan(1, Hold);
        let later = [Act::Write(number, 12_000), Act::Wait, Act::Write(number + 1000, 12_000)];
        let held = stage.send(1, &later);
        stage.run_all().await;
        stage.answer_held(1, refused()).await;
        assert!(taken(held).is_err());
        tokio::time::advance(limits().reset_wait_max).await;
        used.push(stage.disk.used());
    }
    assert_eq!(used.first(), used.last(), "segments were made for them: {used:?}");
    assert_eq!(stage.held(1).await, [1]);
}
