//! Bodies on their way into a guest: pieces that the host has, as the contract's stream and its end.
//!
//! A piece is asked for when the guest reads and not before, so a guest that does not read on stops the
//! sender. What the guest passes on without having read it to its end is taken back from the stream and
//! goes on without crossing the guest.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::PIECES_BYTES_MAX;
use durabo_objects::body::{Body, PieceSource, Pieces};
use durabo_objects::client::Client;
use durabo_objects::input_gate::AskedAt;
use wasmtime::component::{
    Destination, FutureProducer, FutureReader, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::bindings::object::http;
use crate::bindings::object::types;
use crate::failure_record;
use crate::open_body::OpenBody;
use crate::state::GuestState;

/// How a body ended, for whoever waits for that.
type End = Result<(), Failure>;

/// A body as the guest gets it: nothing, whole, or a stream. Refused if too many are open.
pub fn body_to_guest<S: AsContextMut<Data = GuestState>>(
    mut store: S,
    body: Body,
) -> wasmtime::Result<Result<http::Body, Failure>> {
    let pieces = match body {
        Body::Whole(bytes) if bytes.is_empty() => return Ok(Ok(http::Body::Empty)),
        Body::Whole(bytes) => return Ok(Ok(http::Body::Bytes(bytes.into()))),
        Body::Pieces(pieces) => pieces,
    };
    let open = match OpenBody::new(store.as_context().data()) {
        Ok(open) => open,
        Err(failure) => return Ok(Err(failure)),
    };
    let told = Arc::new(Told::default());
    let body = PiecesIn { pieces, rest: Bytes::new(), told: told.clone(), was_read: false, open: Some(open) };
    let data = StreamReader::new(store.as_context_mut(), Inlet { body, asked: None })?;
    let end = FutureReader::new(store.as_context_mut(), InletEnd { told, asked: None })?;
    Ok(Ok(http::Body::Chunks(http::Chunks { data, end })))
}

/// A body on its way in: what is left of it.
pub struct PiecesIn {
    pieces: Pieces,
    /// Of a piece that the guest had no room for.
    rest: Bytes,
    told: Arc<Told>,
    /// Nobody counts what the guest has read.
    was_read: bool,
    /// Until it has ended.
    open: Option<OpenBody>,
}

/// Where the guest's `end` learns how the body ended.
#[derive(Debug, Default)]
struct Told(Mutex<(Option<End>, Option<Waker>)>);

impl Told {
    fn tell(&self, end: End) {
        let mut told = self.lock();
        if told.0.is_none() {
            told.0 = Some(end);
            if let Some(waker) = told.1.take() {
                waker.wake();
            }
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<End> {
        let mut told = self.lock();
        match &told.0 {
            Some(end) => Poll::Ready(end.clone()),
            None => {
                told.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Option<End>, Option<Waker>)> {
        self.0.lock().expect("BUG: an end's lock is never held over a panic")
    }
}

impl PiecesIn {
    /// Length of all that is left, if it is known.
    pub fn bytes(&self) -> Option<u64> {
        self.pieces.bytes().filter(|_| !self.was_read)
    }

    /// Ready when there is something in `rest`, or nothing more to come.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.rest.is_empty() {
            match ready!(self.poll_piece(cx)) {
                Some(Ok(piece)) => self.rest = piece,
                // The guest reads it from `end`.
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}

impl PieceSource for PiecesIn {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.rest))));
        }
        if self.open.is_none() {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_piece(cx));
        match &piece {
            Some(Ok(_)) => {}
            Some(Err(failure)) => {
                self.open = None;
                self.told.tell(Err(failure.clone()));
            }
            None => {
                self.open = None;
                self.told.tell(Ok(()));
            }
        }
        Poll::Ready(piece)
    }

    fn read_for(&mut self, client: &Client) {
        self.pieces.read_for(client);
    }
}

impl Drop for PiecesIn {
    fn drop(&mut self) {
        let text = "the body was given up before its end";
        self.told.tell(Err(Failure::new(ErrorCode::BodyBroken, text)));
    }
}

/// The host's end of the stream.
struct Inlet {
    body: PiecesIn,
    /// When the guest began the read that is under way.
    asked: Option<AskedAt>,
}

impl StreamProducer<GuestState> for Inlet {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, GuestState>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Inlet { body, asked } = self.get_mut();
        let context = &store.data().context;
        let asked_at = *asked.get_or_insert_with(|| context.asked_now());
        let come = body.poll_rest(cx);
        // Whatever has come, the guest goes on only when it may.
        let has_more = match (come, context.poll_piece_pass(asked_at, cx)) {
            (Poll::Ready(has_more), Poll::Ready(())) => has_more,
            _ if finish => {
                *asked = None;
                return Poll::Ready(Ok(StreamResult::Cancelled));
            }
            _ => return Poll::Pending,
        };
        *asked = None;
        if !has_more {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        // A guest that reads nothing only asks whether there is something.
        if destination.remaining(&mut store) != Some(0) {
            let mut room = destination.as_direct(store, PIECES_BYTES_MAX.min(body.rest.len()));
            let bytes = room.remaining().len().min(body.rest.len());
            room.remaining()[..bytes].copy_from_slice(&body.rest[..bytes]);
            room.mark_written(bytes);
            body.rest.advance(bytes);
            body.was_read = true;
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }

    fn try_into(me: Pin<Box<Self>>, into: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if into != TypeId::of::<PiecesIn>() {
            return Err(me);
        }
        let Inlet { body, .. } = *Pin::into_inner(me);
        Ok(Box::new(body))
    }
}

/// The host's end of the future that says how the body ended.
struct InletEnd {
    told: Arc<Told>,
    /// When the guest asked for it.
    asked: Option<AskedAt>,
}

impl FutureProducer<GuestState> for InletEnd {
    type Item = Result<(), types::Failure>;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<GuestState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Self::Item>>> {
        let InletEnd { told, asked } = self.get_mut();
        let context = &store.data().context;
        let asked_at = *asked.get_or_insert_with(|| context.asked_now());
        let end = match (told.poll(cx), context.poll_piece_pass(asked_at, cx)) {
            (Poll::Ready(end), Poll::Ready(())) => Some(end.map_err(failure_record::to_guest)),
            _ if finish => None,
            _ => return Poll::Pending,
        };
        *asked = None;
        Poll::Ready(Ok(end))
    }
}
