//! Bodies in pieces under a fake guest: a piece leaves like an answer, by the turn that wrote it (OG-3).
//!
//! Each piece says all that its object held when it was written, so what is read of a body must be there
//! whatever happens afterwards. What clients see is in the conformance suite.

use durabo_changelog::segment::Durability;
use durabo_objects::append_outcome::AppendOutcome::Fenced;
use durabo_objects::body::{Body, Pieces};
use durabo_objects::commit_faults::CommitFault::Hold;
use durabo_objects::event::{Outcome, Reply};
use durabo_simulation::act::{Act, numbers_in, write};
use durabo_simulation::stage::{Stage, taken};
use futures::FutureExt;
use tokio::task::JoinHandle;

/// A stage on which the object 1 has been there and holds nothing.
async fn stage() -> Stage {
    let stage = Stage::start();
    assert!(stage.held(1).await.is_empty());
    stage
}

fn body(answer: JoinHandle<Outcome>) -> Pieces {
    match taken(answer) {
        Ok(Reply::Fetch(response)) => match response.body {
            Body::Pieces(pieces) => pieces,
            whole => panic!("{whole:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What has come by now: a piece's numbers, `Ok(None)` at the end, or the code of what broke the body off.
fn next(body: &mut Pieces) -> Option<Result<Option<Vec<u64>>, String>> {
    Some(match body.piece().now_or_never()? {
        None => Ok(None),
        Some(Ok(piece)) => Ok(Some(numbers_in(&piece))),
        Some(Err(failure)) => Err(failure.code),
    })
}

#[tokio::test(start_paused = true)]
async fn og_3_each_piece_waits_for_the_writes_before_it_and_the_end_for_all() {
    let stage = stage().await;
    let acts =
        [Act::Open, Act::Wait, write(1), Act::Piece, Act::Left, write(2), Act::Piece, Act::Left, write(3)];
    let answer = stage.send(1, &acts);
    stage.run_tasks().await;
    let mut body = body(answer);
    assert_eq!(next(&mut body), None);
    stage.flush().await;
    assert_eq!(next(&mut body), Some(Ok(Some(vec![1]))));
    stage.run_tasks().await;
    assert_eq!(next(&mut body), None);
    stage.flush().await;
    assert_eq!(next(&mut body), Some(Ok(Some(vec![1, 2]))));
    stage.run_tasks().await;
    assert_eq!(next(&mut body), None, "the end is an output too");
    stage.flush().await;
    assert_eq!(next(&mut body), Some(Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn og_5_a_piece_does_not_wait_for_writes_that_come_after_it() {
    let stage = stage().await;
    let answer = stage.send(1, &[Act::Open, Act::Wait, Act::Piece, write(1), Act::Left, Act::Piece]);
    stage.run_tasks().await;
    let mut body = body(answer);
    assert_eq!(next(&mut body), Some(Ok(Some(vec![]))));
    stage.run_tasks().await;
    assert_eq!(next(&mut body), None);
    stage.flush().await;
    assert_eq!(next(&mut body), Some(Ok(Some(vec![1]))));
}

#[tokio::test(start_paused = true)]
async fn og_6_a_piece_of_a_turn_that_is_undone_never_leaves_and_cuts_the_body() {
    for last in [Act::Trap, Act::Abort] {
        let stage = stage().await;
        let acts = [Act::Open, Act::Wait, write(1), Act::Piece, Act::Wait, write(2), Act::Piece, last];
        let answer = stage.send(1, &acts);
        stage.run_tasks().await;
        let mut body = body(answer);
        stage.run_all().await;
        assert_eq!(next(&mut body), Some(Ok(Some(vec![1]))));
        let cut = next(&mut body).expect("cut").expect_err("cut");
        assert!(["guest-trapped", "object-aborted"].contains(&cut.as_str()), "{cut}");
        assert_eq!(stage.held(1).await, [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_handler_ends_its_body_with_its_failure_behind_the_pieces() {
    let stage = stage().await;
    let answer = stage.send(1, &[Act::Open, Act::Wait, write(1), Act::Piece, Act::Fail]);
    stage.run_tasks().await;
    let mut body = body(answer);
    stage.run_all().await;
    assert_eq!(next(&mut body), Some(Ok(Some(vec![1]))));
    assert!(next(&mut body).expect("an end").is_err());
    assert_eq!(stage.held(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_was_read_says_nothing_that_a_power_loss_takes_back() {
    const SEEDS: u64 = 30;
    let mut pieces_read = 0;
    for seed in 0..SEEDS {
        let mut stage = Stage::with(seed, Durability::Strict);
        assert!(stage.held(1).await.is_empty());
        let acts: Vec<Act> = [Act::Open, Act::Wait]
            .into_iter()
            .chain((1..=10).flat_map(|number| [Act::Write(number, 700), Act::Piece, Act::Left]))
            .collect();
        let answer = stage.send(1, &acts);
        stage.run_tasks().await;
        let mut body = body(answer);
        let mut told = Vec::new();
        for step in 0..seed % 12 {
            match (seed + step) % 3 {
                0 => stage.run_tasks().await,
                1 => stage.keep_up().await,
                _ => stage.flush().await,
            }
            while let Some(Ok(Some(numbers))) = next(&mut body) {
                told = numbers;
                pieces_read += 1;
            }
        }
        stage.disk.power_loss();
        stage.start_again();
        let held = stage.held(1).await;
        assert!(held.starts_with(&told), "seed {seed}: {told:?} was told, {held:?} is there");
    }
    assert!(pieces_read > SEEDS, "{pieces_read} pieces tell little");
}

#[tokio::test(start_paused = true)]
async fn og_6_a_body_whose_piece_waits_for_a_commit_that_fails_is_broken_off() {
    let stage = stage().await;
    stage.plan(1, Hold);
    let answer = stage.send(1, &[Act::Open, Act::Wait, write(1), Act::Piece, Act::Left]);
    stage.run_all().await;
    let mut body = body(answer);
    assert_eq!(next(&mut body), None);
    stage.answer_held(1, Fenced).await;
    assert_eq!(next(&mut body), Some(Err("object-moved".to_owned())));
    assert!(stage.held(1).await.is_empty());
}
