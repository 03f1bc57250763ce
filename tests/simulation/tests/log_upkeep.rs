//! The change log stays small: whoever holds it back is brought into its file, by size and by age, without an
//! instance of it.
//!
//! Who is asked and when is a unit test of `objects`; accidents in between are in `checkpoints` and `power_loss`.

use std::path::Path;
use std::time::Duration;

use durabo_changelog::disk::Disk;
use durabo_model::limits::ObjectLimits;
use durabo_model::time::{Clock, Timestamp};
use durabo_simulation::act::Act;
use durabo_simulation::address::address;
use durabo_simulation::stage::Stage;

const AGE: Duration = Duration::from_secs(60);

/// Segments that the log may have at most: two are what it may hold back, one is written, and one may have been
/// begun since upkeep last looked.
const SEGMENTS_MAX: usize = 4;

/// A node whose objects stay in memory, and are checkpointed for no reason of their own.
fn stage() -> Stage {
    let hour = Duration::from_secs(3600);
    Stage::with_limits(ObjectLimits { checkpoint_after: AGE, close_after: hour, ..ObjectLimits::default() })
}

/// Instances of the object so far, and whether one runs.
fn instances(stage: &Stage, object: u64) -> (u64, bool) {
    let live = stage.world.directory.live_objects();
    let live = live.iter().find(|live| live.key == address(object).key).expect("in memory");
    (live.starts, live.has_instance)
}

/// Lets so much time pass, with a round of both log threads twice a second.
async fn pass(stage: &Stage, time: Duration) {
    for _ in 0..time.as_millis() / 500 {
        stage.clock.set(Timestamp(stage.clock.now().0 + 500));
        stage.keep_up().await;
        stage.flush().await;
    }
}

fn segments(stage: &Stage) -> usize {
    let names = stage.disk.list(Path::new("/data/log")).expect("the log's folder");
    names.iter().filter(|name| name.ends_with(".segment")).count()
}

#[tokio::test(start_paused = true)]
async fn an_object_that_hibernates_is_checkpointed_by_age_and_gets_no_instance() {
    let mut test = stage();
    test.write(1, 1).await;
    test.fall_idle().await;
    pass(&test, AGE / 2).await;
    assert_eq!(test.world.row(&address(1).key), None, "it is not old yet");
    pass(&test, AGE).await;
    assert!(test.world.row(&address(1).key).is_some(), "it is in its file");
    assert_eq!(instances(&test, 1), (1, false));
    assert_eq!(test.world.log_held_bytes(), 0, "nothing of the log would be read");
    test.disk.power_loss();
    test.start_again();
    assert_eq!(test.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_never_rests_is_checkpointed_by_age_too() {
    let test = stage();
    for number in 1..=30 {
        // So little that the size of the log is no reason.
        test.answer(1, &[Act::Write(number, 10)]).await.expect("a success");
        pass(&test, AGE / 10).await;
    }
    let sequence = test.world.row(&address(1).key).expect("it is in its file").sequence;
    assert!(sequence.0 >= 10, "the newest of the checkpoints is of commit {}", sequence.0);
    assert!(instances(&test, 1).1, "its instance goes on");
    assert_eq!(test.held(1).await, (1..=30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_log_takes_no_more_of_the_disk_for_objects_that_do_nothing() {
    let mut test = stage();
    let idle = 2..=20;
    for object in idle.clone() {
        test.write(object, object).await;
    }
    test.fall_idle().await;
    for number in 1..=200 {
        test.write(1, number).await;
        test.keep_up().await;
        test.flush().await;
        assert!(segments(&test) <= SEGMENTS_MAX, "{} segments after {number} writes", segments(&test));
    }
    for object in idle.clone() {
        assert_eq!(instances(&test, object), (1, false), "object {object}");
    }
    test.disk.power_loss();
    test.start_again();
    for object in idle {
        assert_eq!(test.held(object).await, [object]);
    }
    assert_eq!(test.held(1).await, (1..=200).collect::<Vec<_>>());
}
