//! Work that nobody waits for: it keeps its object in memory, but for a limited time (LC-15).
//!
//! The clock is the runtime's and stands still but for where a test moves it.

use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_objects::body::Body;
use durabo_objects::client::Client;
use durabo_objects::event::{Origin, Outcome, Reply};
use durabo_simulation::act::{Act, event, write};
use durabo_simulation::address::address;
use durabo_simulation::fake_guest::{BLOCKING, STARTED};
use durabo_simulation::stage::{Stage, seen, taken};
use durabo_simulation::world::limits;
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);

/// Lets time pass minute by minute, so that objects look about as they do in earnest.
async fn pass(stage: &Stage, mut time: Duration) {
    while !time.is_zero() {
        let step = time.min(60 * SECOND);
        tokio::time::advance(step).await;
        stage.run_tasks().await;
        time -= step;
    }
    stage.run_all().await;
}

/// How often the object was reset since it is in memory, if it is.
fn resets(stage: &Stage, object: u64) -> Option<u64> {
    let live = stage.world.directory.live_objects();
    live.iter().find(|live| live.key == address(object).key).map(|live| live.resets)
}

/// The caller goes away, so that the answer can go nowhere.
async fn leave(stage: &Stage, answer: JoinHandle<Outcome>) {
    answer.abort();
    stage.run_tasks().await;
}

#[tokio::test(start_paused = true)]
async fn lc_15_work_left_behind_keeps_its_object_for_the_limit_and_is_then_undone_to_its_last_commit() {
    let stage = Stage::start();
    let acts = [write(1), Act::Reply, write(2), Act::Wait, write(3), Act::WaitForEver, write(4)];
    seen(stage.answer(1, &acts).await);
    pass(&stage, limits().pending_work_timeout - SECOND).await;
    assert_eq!(resets(&stage, 1), Some(0));
    pass(&stage, SECOND).await;
    assert_eq!(resets(&stage, 1), Some(1));
    assert_eq!(stage.held(1).await, [1, 2, 3]);
    stage.leave().await;
}

#[tokio::test(start_paused = true)]
async fn lc_15_each_event_gives_the_work_its_whole_time_again() {
    let stage = Stage::start();
    seen(stage.answer(1, &[Act::Reply, Act::WaitForEver]).await);
    for number in 0..5 {
        pass(&stage, limits().pending_work_timeout - SECOND).await;
        assert_eq!(stage.held(1).await.len(), number as usize);
        seen(stage.answer(1, &[write(number)]).await);
    }
    assert_eq!(resets(&stage, 1), Some(0));
    pass(&stage, limits().pending_work_timeout).await;
    assert_eq!(resets(&stage, 1), Some(1));
}

#[tokio::test(start_paused = true)]
async fn b_59_an_event_that_waits_for_itself_ends_with_the_caller_and_not_before() {
    for object in [1, BLOCKING] {
        let stage = Stage::start();
        let waiting = stage.send(object, &[write(1), Act::WaitForEver]);
        stage.run_all().await;
        pass(&stage, 3 * limits().pending_work_timeout).await;
        assert!(!waiting.is_finished(), "its caller waits");
        assert_eq!(resets(&stage, object), Some(0));
        leave(&stage, waiting).await;
        // That the caller was there was seen just now.
        pass(&stage, limits().pending_work_timeout - SECOND).await;
        assert_eq!(resets(&stage, object), Some(0));
        pass(&stage, SECOND).await;
        assert_eq!(resets(&stage, object), Some(1));
        assert_eq!(stage.held(object).await, [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn lc_15_a_client_that_seems_to_have_gone_is_told_which_limit_it_was() {
    let stage = Stage::start();
    let (directory, client) = (stage.world.directory.clone(), Client::new());
    let origin = Origin { client: client.clone(), ..Origin::default() };
    let acts = event(&[Act::WaitForEver]);
    let answer = tokio::spawn(async move { directory.deliver(address(1), acts, origin).await });
    stage.run_all().await;
    pass(&stage, 2 * limits().pending_work_timeout).await;
    assert!(!answer.is_finished(), "its client is there");
    client.leave();
    pass(&stage, limits().pending_work_timeout).await;
    let failed = taken(answer).expect_err("reset");
    assert_eq!(failed.listed_code(), Some(ErrorCode::PendingWorkTimeout));
    assert!(failed.flags.object_reset && failed.message.contains("within 900 s"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn st_10_all_tasks_of_an_event_that_listen_are_told_when_its_caller_leaves() {
    let stage = Stage::start();
    let acts = [write(1), Act::Wait, Act::Listen, Act::Listen, Act::Await, write(2)];
    let answer = stage.send(1, &acts);
    stage.run_all().await;
    assert!(!answer.is_finished(), "its caller waits");
    leave(&stage, answer).await;
    assert_eq!(stage.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn st_10_work_that_goes_on_after_the_answer_is_told_that_nobody_waits_any_more() {
    let stage = Stage::start();
    // One begins to listen before the answer, and one after it.
    let acts = [write(1), Act::Listen, Act::Reply, Act::Listen, Act::Await, write(2)];
    assert_eq!(seen(stage.answer(1, &acts).await), [1]);
    assert_eq!(stage.held(1).await, [1, 2]);
    stage.leave().await;
}

#[tokio::test(start_paused = true)]
async fn st_10_what_listens_after_an_answer_with_a_body_is_told_when_its_reader_has_gone() {
    let stage = Stage::start();
    let acts = [write(1), Act::Listen, Act::Listen, Act::Open, Act::Await, write(2)];
    let answer = stage.answer(1, &acts).await.expect("a head");
    assert_eq!(stage.held(1).await, [1], "the body may still be read");
    drop(answer);
    assert_eq!(stage.held(1).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn st_10_what_a_constructor_began_is_told_when_it_has_returned() {
    let stage = Stage::start();
    stage.sql(1, "CREATE TABLE listen(x)").await.expect("allowed");
    assert!(stage.answer(1, &[]).await.is_ok());
    assert_eq!(stage.held(1).await, [STARTED]);
    stage.leave().await;
}

#[tokio::test(start_paused = true)]
async fn lc_15_an_object_that_waits_for_itself_through_another_is_not_waited_for() {
    let stage = Stage::start();
    let back = Act::Call(2, vec![Act::Call(1, vec![Act::WaitForEver]), Act::Await]);
    let waiting = stage.send(1, &[back, Act::Await]);
    stage.run_all().await;
    pass(&stage, 2 * limits().pending_work_timeout).await;
    assert_eq!((resets(&stage, 1), resets(&stage, 2)), (Some(0), Some(0)));
    leave(&stage, waiting).await;
    pass(&stage, limits().pending_work_timeout).await;
    assert_eq!(resets(&stage, 1), Some(1));
    // The other one waited for what the reset has failed, and is done.
    assert_eq!(resets(&stage, 2), Some(0));
    stage.leave().await;
}

#[tokio::test(start_paused = true)]
async fn lc_15_who_reads_the_rest_of_an_answer_waits_for_it() {
    let stage = Stage::start();
    let answer = stage.send(1, &[Act::Open, Act::WaitForEver]);
    stage.run_all().await;
    let Reply::Fetch(response) = taken(answer).expect("an answer") else { panic!("no response") };
    assert!(matches!(response.body, Body::Pieces(_)));
    pass(&stage, 2 * limits().pending_work_timeout).await;
    assert_eq!(resets(&stage, 1), Some(0));
    drop(response);
    pass(&stage, limits().pending_work_timeout).await;
    assert_eq!(resets(&stage, 1), Some(1));
    stage.leave().await;
}
