//! Transactions over waits under a fake guest: with whom they share the object, and what ends them.
//!
//! Seeded runs with accidents are in `schedules`; how they nest in the database is tested there.

use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::NamespaceNumber;
use durabo_model::time::Clock;
use durabo_objects::append_outcome::AppendOutcome::{Committed, Failed};
use durabo_objects::commit_faults::CommitFault::{Answer, Hold};
use durabo_objects::control::OldSockets;
use durabo_simulation::act::{Act, write};
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;
use durabo_storage::value::Value;

/// Begins a transaction that writes 1 and then waits for ever.
fn open_for_ever() -> [Act; 5] {
    [Act::Enter, Act::Begin, write(1), Act::Call(2, vec![write(9)]), Act::WaitForEver]
}

fn resets(stage: &Stage, object: u64) -> u64 {
    let live = stage.world.directory.live_objects();
    live.iter().find(|live| live.key == address(object).key).expect("in memory").resets
}

#[tokio::test(start_paused = true)]
async fn tx_5_all_turns_of_it_commit_together_and_no_event_comes_in_between() {
    let stage = Stage::start();
    let acts = [
        Act::Enter,
        Act::Begin,
        write(1),
        Act::Call(2, vec![]),
        Act::Await,
        write(2),
        Act::Commit,
        Act::Leave,
    ];
    let transaction = stage.send(1, &acts);
    stage.run_tasks().await;
    let event = stage.send(1, &[write(3)]);
    let operator = stage.send_sql(1, "SELECT n FROM a");
    stage.run_tasks().await;
    assert!(!event.is_finished() && !operator.is_finished());
    stage.run_all().await;
    assert_eq!(seen(taken(transaction))[..2], [1, 2]);
    assert_eq!(seen(taken(event)), [1, 2, 3]);
    let rows = operator.await.expect("no panic").expect("rows").rows;
    assert!(rows.starts_with(&[Value::Integer(1), Value::Integer(2)]), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn tx_5_one_that_is_left_open_goes_with_its_section_and_the_object_goes_on() {
    let stage = Stage::start();
    let acts = [Act::Enter, Act::Begin, write(1), Act::Wait, write(2), Act::Leave, write(3), Act::Trap];
    assert!(stage.answer(1, &acts).await.is_err());
    assert!(stage.held(1).await.is_empty());
    let acts = [Act::Enter, Act::Begin, write(1), Act::Wait, write(2), Act::Leave, write(3)];
    assert_eq!(seen(stage.answer(1, &acts).await), [3]);
    assert_eq!(resets(&stage, 1), 1);
}

#[tokio::test(start_paused = true)]
async fn tx_5_what_was_written_before_it_in_the_turn_is_committed_before() {
    let stage = Stage::start();
    let acts = [Act::Enter, write(1), Act::Begin, write(2), Act::Trap];
    assert!(stage.answer(1, &acts).await.is_err());
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn tx_5_what_is_committed_is_not_undone_by_a_trap_later_in_the_turn() {
    let stage = Stage::start();
    let acts = [Act::Enter, Act::Begin, write(1), Act::Commit, write(2), Act::Trap];
    assert!(stage.answer(1, &acts).await.is_err());
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn tx_10_what_an_inner_one_committed_goes_with_the_outer_one_however_that_ends() {
    let stage = Stage::start();
    let inner = [Act::Enter, Act::Begin, write(2), Act::Wait, Act::Commit, Act::Leave];
    let ends = [(Act::Commit, vec![1, 2]), (Act::RollBack, vec![]), (Act::Wait, vec![])];
    for (object, (end, left)) in ends.into_iter().enumerate() {
        let mut acts = vec![Act::Enter, Act::Begin, write(1)];
        acts.extend(inner.clone());
        acts.extend([end, Act::Leave]);
        assert_eq!(seen(stage.answer(object as u64, &acts).await), left);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_one_says_how_it_ended_and_a_second_rollback_does_nothing() {
    let stage = Stage::start();
    let begin = [Act::Enter, Act::Begin, write(1)];
    let says = async |ends: &[Act]| {
        let failure = stage.answer(1, &[&begin[..], ends].concat()).await.expect_err("it was ended");
        (failure.code, failure.message)
    };
    let committed = |call: &str| {
        let text = format!(
            "Cannot call {call} on transaction that has already committed: did you move `txn` outside of the closure?"
        );
        ("transaction-ended".to_owned(), text)
    };
    assert_eq!(says(&[Act::Commit, Act::Commit]).await, committed("commit"));
    assert_eq!(
        stage.sql(1, "DELETE FROM a; DELETE FROM b; UPDATE total SET sum = 0").await.map(drop),
        Ok(())
    );
    assert_eq!(says(&[Act::Commit, Act::RollBack]).await, committed("rollback"));
    assert_eq!(
        stage.sql(1, "DELETE FROM a; DELETE FROM b; UPDATE total SET sum = 0").await.map(drop),
        Ok(())
    );
    let rolled_back = ("transaction-ended".to_owned(), "Cannot commit on rolled back transaction".to_owned());
    assert_eq!(says(&[Act::RollBack, Act::RollBack, Act::Commit]).await, rolled_back);
    let (code, text) = says(&[Act::Begin]).await;
    assert_eq!(code, "transaction-open", "{text}");
    assert_eq!((stage.held(1).await, resets(&stage, 1)), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn tx_13_a_call_within_waits_for_what_was_committed_before_and_not_for_the_transaction() {
    let stage = Stage::start();
    assert!(stage.held(1).await.is_empty());
    stage.plan(1, Hold);
    let call = Act::Call(2, vec![write(9)]);
    let acts =
        [write(1), Act::Enter, Act::Begin, write(2), call, Act::Await, write(3), Act::Commit, Act::Leave];
    let transaction = stage.send(1, &acts);
    stage.run_all().await;
    assert!(stage.held(2).await.is_empty());
    stage.answer_held(1, Committed).await;
    assert_eq!(seen(taken(transaction)), [1, 2, 3]);
    assert_eq!(stage.held(2).await, [9]);
}

#[tokio::test(start_paused = true)]
async fn tx_13_the_answer_waits_for_the_outermost_commit() {
    let stage = Stage::start();
    assert!(stage.held(1).await.is_empty());
    stage.plan(1, Hold);
    let acts = [Act::Enter, Act::Begin, write(1), Act::Wait, write(2), Act::Commit, Act::Leave];
    let transaction = stage.send(1, &acts);
    stage.run_all().await;
    assert!(!transaction.is_finished());
    stage.answer_held(1, Committed).await;
    assert_eq!(seen(taken(transaction)), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn og_6_an_earlier_commit_that_fails_undoes_what_is_open_too() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
    stage.plan(1, Hold);
    let acts = [write(1), Act::Enter, Act::Begin, write(2), Act::WaitForEver];
    let transaction = stage.send(1, &acts);
    stage.run_all().await;
    stage.answer_held(1, Failed(Failure::new(ErrorCode::StorageFailed, "the log refused"))).await;
    assert_eq!(taken(transaction).expect_err("undone").message, "the log refused");
    assert_eq!(stage.held(1).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn og_6_its_own_commit_that_fails_undoes_all_of_it() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
    stage.plan(1, Answer(Failed(Failure::new(ErrorCode::StorageFailed, "the log refused"))));
    let acts = [Act::Enter, Act::Begin, write(1), Act::Wait, write(2), Act::Commit, Act::Leave];
    assert_eq!(stage.answer(1, &acts).await.expect_err("undone").message, "the log refused");
    assert_eq!(stage.held(1).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn ig_9_one_that_takes_too_long_is_undone_with_a_reset() {
    let stage = Stage::start();
    let transaction = stage.send(1, &open_for_ever());
    stage.run_all().await;
    tokio::time::advance(limits().section_timeout + Duration::from_secs(1)).await;
    stage.run_all().await;
    let failure = taken(transaction).expect_err("too long");
    assert_eq!(failure.listed_code(), Some(ErrorCode::SectionTimeout));
    assert!(stage.held(1).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_or_a_stop_ends_one_that_does_not_end_and_undoes_it() {
    for stops in [false, true] {
        let mut stage = Stage::start();
        assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
        let transaction = stage.send(1, &open_for_ever());
        stage.run_all().await;
        let stopping = stops.then(|| {
            let directory = stage.world.directory.clone();
            tokio::spawn(async move { directory.stop(Duration::from_secs(5)).await })
        });
        if !stops {
            stage.world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut);
        }
        stage.run_all().await;
        assert!(!transaction.is_finished());
        let limit = if stops { Duration::from_secs(5) } else { limits().drain };
        tokio::time::advance(limit + Duration::from_secs(1)).await;
        stage.run_all().await;
        assert!(taken(transaction).is_err());
        if let Some(stopping) = stopping {
            stopping.await.expect("it stops");
            stage.start_again();
        }
        assert_eq!(stage.held(1).await, [5]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_waits_until_it_has_ended() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[Act::Write(5, 3000)]).await), [5]);
    let acts = [Act::Enter, Act::Begin, Act::Write(1, 3000), Act::Pause(2000), Act::Commit, Act::Leave];
    let transaction = stage.send(1, &acts);
    stage.run_tasks().await;
    let before = stage.world.directory.wal_memory_bytes();
    stage.copy(1).await;
    assert!(!transaction.is_finished());
    assert!(stage.world.directory.wal_memory_bytes() >= before);
    while !transaction.is_finished() {
        stage.run_all().await;
    }
    assert_eq!(seen(taken(transaction)), [5, 1]);
    stage.copy(1).await;
    stage.run_all().await;
    assert_eq!(stage.world.directory.wal_memory_bytes(), 0);
    assert_eq!(stage.held(1).await, [5, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_guest_keeps_open_without_work_goes_with_its_instance() {
    let stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
    let kept = stage.answer(1, &[Act::Enter, Act::Begin, write(1), Act::Keep]).await;
    // The answer waits for no commit, and shows what is not one yet (TX-13).
    assert_eq!(seen(kept), [5, 1]);
    let waiting = stage.send(1, &[write(6)]);
    stage.run_all().await;
    assert!(!waiting.is_finished());
    stage.fall_idle().await;
    stage.run_all().await;
    assert_eq!(seen(taken(waiting)), [5, 6]);
    assert_eq!(resets(&stage, 1), 0);
}

#[tokio::test(start_paused = true)]
async fn what_one_has_written_counts_as_memory_before_it_ends() {
    let transaction_bytes_max = 256 * 1024;
    let stage = Stage::with_limits(ObjectLimits { transaction_bytes_max, ..limits() });
    assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
    stage.copy(1).await;
    stage.run_all().await;
    assert_eq!(stage.world.directory.wal_memory_bytes(), 0);
    // What SQLite's cache of pages holds is not in the WAL yet.
    let writes = (6..10).flat_map(|number| [Act::Write(number, 40_000), Act::Wait]);
    let acts = [Act::Enter, Act::Begin].into_iter().chain(writes).chain([Act::WaitForEver]);
    let transaction = stage.send(1, &acts.collect::<Vec<_>>());
    stage.run_all().await;
    assert!(stage.world.directory.wal_memory_bytes() > 20_000);
    drop(transaction);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_meanwhile_leaves_nothing_of_it() {
    let mut stage = Stage::start();
    assert_eq!(seen(stage.answer(1, &[write(5)]).await), [5]);
    drop(stage.send(1, &open_for_ever()));
    stage.run_all().await;
    // The call got out, and nothing that the transaction wrote did.
    assert_eq!(stage.held(2).await, [9]);
    stage.disk.process_kill();
    stage.start_again();
    assert_eq!(stage.held(1).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn c_205_an_alarm_that_was_set_within_is_undone_with_it_and_seen_within() {
    for end in [Act::RollBack, Act::Trap, Act::Leave] {
        let stage = Stage::start();
        let due = stage.clock.now().0 + 1000;
        stage.answer(1, &[Act::SetAlarm(1000)]).await.expect("set");
        let acts = [Act::Enter, Act::Begin, Act::SetAlarm(60_000), Act::Wait, Act::NoteAlarm];
        let answer = stage.answer(1, &[&acts[..], std::slice::from_ref(&end)].concat()).await;
        assert_eq!(answer.is_ok(), end != Act::Trap);
        assert!(stage.held(1).await.is_empty());
        stage.pass(100_000).await;
        assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
    }
}

#[tokio::test(start_paused = true)]
async fn tx_11_an_alarm_belongs_to_the_transaction_that_set_it() {
    let stage = Stage::start();
    let start = stage.clock.now().0;
    let seen_by = |time: u64| start + time;
    let inner =
        [Act::Enter, Act::Begin, Act::SetAlarm(9000), Act::Wait, Act::NoteAlarm, Act::RollBack, Act::Leave];
    let acts = [
        &[Act::Enter, Act::Begin, Act::SetAlarm(5000)][..],
        &inner,
        &[Act::NoteAlarm, Act::Commit, Act::Leave],
    ];
    assert_eq!(seen(stage.answer(1, &acts.concat()).await), [seen_by(5000)]);
    stage.pass(4999).await;
    assert_eq!(stage.alarm_runs(1).await, []);
    stage.pass(1).await;
    assert_eq!(stage.alarm_runs(1).await, [(seen_by(5000), 0)]);
}

#[tokio::test(start_paused = true)]
async fn al_10_a_handler_that_keeps_one_open_has_run_all_the_same_once_that_has_gone() {
    let stage = Stage::start();
    let due = stage.clock.now().0 + 1000;
    let handler = vec![Act::Enter, Act::Begin, write(1), Act::Keep];
    stage.answer(1, &[Act::OnAlarm(handler), Act::SetAlarm(1000)]).await.expect("set");
    stage.pass(1000).await;
    stage.fall_idle().await;
    stage.run_all().await;
    assert!(stage.held(1).await.is_empty());
    let noted = seen(stage.answer(1, &[Act::NoteAlarm]).await);
    assert_eq!(noted, [0], "the alarm is cleared");
    stage.pass(100_000).await;
    assert_eq!(stage.alarm_runs(1).await, [(due, 0)]);
}
