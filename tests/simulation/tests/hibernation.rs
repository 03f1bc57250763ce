//! Objects without work: first the instance goes, later the database is closed and the object leaves memory
//! (LC-10).
//!
//! The clock is the runtime's and stands still but for where a test moves it.

use durabo_changelog::segment::Durability;
use durabo_model::limits::REST_AFTER;
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::fake_guest::BARE;
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;

/// How often power fails in a case that tries many accidents.
const SEEDS: u64 = 20;

/// Whether an instance of the object runs, if it is in memory.
fn has_instance(stage: &Stage, object: u64) -> Option<bool> {
    let live = stage.world.directory.live_objects();
    live.iter().find(|live| live.key == address(object).key).map(|live| live.has_instance)
}

#[tokio::test(start_paused = true)]
async fn lc_10_an_idle_object_drops_its_instance_first_and_leaves_later() {
    let test = Stage::start();
    test.write(1, 1).await;
    assert_eq!(has_instance(&test, 1), Some(true));
    test.fall_idle().await;
    assert_eq!(has_instance(&test, 1), Some(false), "it hibernates");
    test.stay_idle().await;
    assert_eq!(has_instance(&test, 1), Some(false), "its file is not synced yet");
    test.run_all().await;
    assert_eq!(has_instance(&test, 1), None, "it has left");
    assert_eq!(test.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_in_memory_until_the_index_knows_it() {
    let test = Stage::start();
    let key = address(1).key;
    let known = || (test.world.directory.has_live(key.namespace), test.world.row(&key).is_some());
    assert_eq!(known(), (false, false));
    test.write(1, 1).await;
    assert_eq!(known(), (true, false));
    test.fall_idle().await;
    test.stay_idle().await;
    assert_eq!(known(), (true, false), "its file is not synced yet");
    test.run_all().await;
    assert_eq!(known(), (false, true), "it has left");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_uses_no_database_has_none_open() {
    let test = Stage::start();
    let first = test.answer(BARE, &[Act::Wait, Act::TellOpen, Act::Wait, Act::Trap]);
    assert_eq!(seen(first.await), [0]);
    assert_eq!(seen(test.answer(BARE, &[Act::TellOpen, Act::Wait, Act::Abort]).await), [0], "after a reset");
    assert_eq!(seen(test.answer(BARE, &[Act::MakeTables, Act::TellOpen]).await), [1]);
    test.fall_idle().await;
    assert_eq!(seen(test.answer(BARE, &[Act::TellOpen]).await), [1], "it hibernated over its connection");
    test.leave().await;
    assert_eq!(seen(test.answer(BARE, &[Act::TellOpen]).await), [0], "it had left memory");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_rests_gives_the_pages_of_its_database_back() {
    let test = Stage::start();
    test.write(1, 1).await;
    let cached = seen(test.answer(1, &[Act::TellCached]).await)[0];
    tokio::time::advance(REST_AFTER / 2).await;
    test.run_tasks().await;
    assert_eq!(seen(test.answer(1, &[Act::TellCached]).await)[0], cached, "it worked a moment ago");
    tokio::time::advance(REST_AFTER).await;
    test.run_tasks().await;
    let rested = seen(test.answer(1, &[Act::TellCached]).await)[0];
    assert!(rested < cached / 3, "{rested} of {cached} bytes");
    assert_eq!(test.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_rests_keeps_no_pages_that_an_operator_asked_for() {
    let test = Stage::start();
    test.write(1, 1).await;
    let cached = seen(test.answer(1, &[Act::TellCached]).await)[0];
    tokio::time::advance(REST_AFTER).await;
    test.run_tasks().await;
    test.sql(1, "SELECT sum(n), max(fill) FROM a").await.expect("an answer");
    let rested = seen(test.answer(1, &[Act::TellCached]).await)[0];
    assert!(rested < cached / 3, "{rested} of {cached} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_instance_rests_again_a_second_after_later_work() {
    let test = Stage::start();
    test.write(1, 1).await;
    tokio::time::advance(REST_AFTER).await;
    test.run_tasks().await;
    test.write(1, 2).await;
    let cached = seen(test.answer(1, &[Act::TellCached]).await)[0];
    tokio::time::advance(REST_AFTER).await;
    test.run_tasks().await;
    let rested = seen(test.answer(1, &[Act::TellCached]).await)[0];
    assert!(rested < cached / 3, "{rested} of {cached} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_object_with_steady_work_keeps_its_instance() {
    let test = Stage::start();
    for number in 1..=5 {
        test.write(1, number).await;
        tokio::time::advance(limits().hibernate_after * 3 / 4).await;
        test.run_tasks().await;
        assert_eq!(has_instance(&test, 1), Some(true), "after event {number}");
    }
    test.fall_idle().await;
    assert_eq!(has_instance(&test, 1), Some(false));
}

#[tokio::test(start_paused = true)]
async fn lc_12_an_event_wakes_an_object_over_its_open_database() {
    let test = Stage::start();
    test.write(1, 1).await;
    test.fall_idle().await;
    // Nothing of it is in its file yet: what the next instance sees stands in memory and in the log.
    assert_eq!(test.world.row(&address(1).key), None);
    test.write(1, 2).await;
    assert_eq!(has_instance(&test, 1), Some(true));
    assert_eq!(test.world.row(&address(1).key), None);
    assert_eq!(test.held(1).await, [1, 2]);
    test.leave().await;
    assert_eq!(test.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_power_loss_finds_the_commits_of_instances_over_one_connection() {
    for durability in [Durability::Strict, Durability::Relaxed] {
        for seed in 0..SEEDS {
            let mut test = Stage::with(seed, durability);
            for number in 1..=4 {
                let answer = test.send(1, &[Act::Write(number, 3000)]);
                for _ in 0..3 {
                    // A checkpoint needs a step of the log too, when nobody waits for syncs.
                    test.flush().await;
                }
                taken(answer).expect("a success");
                if number % 2 == seed % 2 {
                    test.copy(1).await;
                }
                test.fall_idle().await;
            }
            match durability {
                Durability::Strict => test.disk.power_loss(),
                Durability::Relaxed => test.disk.process_kill(),
            }
            test.start_again();
            assert_eq!(test.held(1).await, [1, 2, 3, 4], "{durability:?}, seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_hibernates_does_the_checkpoint_that_upkeep_asks_for() {
    let test = Stage::start();
    test.write(1, 1).await;
    test.fall_idle().await;
    test.world.directory.request_checkpoint(address(1).key);
    test.run_all().await;
    assert_eq!(has_instance(&test, 1), Some(false), "nobody woke it");
    assert!(test.world.row(&address(1).key).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_an_instance_has_set_is_gone_in_the_next() {
    let test = Stage::start();
    test.write(1, 1).await;
    test.sql(1, "PRAGMA foreign_keys = OFF").await.expect("a switch");
    test.sql(1, "CREATE TABLE child(a REFERENCES a(place))").await.expect("a table");
    test.sql(1, "INSERT INTO child VALUES (100)").await.expect("nobody looks");
    test.fall_idle().await;
    test.run_all().await;
    assert_eq!(has_instance(&test, 1), Some(false));
    let refused = test.sql(1, "INSERT INTO child VALUES (101)").await.expect_err("somebody looks");
    assert!(refused.message.contains("FOREIGN KEY constraint failed"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_object_without_an_instance_stops_with_its_node() {
    let test = Stage::start();
    test.write(1, 1).await;
    test.fall_idle().await;
    let directory = test.world.directory.clone();
    let stop = tokio::spawn(async move { directory.stop(std::time::Duration::from_secs(1)).await });
    test.run_all().await;
    assert_eq!(stop.await.expect("no panic"), 0);
    assert!(test.world.row(&address(1).key).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_event_while_the_object_is_leaving_meets_an_instance_of_the_same_task() {
    let test = Stage::start();
    test.write(1, 1).await;
    test.fall_idle().await;
    test.stay_idle().await;
    // Its checkpoint waits for upkeep.
    let answer = test.send(1, &[Act::Write(2, 10)]);
    test.run_all().await;
    assert_eq!(seen(taken(answer)), [1, 2]);
    assert_eq!(has_instance(&test, 1), Some(true));
}
