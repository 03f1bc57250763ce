//! Bodies of requests and responses: whole, or in pieces that come one by one.
//!
//! Pieces are pulled: whoever does not read on stops the sender, and dropping them makes it give up. A
//! body that broke off is not a body that ended: the reader gets the failure in place of the end. What an
//! object writes goes through [`channel`], whose writer lets pieces out one by one, each when the output
//! gate says so, and has [`PIECES_BYTES_MAX`] under way at most.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{PIECE_BYTES_COUNTED_MIN, PIECES_BYTES_MAX};
use tokio::sync::oneshot;

use crate::client::Client;

/// Where the pieces of a body come from.
pub trait PieceSource: Send + 'static {
    /// The next piece, never an empty one; `None` when the body is whole. After `None` or a failure it is
    /// not asked again.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>>;

    /// Says at which connection the pieces end up, so that whoever writes them learns when that seems to have
    /// gone.
    fn read_for(&mut self, client: &Client);
}

/// A body.
#[derive(Debug)]
pub enum Body {
    /// All of it; empty if there is none.
    Whole(Bytes),
    /// One piece after the other.
    Pieces(Pieces),
}

/// A body in pieces.
pub struct Pieces {
    source: Box<dyn PieceSource>,
    bytes: Option<u64>,
    verdict: Option<oneshot::Receiver<Result<(), Failure>>>,
    has_ended: bool,
}

impl Body {
    /// Whether there is nothing in it for certain.
    pub fn is_empty(&self) -> bool {
        self.bytes() == Some(0)
    }

    /// Its length, if it is known beforehand.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Pieces(pieces) => pieces.bytes,
        }
    }

    /// Bytes that it occupies while nobody reads it.
    pub fn held_bytes(&self) -> usize {
        match self {
            Body::Whole(bytes) => bytes.len(),
            Body::Pieces(_) => PIECES_BYTES_MAX,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Bytes::new())
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Body::Whole(bytes.into())
    }
}

/// Of two bodies in pieces nobody knows whether they are equal, so they are not.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Body::Whole(one), Body::Whole(other)) if one == other)
    }
}

impl Pieces {
    /// The pieces of `source`, which are `bytes` together, if that is known.
    pub fn new(source: impl PieceSource, bytes: Option<u64>) -> Self {
        Self { source: Box::new(source), bytes, verdict: None, has_ended: false }
    }

    /// The same pieces, whose end is only good if `verdict` says so too. A verdict that never comes is a
    /// bad one.
    pub fn judged_by(self, verdict: oneshot::Receiver<Result<(), Failure>>) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// Length of all pieces together, if it is known.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The next piece, never an empty one; `None` when the body is whole. Nothing comes after a failure.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if !self.has_ended {
            match std::task::ready!(self.source.poll_piece(cx)) {
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                Some(Err(failure)) => {
                    self.has_ended = true;
                    self.verdict = None;
                    return Poll::Ready(Some(Err(failure)));
                }
                None => self.has_ended = true,
            }
        }
        let Some(verdict) = &mut self.verdict else { return Poll::Ready(None) };
        let verdict = std::task::ready!(std::pin::Pin::new(verdict).poll(cx));
        self.verdict = None;
        Poll::Ready(match verdict {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(Err(failure)),
            Err(_) => Some(Err(broken_off())),
        })
    }

    /// Says at which connection the pieces end up, see [`PieceSource::read_for`].
    pub fn read_for(&mut self, client: &Client) {
        self.source.read_for(client);
    }

    /// Waits for the next piece.
    pub async fn piece(&mut self) -> Option<Result<Bytes, Failure>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The failure of a body whose writer went away before its end.
pub fn broken_off() -> Failure {
    Failure::new(ErrorCode::BodyBroken, "the body broke off: its writer is gone")
}

/// A body that is written piece by piece, and the end that writes it.
pub fn channel() -> (PieceWriter, Pieces) {
    let shared = Arc::new(Shared::default());
    let reader = Pieces::new(Reader(shared.clone()), None);
    (PieceWriter(Arc::new(WriterEnd(shared))), reader)
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Bytes>,
    /// Bytes taken from the writer and not yet by the reader, as [`counted`] counts them; some may still be
    /// held back.
    under_way: usize,
    /// Nothing is taken from the writer any more.
    is_closed: bool,
    end: Option<Result<(), Failure>>,
    is_reader_gone: bool,
    /// At the other end of the connection to which the reader sends the pieces.
    client: Client,
    reader: Option<Waker>,
    writers: Vec<Waker>,
}

