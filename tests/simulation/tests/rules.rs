//! The rules of an object under a fake guest: gate, turns, resets, idleness, draining.
//!
//! What only a real component can show is in the conformance suite.

use std::path::Path;
use std::time::Duration;

use durabo_changelog::disk::Disk;
use durabo_changelog::simulated_disk::Fault;
use durabo_model::object::NamespaceNumber;
use durabo_objects::control::OldSockets;
use durabo_objects::event::Origin;
use durabo_simulation::act::{Act, event};
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;
use futures::FutureExt;
use tokio::task::JoinHandle;

#[tokio::test(start_paused = true)]
async fn og_3_a_reply_is_withheld_until_the_writes_before_it_are_durable() {
    let test = Stage::start();
    let answer = test.send(1, &[Act::Write(1, 10)]);
    test.run_tasks().await;
    assert!(!answer.is_finished());
    test.run_all().await;
    assert_eq!(seen(taken(answer)), [1]);
}

#[tokio::test(start_paused = true)]
async fn og_3_an_error_reply_waits_as_well() {
    let test = Stage::start();
    let answer = test.send(1, &[Act::Write(1, 10), Act::Fail]);
    test.run_tasks().await;
    assert!(!answer.is_finished());
    test.run_all().await;
    assert!(taken(answer).is_err());
}

#[tokio::test(start_paused = true)]
async fn og_5_a_read_waits_for_the_commit_before_it_and_not_when_all_is_durable() {
    let test = Stage::start();
    let write = test.send(1, &[Act::Write(1, 10)]);
    test.run_tasks().await;
    let read = test.send(1, &[]);
    test.run_tasks().await;
    assert!(!read.is_finished());
    test.run_all().await;
    assert_eq!((seen(taken(write)), seen(taken(read))), (vec![1], vec![1]));
    let later = test.send(1, &[]);
    test.run_tasks().await;
    assert_eq!(seen(taken(later)), [1]);
}

