//! What a turn or a transaction wrote and undid: it takes no memory, and its object goes on.
//!
//! Such writes are larger than SQLite's cache here, so that they stand in the write-ahead log until they are undone.

use durabo_model::limits::ObjectLimits;
use durabo_objects::event::SqlRequest;
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::stage::{Stage, taken};

/// A node whose objects have to bring their logs into their files early.
fn stage() -> Stage {
    Stage::with_limits(ObjectLimits { wal_bytes_max: 48 * 1024, ..ObjectLimits::default() })
}

/// Lets an operator who may not write write 5 MB, which is undone.
async fn undo_much(test: &Stage, object: u64) {
    let query = "CREATE TABLE much AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000) \
                 SELECT randomblob(1000) FROM c";
    let request = SqlRequest { query: query.to_owned(), bindings: Vec::new(), may_write: false };
    let directory = test.world.directory.clone();
    let answer = tokio::spawn(async move { directory.sql(address(object), request).await });
    test.run_all().await;
    assert!(answer.is_finished(), "it waits for nothing");
    answer.await.expect("no panic").expect_err("they may not write");
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_first_write_was_undone_starts_again_and_so_does_its_node() {
    for has_left in [true, false] {
        let mut test = stage();
        undo_much(&test, 1).await;
        if has_left {
            test.stay_idle().await;
            test.run_all().await;
            assert!(test.world.directory.live_objects().is_empty());
        }
        let answer = test.send(1, &[Act::Write(1, 10)]);
        test.flush().await;
        taken(answer).expect("the object starts");
        test.disk.power_loss();
        test.start_again();
        assert_eq!(test.held(1).await, [1], "left memory before: {has_left}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_is_not_held_in_memory() {
    let test = stage();
    test.write(1, 1).await;
    let before = test.world.directory.wal_memory_bytes();
    undo_much(&test, 1).await;
    assert_eq!(test.world.directory.wal_memory_bytes(), before);
    assert_eq!(test.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_transaction_has_spilled_counts_as_memory_until_it_is_undone_and_no_longer() {
    let ends = [
        vec![Act::RollBack, Act::Leave],
        vec![Act::Leave],
        vec![Act::Keep],
        vec![Act::Fail],
        vec![Act::Trap],
    ];
    for end in ends {
        let test = stage();
        let bytes = || test.world.directory.wal_memory_bytes();
        test.write(1, 1).await;
        // So that no checkpoint comes of itself, which would count anew.
        test.copy(1).await;
        test.run_all().await;
        assert_eq!(bytes(), 0);
        let mut acts = vec![Act::Enter, Act::Begin];
        acts.extend((2..10).map(|number| Act::Write(number, 300_000)));
        acts.push(Act::Pause(2000));
        acts.extend(end.clone());
        let answer = test.send(1, &acts);
        test.run_tasks().await;
        assert!(!answer.is_finished() && bytes() > 512 * 1024, "{} bytes are spilled", bytes());
        while !answer.is_finished() {
            test.run_all().await;
        }
        if end == [Act::Keep] {
            assert!(bytes() > 512 * 1024, "it is open still");
            // It goes with its instance.
            test.fall_idle().await;
            test.run_all().await;
        }
        assert_eq!(test.world.directory.live_count(), 1, "what has left memory takes none");
        assert_eq!(bytes(), 0, "ended by {end:?}");
        assert_eq!(test.held(1).await, [1]);
    }
}