/// The writing end. Clones write the same body; when the last is dropped and no end was told, the body has
/// broken off. What is held back elsewhere holds a clone, so that nothing is overtaken by that.
#[derive(Debug, Clone)]
pub struct PieceWriter(Arc<WriterEnd>);

#[derive(Debug)]
struct WriterEnd(Arc<Shared>);

impl PieceWriter {
    /// Bytes that may be taken now.
    pub fn room(&self) -> usize {
        PIECES_BYTES_MAX.saturating_sub(self.lock().under_way)
    }

    /// Notes that a piece of so many bytes was taken: it is under way until the reader has it.
    pub fn take(&self, bytes: usize) {
        self.lock().under_way += counted(bytes);
    }

    /// Lets a piece out that was [taken](Self::take).
    pub fn let_out(&self, piece: Bytes) {
        let mut state = self.lock();
        state.ready.push_back(piece);
        wake(state.reader.take());
    }

    /// Says that no more pieces are taken.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        wake(state.reader.take());
    }

    /// Says how the body ends. What is under way comes first if it ends well; the first word counts.
    pub fn end(&self, end: Result<(), Failure>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
        }
        wake(state.reader.take());
    }

    /// Whether nobody will read any more.
    pub fn is_reader_gone(&self) -> bool {
        self.lock().is_reader_gone
    }

    /// A view of the reader that does not hold the body open.
    pub fn reader(&self) -> ReaderWatch {
        ReaderWatch(self.0.0.clone())
    }

    /// Ready when the reader has all that was taken, or is gone.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.0.poll_until(cx, |state| state.under_way == 0 || state.is_reader_gone)
    }

    /// Ready when there is room, or the reader is gone.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.0.poll_until(cx, |state| state.under_way < PIECES_BYTES_MAX || state.is_reader_gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock()
    }
}

/// Sees whether a body's reader is there, without being a writer.
#[derive(Debug, Clone)]
pub struct ReaderWatch(Arc<Shared>);

impl ReaderWatch {
    /// Whether nobody reads any more, or the client for whom it is read seems to have gone.
    pub fn is_gone(&self) -> bool {
        let state = self.0.lock();
        state.is_reader_gone || state.client.is_gone()
    }

    /// Ready when [`is_gone`](Self::is_gone) is true.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let client = self.0.lock().client.clone();
        match self.0.poll_until(cx, |state| state.is_reader_gone) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => client.poll_gone(cx),
        }
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        // Whatever was taken and not let out never will be.
        state.under_way = state.ready.iter().map(|piece| counted(piece.len())).sum();
        state.end.get_or_insert_with(|| Err(broken_off()));
        wake(state.reader.take());
    }
}

struct Reader(Arc<Shared>);

impl PieceSource for Reader {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.ready.pop_front() {
            state.under_way -= counted(piece.len());
            wake(state.writers.drain(..));
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.end {
            Some(Err(failure)) => Poll::Ready(Some(Err(failure.clone()))),
            Some(Ok(())) if state.is_closed && state.under_way == 0 => Poll::Ready(None),
            _ => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn read_for(&mut self, client: &Client) {
        let mut state = self.0.lock();
        state.client = client.clone();
        // They wait for that client now.
        wake(state.writers.drain(..));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_reader_gone = true;
        state.ready.clear();
        wake(state.writers.drain(..));
    }
}

impl Shared {
    fn poll_until(&self, cx: &mut Context<'_>, is_so: impl FnOnce(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if is_so(&state) {
            return Poll::Ready(());
        }
        if !state.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("BUG: a body's lock is never held over a panic")
    }
}

/// What a piece of so many bytes counts: one of a single byte takes its place on the host's side too.
fn counted(bytes: usize) -> usize {
    bytes.max(PIECE_BYTES_COUNTED_MIN)
}

/// Wakers of other tasks only note that they were called, so the lock may be held.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

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
}
