//! One WebSocket's connection: frames from its socket to the wire, and what comes from the wire to its socket.
//!
//! The other side is a client as a rule, and called so here; for a socket that an object has opened itself it is a
//! server, and only the masks are others (WS-33).
//!
//! Pings are answered and closing frames too, before the object hears of them (WS-18, WS-21); texts with an automatic
//! answer never reach it (WS-24). While the object does not take what has come, only a little more is read, so that the
//! client has to wait (ST-7), and that it has gone is seen all the same. A connection that has ended is let go of at
//! once; what had come by it before stays until the object has room for it. One to which nothing can be written any
//! more is still read to its end, and lost if that does not come.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::socket::{CloseReason, Closing, Frame, Incident, SocketClient};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::frames::{Fault, FrameReader, Received};
use super::masks::Masks;
use super::outbox::Outbox;
use crate::client_link;

mod times;

/// What is read at once, on the stack; also what is read at most while the object has no room for more.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Reads of one connection before others have their turn.
const READS_MAX: usize = 16;

/// How long a client has for its answer when the node stops.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Which side of a connection this node is: a client masks what it sends, and a server does not (RFC 6455, 5.1).
#[derive(Debug)]
pub enum Side {
    /// Somebody came to an object.
    Server,
    /// An object came to somebody.
    Client(Masks),
}

/// Times of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimes {
    /// Silence after which a ping is sent, and after which again the client is lost.
    pub silence_max: Duration,
    /// For the answer to a closing frame, as long as what comes is read; also for each part of what comes before that
    /// frame, once it waits.
    pub close_timeout: Duration,
}

