//! Pieces on their way from a writer to a reader, and what either learns of the other.
//!
//! What leaves an object by them, and when, is in `tests/simulation`.

use futures::FutureExt;
use tokio::task::yield_now;

use super::*;

fn write(writer: &PieceWriter, piece: &'static [u8]) {
    writer.take(piece.len());
    writer.let_out(Bytes::from_static(piece));
}

#[tokio::test]
async fn pieces_come_in_order_and_the_end_after_them() {
    let (writer, mut reader) = channel();
    write(&writer, b"ab");
    writer.end(Ok(()));
    write(&writer, b"c");
    assert_eq!(reader.piece().await, Some(Ok(Bytes::from("ab"))));
    assert_eq!(reader.piece().await, Some(Ok(Bytes::from("c"))));
    assert_eq!(reader.piece().now_or_never(), None, "not closed");
    writer.close();
    assert_eq!(reader.piece().await, None);
}

#[tokio::test]
async fn an_end_waits_for_pieces_that_are_held_back() {
    let (writer, mut reader) = channel();
    writer.take(1);
    writer.close();
    writer.end(Ok(()));
    assert_eq!(reader.piece().now_or_never(), None);
    writer.let_out(Bytes::from("x"));
    assert_eq!(reader.piece().await, Some(Ok(Bytes::from("x"))));
    assert_eq!(reader.piece().await, None);
}

#[tokio::test]
async fn a_writer_that_goes_away_without_an_end_breaks_the_body_off_after_what_was_let_out() {
    let (writer, mut reader) = channel();
    let held = writer.clone();
    held.take(1);
    drop(writer);
    assert_eq!(reader.piece().now_or_never(), None, "a piece is still held back");
    held.let_out(Bytes::from("x"));
    drop(held);
    assert_eq!(reader.piece().await, Some(Ok(Bytes::from("x"))));
    assert_eq!(reader.piece().await, Some(Err(broken_off())));
}

#[tokio::test]
async fn what_is_under_way_is_bounded_until_it_is_read() {
    let (writer, mut reader) = channel();
    writer.take(PIECES_BYTES_MAX);
    assert_eq!(writer.room(), 0);
    let left = poll_fn(|cx| writer.poll_left(cx));
    assert_eq!(poll_fn(|cx| writer.poll_room(cx)).now_or_never(), None);
    writer.let_out(Bytes::from(vec![0; PIECES_BYTES_MAX]));
    assert_eq!(poll_fn(|cx| writer.poll_left(cx)).now_or_never(), None, "let out, but not read");
    let read = reader.piece();
    let (read, ()) = futures::join!(read, left);
    assert_eq!(read.expect("a piece").expect("good").len(), PIECES_BYTES_MAX);
    assert_eq!(writer.room(), PIECES_BYTES_MAX);
}

#[tokio::test]
async fn pieces_of_a_byte_are_bounded_by_their_number() {
    let (writer, mut reader) = channel();
    let mut taken = 0;
    while writer.room() > 0 {
        write(&writer, b"x");
        taken += 1;
    }
    assert_eq!(taken, PIECES_BYTES_MAX / PIECE_BYTES_COUNTED_MIN);
    for _ in 0..taken {
        assert_eq!(reader.piece().await, Some(Ok(Bytes::from("x"))));
    }
    assert_eq!(writer.room(), PIECES_BYTES_MAX);
}

#[tokio::test]
async fn a_reader_that_goes_away_releases_the_writer() {
    let (writer, reader) = channel();
    writer.take(5);
    assert_eq!(poll_fn(|cx| writer.poll_left(cx)).now_or_never(), None);
    let watch = writer.reader();
    assert_eq!(poll_fn(|cx| watch.poll_gone(cx)).now_or_never(), None);
    drop(reader);
    assert!(writer.is_reader_gone() && watch.is_gone());
    poll_fn(|cx| writer.poll_left(cx)).await;
    poll_fn(|cx| watch.poll_gone(cx)).await;
}

#[tokio::test]
async fn a_writer_is_told_when_the_client_behind_its_reader_seems_to_have_gone_and_may_go_on() {
    let (writer, mut reader) = channel();
    let (watch, client) = (writer.reader(), Client::new());
    let mut gone = Box::pin(poll_fn(|cx| watch.poll_gone(cx)));
    assert_eq!((&mut gone).now_or_never(), None);
    reader.read_for(&client);
    client.leave();
    gone.await;
    assert!(watch.is_gone() && !writer.is_reader_gone());
    write(&writer, b"it may still read");
    assert!(reader.piece().await.is_some_and(|piece| piece.is_ok()));
}

#[tokio::test]
async fn a_writer_is_told_also_if_the_client_becomes_known_while_it_begins_to_wait() {
    let (writer, mut reader) = channel();
    let (watch, client) = (writer.reader(), Client::new());
    let known = client.clone();
    // In the midst of the first look.
    let mut meanwhile = Some(move || {
        reader.read_for(&known);
        reader
    });
    let mut kept = None;
    let gone = tokio::spawn(poll_fn(move |cx| {
        watch.poll_gone_while(cx, || {
            if let Some(meanwhile) = meanwhile.take() {
                kept = Some(meanwhile());
            }
        })
    }));
    yield_now().await;
    client.leave();
    yield_now().await;
    assert!(gone.is_finished());
}

#[test]
fn a_task_that_asks_no_more_for_the_reader_is_forgotten_at_its_connection_too() {
    let (writer, mut reader) = channel();
    let (watch, client) = (writer.reader(), Client::new());
    reader.read_for(&client);
    let waker = futures::task::noop_waker();
    assert!(watch.poll_gone(&mut Context::from_waker(&waker)).is_pending());
    assert!(client.is_waited_for());
    watch.forget(&waker);
    assert!(!client.is_waited_for() && writer.lock().writers.is_empty());
}

#[test]
fn nothing_is_kept_for_a_reader_that_is_gone() {
    let (writer, reader) = channel();
    writer.take(1);
    drop(reader);
    writer.let_out(Bytes::from("x"));
    assert!(writer.lock().ready.is_empty());
}

#[tokio::test]
async fn a_body_is_whole_only_if_its_judge_says_so_too() {
    let judged = |verdict: Option<Result<(), Failure>>| async move {
        let (writer, reader) = channel();
        let (judge, told) = oneshot::channel();
        let mut reader = reader.judged_by(told);
        writer.close();
        writer.end(Ok(()));
        verdict.map(|verdict| judge.send(verdict));
        reader.piece().await
    };
    let bad = Failure::new(ErrorCode::Internal, "bad");
    assert_eq!(judged(Some(Ok(()))).await, None);
    assert_eq!(judged(Some(Err(bad.clone()))).await, Some(Err(bad)));
    assert_eq!(judged(None).await, Some(Err(broken_off())));
}
