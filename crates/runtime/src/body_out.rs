//! Bodies on their way out of a guest: the contract's stream and its end, as pieces that the host has.
//!
//! Each piece that the guest writes is taken at once, waits in the output gate for what was written to
//! storage before it, and then goes to its reader (OG-3); the guest's write ends when the reader has it. A
//! body that came from the host and was not read to its end is handed on as it is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_objects::body::{Body, PieceWriter, Pieces, ReaderWatch, channel};
use durabo_objects::input_gate::AskedAt;
use tokio::sync::oneshot;
use wasmtime::component::{FutureConsumer, Source, StreamConsumer, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::bindings::object::http::{self, Chunks};
use crate::bindings::object::types;
use crate::body_in::PiecesIn;
use crate::failure_record;
use crate::open_body::OpenBody;
use crate::state::GuestState;

/// What the contract's `end` carries.
type GuestEnd = Result<(), types::Failure>;

/// A body that a guest gave, and who reads it, if the guest goes on writing.
pub struct BodyOut {
    pub body: Body,
    pub reader: Option<ReaderWatch>,
}

/// Takes a body over from the guest. Refused if it is too large as a whole, or too many are open.
pub fn body_of_guest<S: AsContextMut<Data = GuestState>>(
    mut store: S,
    body: http::Body,
) -> wasmtime::Result<Result<BodyOut, Failure>> {
    let whole = |bytes: Bytes| Ok(Ok(BodyOut { body: Body::Whole(bytes), reader: None }));
    let Chunks { mut data, mut end } = match body {
        http::Body::Empty => return whole(Bytes::new()),
        http::Body::Bytes(bytes) if bytes.len() <= limits::BODY_BYTES_MAX => return whole(bytes.into()),
        http::Body::Bytes(bytes) => return Ok(Err(too_large(bytes.len()))),
        http::Body::Chunks(chunks) => chunks,
    };
    let open = match OpenBody::new(store.as_context().data()) {
        Ok(open) => open,
        Err(failure) => {
            data.close(store.as_context_mut())?;
            end.close(store.as_context_mut())?;
            return Ok(Err(failure));
        }
    };
    match data.try_into::<PiecesIn>(store.as_context_mut()) {
        Ok(pieces) => {
            let bytes = pieces.bytes();
            let (verdict, told) = oneshot::channel();
            end.pipe(store.as_context_mut(), BodyEnd::of(EndTaker::Reader(verdict), open))?;
            let body = Body::Pieces(Pieces::new(pieces, bytes).judged_by(told));
            Ok(Ok(BodyOut { body, reader: None }))
        }
        Err(data) => {
            let (writer, pieces) = channel();
            let reader = writer.reader();
            end.pipe(store.as_context_mut(), BodyEnd::of(EndTaker::Writer(writer.clone()), open))?;
            data.pipe(store.as_context_mut(), Outlet { writer, asked: None, is_under_way: false })?;
            Ok(Ok(BodyOut { body: Body::Pieces(pieces), reader: Some(reader) }))
        }
    }
}

/// Gives up a body, so that whoever writes it learns that nobody reads.
pub fn close<S: AsContextMut<Data = GuestState>>(mut store: S, body: http::Body) -> wasmtime::Result<()> {
    if let http::Body::Chunks(Chunks { mut data, mut end }) = body {
        data.close(store.as_context_mut())?;
        end.close(store.as_context_mut())?;
    }
    Ok(())
}

fn too_large(bytes: usize) -> Failure {
    let max = limits::BODY_BYTES_MAX;
    let text = format!("the body is {bytes} bytes, the limit is {max}; send it in pieces");
    Failure::new(ErrorCode::LimitExceeded, text)
}

/// The host's end of a stream that the guest writes.
struct Outlet {
    writer: PieceWriter,
    /// When the guest began the write that is under way.
    asked: Option<AskedAt>,
    /// A part of the present write was taken.
    is_under_way: bool,
}

impl StreamConsumer<GuestState> for Outlet {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<GuestState>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let outlet = self.get_mut();
        let asked = *outlet.asked.get_or_insert_with(|| store.data().context.asked_now());
        let is_taken = outlet.is_under_way || outlet.poll_take(cx, &mut store, source).is_ready();
        let has_left = is_taken && (!outlet.is_under_way || outlet.writer.poll_left(cx).is_ready());
        let may_go_on = has_left && store.data().context.poll_piece_pass(asked, cx).is_ready();
        if !may_go_on && !finish {
            return Poll::Pending;
        }
        (outlet.asked, outlet.is_under_way) = (None, false);
        Poll::Ready(Ok(match is_taken {
            _ if outlet.writer.is_reader_gone() => StreamResult::Dropped,
            true => StreamResult::Completed,
            false => StreamResult::Cancelled,
        }))
    }
}

impl Outlet {
    /// Takes what there is room for. Ready without having taken anything if nobody reads, or if the guest
    /// writes nothing and only asks whether there is room.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        store: &mut StoreContextMut<'_, GuestState>,
        source: Source<'_, u8>,
    ) -> Poll<()> {
        ready!(self.writer.poll_room(cx));
        let bytes = source.remaining(&mut *store).min(self.writer.room());
        if bytes == 0 || self.writer.is_reader_gone() {
            return Poll::Ready(());
        }
        let mut written = source.as_direct(store.as_context_mut());
        let piece = Bytes::copy_from_slice(&written.remaining()[..bytes]);
        written.mark_read(bytes);
        self.writer.take(bytes);
        self.is_under_way = true;
        let writer = self.writer.clone();
        // Here and now: the turn that wrote is the one that is open.
        store.data().context.release(Box::new(move |leave| match leave {
            Ok(()) => writer.let_out(piece),
            Err(failure) => writer.end(Err(failure)),
        }));
        Poll::Ready(())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.writer.close();
    }
}

/// The host's end of the future that says how a body ends, one that the guest writes or one that it passes on.
struct BodyEnd(Option<(EndTaker, OpenBody)>);

/// Who is told how a body ends.
enum EndTaker {
    /// What carries the pieces that the guest writes.
    Writer(PieceWriter),
    /// Whoever reads a body that does not cross the guest.
    Reader(oneshot::Sender<Result<(), Failure>>),
}

impl BodyEnd {
    fn of(taker: EndTaker, open: OpenBody) -> Self {
        Self(Some((taker, open)))
    }
}

impl EndTaker {
    fn tell(self, end: Result<(), Failure>) {
        match self {
            Self::Writer(writer) => writer.end(end),
            // Whoever read the body may have gone.
            Self::Reader(reader) => drop(reader.send(end)),
        }
    }
}

impl FutureConsumer<GuestState> for BodyEnd {
    type Item = GuestEnd;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<GuestState>,
        source: Source<'_, GuestEnd>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let end = read_end(&mut store, source)?;
        if let Some((taker, open)) = self.get_mut().0.take() {
            // The end is an output too: it comes behind the pieces.
            store.data().context.release(Box::new(move |leave| {
                taker.tell(leave.and(end));
                drop(open);
            }));
        }
        Poll::Ready(Ok(()))
    }
}

fn read_end(
    store: &mut StoreContextMut<'_, GuestState>,
    mut source: Source<'_, GuestEnd>,
) -> wasmtime::Result<Result<(), Failure>> {
    let mut end: Option<GuestEnd> = None;
    source.read(store, &mut end)?;
    let end = end.ok_or_else(|| wasmtime::Error::msg("BUG: a future was written without a value"))?;
    Ok(end.map_err(failure_record::of_guest))
}