/// Serves a connection until it ends, or until the node stops: then the client is told that it goes away. `place` is
/// let go of with the connection, which may be before what came by it was taken.
pub async fn serve_socket<I: AsyncRead + AsyncWrite + Unpin, P>(
    (io, place): (I, P),
    side: Side,
    client: SocketClient,
    times: ConnectionTimes,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connection = Connection::new((io, place), side, client, times);
    tokio::select! {
        biased;
        () = poll_fn(|cx| connection.poll_served(cx)) => return,
        // An error means that whoever stops has gone, which is a stop too.
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.go_away();
    // One that does not answer in time is cut.
    drop(timeout(GOODBYE_MAX, poll_fn(|cx| connection.poll_served(cx))).await);
}

struct Connection<I, P> {
    /// `None` once it has ended.
    io: Option<I>,
    /// Among those that the node has; as long as `io`.
    place: Option<P>,
    /// `None` once the socket was told how the connection ended.
    client: Option<SocketClient>,
    reader: FrameReader,
    /// Read, and not looked at, since the object had no room for more.
    unread: Vec<u8>,
    /// Bytes of what the reader holds and of `unread`, as the socket knows them.
    held_bytes: (usize, usize),
    outbox: Outbox,
    /// The answer to a ping for which there was no room in the outbox.
    pong: Option<Vec<u8>>,
    /// Why a closing frame is on its way here.
    closing: Option<Closing>,
    /// What the client had taken when the timer began that runs for it.
    taken_before: u64,
    /// Nothing reaches the client any more, and what it has sent is still read.
    is_deaf: bool,
    /// Nothing is sent behind a closing frame.
    has_sent_close: bool,
    /// Bytes that were read since.
    read_since_close: usize,
    /// Nothing is read behind one.
    has_received_close: bool,
    /// After a fault: what still comes is thrown away, so that the client gets to see the closing frame.
    is_lingering: bool,
    has_shut_down: bool,
    /// Something has come since the timer last ran out.
    is_alive: bool,
    /// Nothing has kept this from seeing what comes since the timer last ran out, or was set for something else.
    is_reading: bool,
    has_pinged: bool,
    /// What the client had taken when the timer last ran out, if no ping found room behind what is on its way.
    taken_when_full: Option<u64>,
    /// The message that had not come whole when the timer last ran out, and bytes of it.
    unfinished: Option<(u64, usize)>,
    times: ConnectionTimes,
    timer: Pin<Box<Sleep>>,
}

/// All is done.
struct Over;

/// The end of a connection.
enum End {
    /// The client has gone, or is taken for gone: what had come before is still for the object.
    Lost,
    /// Nobody is interested any more.
    Over,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        // The socket is told that its client has gone, and nobody that asked could use the error.
        End::Lost
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin, P> Connection<I, P> {
    fn new((io, place): (I, P), side: Side, client: SocketClient, times: ConnectionTimes) -> Self {
        let (reader, outbox) = match side {
            Side::Server => (FrameReader::default(), Outbox::default()),
            Side::Client(masks) => (FrameReader::of_server(), Outbox::masked(masks)),
        };
        Self {
            io: Some(io),
            place: Some(place),
            client: Some(client),
            reader,
            unread: Vec::new(),
            held_bytes: (0, 0),
            outbox,
            pong: None,
            closing: None,
            taken_before: 0,
            is_deaf: false,
            has_sent_close: false,
            read_since_close: 0,
            has_received_close: false,
            is_lingering: false,
            has_shut_down: false,
            is_alive: false,
            is_reading: true,
            has_pinged: false,
            taken_when_full: None,
            unfinished: None,
            times,
            timer: Box::pin(sleep_until(Instant::now() + times.silence_max)),
        }
    }

    /// Says to the client that the node goes away, and to nobody else (WS-32).
    fn go_away(&mut self) {
        self.close(Some((1001, "the node stops".to_owned())));
        if let Some(client) = self.client.take() {
            client.forget();
        }
    }

    /// Ready when all is done.
    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_step(cx) {
            Ok(()) => Poll::Pending,
            Err(Over) => {
                // Unless it was told otherwise, the socket learns from this that the client is lost.
                self.client = None;
                Poll::Ready(())
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        match self.poll_connection(cx) {
            Ok(()) => return Ok(()),
            Err(End::Over) => return Err(Over),
            Err(End::Lost) => {}
        }
        // Files, places and buffers are for others from now on.
        self.io = None;
        self.place = None;
        self.outbox = Outbox::default();
        self.pong = None;
        if let Some(client) = &self.client {
            client.leave();
        }
        self.poll_unread(cx)
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.read(cx)?;
        self.write(cx)?;
        self.look_at_the_time(cx)
    }

    /// Gives the object what came before the end, as it has room for it.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while !self.unread.is_empty() && self.client.is_some() {
            match self.poll_room(cx) {
                Ok(true) => self.take_unread(),
                Ok(false) => return Ok(()),
                Err(_) => return Err(Over),
            }
        }
        Err(Over)
    }

    /// Sends a closing frame, unless that was done.
    fn close(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.has_sent_close, true) {
            self.outbox.close(reason);
            self.is_reading = true;
            self.timer.as_mut().reset(Instant::now() + self.times.close_timeout);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if !self.is_deaf
            && let Err(error) = self.try_write(cx)?
        {
            if client_link::is_stall(&error) {
                return Err(End::Lost);
            }
            // It may have ended in order: what came before its end is here, and nothing but reading finds it.
            self.is_deaf = true;
            self.is_reading = true;
            self.timer.as_mut().reset(Instant::now() + self.times.silence_max);
            self.outbox = Outbox::default();
            self.pong = None;
            if let Some(client) = &self.client {
                client.leave();
            }
        }
        let nobody_reads = self.has_received_close || self.client.is_none();
        if self.is_deaf && nobody_reads { Err(End::Over) } else { Ok(()) }
    }

    /// Writes what there is; the inner error is that of the connection.
    fn try_write(&mut self, cx: &mut Context<'_>) -> Result<io::Result<()>, End> {
        loop {
            self.take_frames(cx)?;
            let was_full = !self.outbox.has_room();
            let Some(io) = &mut self.io else { return Err(End::Lost) };
            match self.outbox.poll_write_all(io, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Ok(Err(error)),
                Poll::Pending => {
                    if let Some(client) = self.client.as_ref().filter(|_| !self.outbox.has_room()) {
                        client.note_stall();
                    }
                    return Ok(Ok(()));
                }
            }
            if !was_full {
                break;
            }
        }
        if self.has_sent_close && self.has_received_close {
            return Err(End::Over);
        }
        if self.is_lingering && !self.has_shut_down {
            let Some(io) = &mut self.io else { return Err(End::Lost) };
            match Pin::new(io).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.has_shut_down = true,
                Poll::Ready(Err(error)) => return Ok(Err(error)),
                Poll::Pending => {}
            }
        }
        Ok(Ok(()))
    }

    /// Takes what is to be sent, as far as there is room for it: the answer to a ping before what the object sends.
    fn take_frames(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while !self.has_sent_close && self.outbox.has_room() {
            if let Some(payload) = self.pong.take() {
                self.outbox.pong(payload);
                continue;
            }
            let Some(client) = &self.client else { break };
            match client.poll_frame(cx) {
                Poll::Ready(Some(Frame::Text(text))) => self.outbox.text(text),
                Poll::Ready(Some(Frame::Binary(bytes))) => self.outbox.binary(bytes),
                Poll::Ready(Some(Frame::Close(reason))) => self.close(reason),
                Poll::Ready(None) => return Err(End::Over),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        for _ in 0..READS_MAX {
            if self.has_received_close {
                return Ok(());
            }
            let has_room = self.poll_room(cx)?;
            if has_room && !self.unread.is_empty() {
                self.take_unread();
                continue;
            }
            let free = READ_BYTES_MAX - self.unread.len();
            if free == 0 {
                self.is_reading = false;
                return Ok(());
            }
            let mut room = [MaybeUninit::uninit(); READ_BYTES_MAX];
            let mut read = ReadBuf::uninit(&mut room[..free]);
            let Some(io) = &mut self.io else { return Err(End::Lost) };
            match Pin::new(io).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ended) => ended?,
            }
            if read.filled().is_empty() {
                return Err(End::Lost);
            }
            self.is_alive = true;
            if self.has_sent_close {
                self.read_since_close += read.filled().len();
            }
            if self.is_lingering {
                continue;
            }
            match has_room {
                true => self.take(read.filled()),
                false => self.unread.extend_from_slice(read.filled()),
            }
            self.count_held();
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Whether the object has room for more. Wakes this task for all that concerns the socket.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(client) = &self.client else { return Ok(true) };
        let room = client.poll_room(cx);
        if client.is_cut() { Err(End::Over) } else { Ok(room.is_ready()) }
    }

    fn take_unread(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        self.take(&unread);
        self.count_held();
    }

    /// Looks at what was read, as far as the object has room for it.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.client.as_ref().is_some_and(|client| !client.has_room()) {
                self.unread = bytes.to_vec();
                return;
            }
            match self.reader.feed(&mut bytes) {
                Ok(Some(Received::Message(message))) => {
                    if let Some(client) = &self.client {
                        client.receive(message);
                    }
                }
                Ok(Some(Received::Ping(payload))) => self.answer_ping(payload),
                Ok(Some(Received::Pong) | None) => {}
                Ok(Some(Received::Close(reason))) => return self.closed(reason),
                Err(fault) => return self.fail(fault),
            }
        }
    }

    /// Answers as soon as there is room. One that pings faster than it reads gets an answer to the latest.
    fn answer_ping(&mut self, payload: Vec<u8>) {
        self.pong = None;
        if self.has_sent_close || self.is_deaf {
            return;
        }
        match self.outbox.has_room() {
            true => self.outbox.pong(payload),
            false => self.pong = Some(payload),
        }
    }

    /// Says to the socket what is held here of what its client has sent.
    fn count_held(&mut self) {
        let held = (self.reader.held_bytes(), self.unread.capacity());
        let before = std::mem::replace(&mut self.held_bytes, held);
        let Some(client) = self.client.as_ref().filter(|_| held != before) else { return };
        if !client.hold(held.0 + held.1) && held.0 > before.0 {
            // Not read further it would keep what it has, and all of them would wait for one another.
            let text = "the node has no room for a message of this size at present; send it again later";
            self.fail(Fault { code: 1013, text: text.to_owned() });
        }
    }

    fn closed(&mut self, reason: CloseReason) {
        self.has_received_close = true;
        self.close(reason.clone());
        let (code, reason) = reason.unwrap_or((1005, String::new()));
        if let Some(client) = self.client.take() {
            client.end(Incident::Close { code, reason, was_clean: true });
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.is_lingering = true;
        self.reader = FrameReader::default();
        self.unread = Vec::new();
        let Fault { code, text } = fault;
        self.close(Some((code, text.clone())));
        if let Some(client) = self.client.take() {
            let text = format!("the connection was closed with code {code}: {text}");
            client.end(Incident::Error(Box::new(Failure::new(ErrorCode::SocketFailed, text))));
        }
    }
}

#[cfg(test)]
mod tests;
