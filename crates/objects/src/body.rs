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
use crate::wakers::Wakers;

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
    writers: Wakers,
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

    /// Lets a piece out that was [taken](Self::take). Nothing is kept for a reader that is gone.
    pub fn let_out(&self, piece: Bytes) {
        let mut state = self.lock();
        if state.is_reader_gone {
            return;
        }
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
        self.poll_gone_while(cx, || ())
    }

    /// `meanwhile` is what others do between the two looks, which are in this order so that whoever is told of
    /// another client later wakes this task: it would wait for one that nobody reads for any more.
    fn poll_gone_while(&self, cx: &mut Context<'_>, meanwhile: impl FnOnce()) -> Poll<()> {
        if self.0.poll_until(cx, |state| state.is_reader_gone).is_ready() {
            return Poll::Ready(());
        }
        meanwhile();
        let client = self.0.lock().client.clone();
        client.poll_gone(cx)
    }
}

impl ReaderWatch {
    /// Forgets a task that [waits](Self::poll_gone) no more: the client's connection may go on for long.
    pub(crate) fn forget(&self, waker: &Waker) {
        let client = {
            let mut state = self.0.lock();
            state.writers.remove(waker);
            state.client.clone()
        };
        client.forget(waker);
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
            state.writers.wake_all();
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
        state.writers.wake_all();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_reader_gone = true;
        state.ready.clear();
        state.writers.wake_all();
    }
}

impl Shared {
    fn poll_until(&self, cx: &mut Context<'_>, is_so: impl FnOnce(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if is_so(&state) {
            return Poll::Ready(());
        }
        state.writers.add(cx.waker());
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

/// A waker only notes that it was called, so the lock may be held.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