#[tokio::test(start_paused = true)]
async fn lc_6_a_returned_error_keeps_what_was_written() {
    let test = Stage::start();
    let failed = test.answer(1, &[Act::Write(1, 10), Act::Fail]).await.expect_err("told to fail");
    assert!(!failed.flags.object_reset);
    assert_eq!(seen(test.answer(1, &[]).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn c_042_a_trap_undoes_its_turn_and_resets_the_object() {
    let test = Stage::start();
    let failed = test.answer(1, &[Act::Write(1, 10), Act::Trap]).await.expect_err("trapped");
    assert!(failed.flags.object_reset);
    assert_eq!(seen(test.answer(1, &[]).await), Vec::<u64>::new());
}

#[tokio::test(start_paused = true)]
async fn c_043_a_trap_in_the_second_of_two_turns_leaves_the_first() {
    let test = Stage::start();
    let acts = [Act::Write(1, 10), Act::Wait, Act::Write(2, 10), Act::Trap];
    assert!(test.answer(1, &acts).await.is_err());
    assert_eq!(seen(test.answer(1, &[]).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn c_017_many_first_calls_meet_one_instance() {
    let test = Stage::start();
    let answers: Vec<_> = (1..=50).map(|n| test.send(1, &[Act::Write(n, 10)])).collect();
    test.run_all().await;
    let longest = answers.into_iter().map(|answer| seen(taken(answer)).len()).max();
    assert_eq!(longest, Some(50));
    assert_eq!(test.world.directory.live_objects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_object_leaves_with_everything_in_its_file() {
    let test = Stage::start();
    assert_eq!(seen(test.answer(1, &[Act::Write(1, 10)]).await), [1]);
    test.leave().await;
    assert_eq!(seen(test.answer(1, &[]).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn st_7_the_request_beyond_the_mailbox_is_refused_and_the_others_are_served() {
    let test = Stage::start();
    let most = limits().mailbox_events_max as u64;
    // Nothing is taken out of the mailbox before the tasks run.
    let mut answers = Vec::new();
    for n in 1..=most + 1 {
        let directory = test.world.directory.clone();
        let event = event(&[Act::Write(n, 1)]);
        let mut answer =
            Box::pin(async move { directory.deliver(address(1), event, Origin::default()).await });
        let refused = (&mut answer).now_or_never();
        assert_eq!(refused.is_some(), n > most, "event {n}");
        match refused {
            Some(outcome) => assert!(outcome.expect_err("refused").flags.overloaded),
            None => answers.push(tokio::spawn(answer)),
        }
    }
    // Each answer holds all numbers, so that a round of steps serves a part only.
    for _ in 0..most {
        if answers.iter().all(JoinHandle::is_finished) {
            break;
        }
        test.run_all().await;
    }
    let mut longest = 0;
    for answer in answers {
        assert!(answer.is_finished());
        // So many at once are more than the runtime lets a task take without a wait.
        longest = longest.max(seen(answer.await.expect("no panic")).len());
    }
    assert_eq!(longest, limits().mailbox_events_max);
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_stalls_no_more_answers_pile_up_than_are_allowed() {
    let test = Stage::start();
    let (held, waiting) = (limits().outputs_held_max, limits().mailbox_events_max);
    // Reads wait for what the constructor wrote (OG-5).
    let mut answers: Vec<_> = (0..waiting).map(|_| test.send(1, &[])).collect();
    for _ in 0..20 {
        test.run_tasks().await;
    }
    // The mailbox is full, so that as many fit as were taken out: what may wait for the disk, and the few
    // that the guest had by then.
    let mut taken_out = 0;
    let refused = loop {
        let answer = test.send(1, &[]);
        test.run_tasks().await;
        if answer.is_finished() {
            break taken(answer);
        }
        answers.push(answer);
        taken_out += 1;
        assert!(taken_out <= held + 3, "{taken_out} were taken out");
    };
    assert!(refused.expect_err("refused").flags.overloaded);
    assert!(taken_out >= held, "only {taken_out} were taken out");
    for _ in 0..10 {
        test.run_all().await;
    }
    for answer in answers {
        assert!(answer.is_finished());
        answer.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_log_answers_nobody_and_stops_the_node() {
    let test = Stage::start();
    assert_eq!(seen(test.answer(1, &[Act::Write(1, 10)]).await), [1]);
    let answer = test.send(1, &[Act::Write(2, 10)]);
    test.run_tasks().await;
    test.disk.fail_at(test.disk.operations() + 1, Fault::InputOutput);
    assert!(test.world.flush().is_err());
    test.run_tasks().await;
    let failure = taken(answer).expect_err("not durable");
    assert!(failure.message.contains("the change log failed"), "{failure}");
    test.run_tasks().await;
    assert!(test.send(1, &[Act::Write(3, 10)]).await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn lc_13_a_deployment_drains_and_the_next_event_meets_a_new_instance() {
    let test = Stage::start();
    let answer = test.send(1, &[Act::Write(1, 10), Act::Wait, Act::Write(2, 10)]);
    test.run_tasks().await;
    test.world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut);
    test.run_all().await;
    assert_eq!(seen(taken(answer)), [1, 2]);
    assert_eq!(seen(test.answer(1, &[Act::Write(3, 10)]).await), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_has_everything_in_the_objects_files() {
    let test = Stage::start();
    assert_eq!(seen(test.answer(1, &[Act::Write(1, 10)]).await), [1]);
    let directory = test.world.directory.clone();
    let stop = tokio::spawn(async move { directory.stop(Duration::from_secs(1)).await });
    test.run_all().await;
    assert_eq!(stop.now_or_never().expect("stopped").expect("no panic"), 0);
    let file = format!("/data/objects/1/{}.sqlite", address(1).key.id);
    assert!(test.disk.exists(Path::new(&file)).expect("a working disk"));
}

#[tokio::test(start_paused = true)]
async fn d_9_an_object_that_breaks_again_and_again_starts_later_and_later() {
    let test = Stage::start();
    for _ in 0..limits().resets_free {
        assert!(test.answer(1, &[Act::Trap]).await.is_err());
    }
    let live = test.world.directory.live_objects();
    assert_eq!(live[0].resets, u64::from(limits().resets_free));
    let waiting = test.send(1, &[Act::Trap]);
    test.run_all().await;
    assert!(!waiting.is_finished(), "the next instance waits");
    let step = limits().reset_wait + Duration::from_millis(1);
    tokio::time::advance(step).await;
    test.run_all().await;
    assert!(taken(waiting).is_err());
    let well = test.send(1, &[Act::Write(1, 10)]);
    test.run_all().await;
    tokio::time::advance(step).await;
    test.run_all().await;
    assert!(!well.is_finished(), "twice as long");
    tokio::time::advance(step).await;
    test.run_all().await;
    assert_eq!(seen(taken(well)), [1]);
    assert!(test.answer(1, &[Act::Trap]).await.is_err(), "one that has answered ends the waits");
    assert_eq!(test.held(1).await, [1]);
}
