//! Calls between objects under a fake guest: when they leave, in which order, and what comes back.
//!
//! Sections are in `sections`, seeded runs in `schedules`.

use durabo_model::limits;
use durabo_model::object::NamespaceNumber;
use durabo_objects::client::Client;
use durabo_objects::control::OldSockets;
use durabo_objects::event::Origin;
use durabo_simulation::act::{Act, event, write};
use durabo_simulation::address::address;
use durabo_simulation::fake_guest::BLOCKING;
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world;
use futures::FutureExt;

#[tokio::test(start_paused = true)]
async fn a_call_leaves_when_the_turn_that_asked_for_it_is_durable_and_not_before() {
    let stage = Stage::start();
    let answer = stage.send(1, &[write(1), Act::Call(2, vec![write(7)]), write(2), Act::Await]);
    stage.run_tasks().await;
    assert_eq!(stage.world.directory.live_objects().len(), 1, "nothing has reached the other object");
    stage.run_all().await;
    assert_eq!(seen(taken(answer)), [1, 2]);
    assert_eq!(stage.held(2).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn og_5_a_call_does_not_wait_for_writes_that_came_after_it() {
    let stage = Stage::start();
    assert!(stage.held(1).await.is_empty());
    let answer = stage.send(1, &[Act::Call(2, vec![]), write(1), Act::Wait]);
    stage.run_tasks().await;
    assert_eq!(stage.world.directory.live_objects().len(), 2);
    stage.run_all().await;
    assert_eq!(seen(taken(answer)), [1]);
}

#[tokio::test(start_paused = true)]
async fn c_076_a_call_of_a_turn_that_is_undone_never_leaves() {
    for last in [Act::Trap, Act::Abort] {
        let stage = Stage::start();
        let acts =
            [write(1), Act::Call(2, vec![write(7)]), Act::Wait, write(3), Act::Call(2, vec![write(8)]), last];
        assert!(stage.answer(1, &acts).await.is_err());
        assert_eq!((stage.held(1).await, stage.held(2).await), (vec![1], vec![7]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_gives_up_is_made_all_the_same() {
    let stage = Stage::start();
    let acts = [write(1), Act::Call(2, vec![write(7), Act::Wait, write(8)]), Act::GiveUp, Act::Wait];
    assert_eq!(seen(stage.answer(1, &acts).await), [1]);
    assert_eq!(stage.held(2).await, [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn c_022_calls_of_one_stub_arrive_in_the_order_in_which_they_were_made() {
    let stage = Stage::start();
    let mut acts = Vec::new();
    for number in 10..20 {
        acts.push(write(number));
        acts.push(Act::Call(2, vec![write(number)]));
        if number % 3 == 0 {
            acts.push(Act::Wait);
        }
    }
    acts.push(Act::Await);
    assert_eq!(seen(stage.answer(1, &acts).await).len(), 10);
    assert_eq!(stage.held(2).await, (10..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn c_028_a_stub_of_an_object_that_was_reset_is_broken_and_a_new_one_is_not() {
    let stage = Stage::start();
    let acts = [
        Act::Call(2, vec![write(7)]),
        Act::Await,
        Act::Call(2, vec![Act::Abort]),
        Act::Await,
        Act::Call(2, vec![write(8)]),
        Act::Expect,
    ];
    let failed = stage.answer(1, &acts).await.expect_err("the stub is broken");
    assert_eq!((failed.message.as_str(), failed.flags.object_reset), ("aborted as told", true));
    assert_eq!(stage.held(2).await, [7]);
    let mut acts = acts.to_vec();
    acts[0] = Act::Wait;
    acts.insert(4, Act::NewStubs);
    assert!(stage.answer(1, &acts).await.is_ok());
    assert_eq!(stage.held(2).await, [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_stub_outlives_the_eviction_of_its_object() {
    let stage = Stage::start();
    let wait_long = vec![Act::Call(3, vec![Act::Enter, Act::Wait]), Act::Await];
    let mut acts = vec![Act::Call(2, vec![write(7)]), Act::Await];
    acts.extend(wait_long);
    acts.extend([Act::Call(2, vec![write(8)]), Act::Expect]);
    assert!(stage.answer(1, &acts).await.is_ok());
    stage.leave().await;
    assert_eq!(stage.held(2).await, [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn c_026_a_failure_reaches_the_caller_as_it_was_with_the_object_that_failed() {
    let stage = Stage::start();
    let failed = stage.answer(1, &[Act::Call(2, vec![Act::Fail]), Act::Expect]).await.expect_err("told so");
    assert_eq!(failed.message, "failed as told");
    assert!(!failed.flags.object_reset && failed.object.is_some());
}

#[tokio::test(start_paused = true)]
async fn c_031_a_cycle_through_objects_that_suspend_completes() {
    let stage = Stage::start();
    let back = Act::Call(1, vec![write(3)]);
    let acts = [write(1), Act::Call(2, vec![write(2), back, Act::Expect]), Act::Expect, write(4)];
    assert_eq!(seen(stage.answer(1, &acts).await), [1, 3, 4]);
    assert_eq!(seen(stage.answer(1, &[Act::Call(1, vec![write(5)]), Act::Expect]).await), [1, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn st_12_a_cycle_through_an_object_that_cannot_suspend_is_refused_at_once() {
    let stage = Stage::start();
    let back = Act::Call(BLOCKING, vec![write(3)]);
    for acts in [vec![Act::Call(2, vec![back.clone(), Act::Expect]), Act::Expect], vec![back, Act::Expect]] {
        let failed = stage.answer(BLOCKING, &acts).await.expect_err("it would wait for itself");
        assert_eq!((failed.code.as_str(), failed.flags.object_reset), ("object-busy", false), "{failed}");
    }
    assert_eq!(seen(stage.answer(BLOCKING, &[write(4)]).await), [4]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_suspend_serves_calls_of_others_one_after_the_other() {
    let stage = Stage::start();
    let calls: Vec<_> = (1..=5)
        .map(|n| stage.send(n, &[Act::Call(BLOCKING, vec![write(n), Act::Wait, write(n + 10)]), Act::Expect]))
        .collect();
    stage.run_all().await;
    for call in calls {
        assert!(taken(call).is_ok());
    }
    let held = stage.held(BLOCKING).await;
    assert!(held.chunks(2).all(|pair| pair[1] == pair[0] + 10), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn st_12_a_call_that_comes_back_passes_a_full_mailbox() {
    let stage = Stage::start();
    // The way back begins behind a write, and so not before the log thread's next step.
    let there = vec![write(9), Act::Call(1, vec![write(3)]), Act::Expect];
    let first = stage.send(1, &[Act::Call(2, there), Act::Expect]);
    stage.run_tasks().await;
    let mut waiting = Vec::new();
    let refused = loop {
        let directory = stage.world.directory.clone();
        let mut answer =
            Box::pin(async move { directory.deliver(address(1), event(&[]), Origin::default()).await });
        match (&mut answer).now_or_never() {
            None => waiting.push(answer),
            Some(outcome) => break outcome.expect_err("the mailbox is full"),
        }
    };
    assert_eq!(refused.code, "overloaded");
    stage.world.flush().expect("a working log");
    stage.run_all().await;
    assert_eq!(seen(taken(first)), [3]);
}

#[tokio::test(start_paused = true)]
async fn ig_1_a_flood_of_one_caller_delays_another_by_one_event() {
    let stage = Stage::start();
    let [flood, other] = [Client::new(), Client::new()];
    let send = |client: &Client, number: u64| {
        let (directory, client) = (stage.world.directory.clone(), client.clone());
        let event = event(&[write(number), Act::Wait]);
        let origin = Origin { client, ..Origin::default() };
        tokio::spawn(async move { directory.deliver(address(BLOCKING), event, origin).await })
    };
    let mut answers: Vec<_> = (1..=20).map(|number| send(&flood, number)).collect();
    answers.extend([100, 101].map(|number| send(&other, number)));
    // Calls of an object are a line of their own, whichever client is behind them.
    let calls = [200, 201].map(|number| Act::Call(BLOCKING, vec![write(number)]));
    answers.push(stage.send(1, &[&calls[..], &[Act::Expect]].concat()));
    stage.run_all().await;
    answers.into_iter().for_each(|answer| drop(taken(answer).expect("served")));
    let held = stage.held(BLOCKING).await;
    assert_eq!(held.len(), 24);
    for (line, later) in [([1, 2], 2), ([100, 101], 6), ([200, 201], 8)] {
        let places = line.map(|number| held.iter().position(|held| *held == number));
        assert!(places[0] < places[1] && places[1] < Some(later + 1), "{line:?} in {held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_calls_ends_at_its_limit() {
    let stage = Stage::start();
    let nested = |depth: usize| {
        (0..depth)
            .fold(vec![write(9)], |inner, level| vec![Act::Call(1 + level as u64 % 2, inner), Act::Expect])
    };
    assert!(stage.answer(1, &nested(limits::CALL_CHAIN_MAX)).await.is_ok());
    let failed = stage.answer(3, &nested(limits::CALL_CHAIN_MAX + 1)).await.expect_err("too deep");
    assert_eq!(failed.code, "call-chain-too-deep");
    assert!(!failed.flags.object_reset);
}

#[tokio::test(start_paused = true)]
async fn lc_13_a_call_that_comes_back_is_served_by_the_instance_that_is_about_to_end() {
    let stage = Stage::start();
    let back = Act::Call(1, vec![write(3)]);
    let answer =
        stage.send(1, &[write(1), Act::Call(2, vec![write(2), back, Act::Expect]), Act::Expect, write(4)]);
    stage.run_tasks().await;
    stage.world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut);
    stage.run_all().await;
    assert_eq!(seen(taken(answer)), [1, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn lc_15_work_that_goes_on_after_the_reply_keeps_the_object_and_is_committed() {
    let stage = Stage::start();
    let acts = [write(1), Act::Reply, Act::Call(2, vec![write(7)]), Act::Await, write(2)];
    let answer = stage.send(1, &acts);
    stage.run_tasks().await;
    tokio::time::advance(world::limits().hibernate_after * 2).await;
    stage.run_tasks().await;
    assert_eq!(stage.world.directory.live_objects().len(), 1, "the call has not left yet");
    stage.run_all().await;
    assert_eq!(seen(taken(answer)), [1]);
    assert_eq!((stage.held(1).await, stage.held(2).await), (vec![1, 2], vec![7]));
}
