//! One client's WebSocket: frames from its socket to the wire, and what comes from the wire to its socket.
//!
//! Pings are answered and closing frames too, before the object hears of them (WS-18, WS-21); texts with an automatic
//! answer never reach it (WS-24). While the object does not take what has come, nothing more is read, so that the
//! client has to wait (ST-7).

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::socket::{CloseReason, Frame, Incident, SocketClient};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::frames::{Fault, FrameReader, Received};
use super::outbox::Outbox;

/// What is read at once, on the stack.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Reads of one connection before others have their turn.
const READS_MAX: usize = 16;

/// How long a client has for its answer when the node stops.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Times of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimes {
    /// Silence after which a ping is sent, and after which again the client is lost.
    pub silence_max: Duration,
    /// For the answer to a closing frame.
    pub close_timeout: Duration,
}

/// Serves a connection until it ends, or until the node stops: then the client is told that it goes away.
pub async fn serve_socket<I: AsyncRead + AsyncWrite + Unpin>(
    io: I,
    client: SocketClient,
    times: ConnectionTimes,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connection = Connection::new(io, client, times);
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

struct Connection<I> {
    io: I,
    /// `None` once the socket was told how the connection ended.
    client: Option<SocketClient>,
    reader: FrameReader,
    /// Read, and not looked at, since the object had no room for more.
    unread: Vec<u8>,
    outbox: Outbox,
    /// Nothing is sent behind a closing frame.
    has_sent_close: bool,
    /// Nothing is read behind one.
    has_received_close: bool,
    /// After a fault: what still comes is thrown away, so that the client gets to see the closing frame.
    is_lingering: bool,
    has_shut_down: bool,
    /// Something has come since the timer last ran out.
    is_alive: bool,
    has_pinged: bool,
    times: ConnectionTimes,
    timer: Pin<Box<Sleep>>,
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        // The client has gone; its socket is told so.
        Over
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    fn new(io: I, client: SocketClient, times: ConnectionTimes) -> Self {
        Self {
            io,
            client: Some(client),
            reader: FrameReader::default(),
            unread: Vec::new(),
            outbox: Outbox::default(),
            has_sent_close: false,
            has_received_close: false,
            is_lingering: false,
            has_shut_down: false,
            is_alive: false,
            has_pinged: false,
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

    /// Ready when the connection is over.
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
        self.read(cx)?;
        self.write(cx)?;
        self.look_at_the_time(cx)
    }

    /// Sends a closing frame, unless that was done.
    fn close(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.has_sent_close, true) {
            self.outbox.close(reason);
            self.timer.as_mut().reset(Instant::now() + self.times.close_timeout);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        loop {
            while !self.has_sent_close && self.outbox.has_room() {
                let Some(client) = &self.client else { break };
                match client.poll_frame(cx) {
                    Poll::Ready(Some(Frame::Close(reason))) => self.close(reason),
                    Poll::Ready(Some(frame)) => self.outbox.push(frame),
                    Poll::Ready(None) => return Err(Over),
                    Poll::Pending => break,
                }
            }
            let was_full = !self.outbox.has_room();
            match self.outbox.poll_write_all(&mut self.io, cx) {
                Poll::Ready(written) => written?,
                Poll::Pending => return Ok(()),
            }
            if !was_full {
                break;
            }
        }
        if self.has_sent_close && self.has_received_close {
            return Err(Over);
        }
        if self.is_lingering && !self.has_shut_down {
            match Pin::new(&mut self.io).poll_shutdown(cx) {
                Poll::Ready(shut_down) => shut_down?,
                Poll::Pending => return Ok(()),
            }
            self.has_shut_down = true;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        for _ in 0..READS_MAX {
            if self.has_received_close {
                return Ok(());
            }
            if let Some(client) = &self.client {
                // Asked in any case, since it wakes this task when the socket is cut.
                let room = client.poll_room(cx);
                if client.is_cut() {
                    return Err(Over);
                }
                if room.is_pending() {
                    // It is not the client that is silent.
                    self.is_alive = true;
                    return Ok(());
                }
            }
            if !self.unread.is_empty() {
                let unread = std::mem::take(&mut self.unread);
                self.take(&unread);
                continue;
            }
            let mut room = [MaybeUninit::uninit(); READ_BYTES_MAX];
            let mut read = ReadBuf::uninit(&mut room);
            match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ended) => ended?,
            }
            if read.filled().is_empty() {
                return Err(Over);
            }
            self.is_alive = true;
            if !self.is_lingering {
                let filled = read.filled();
                self.take(filled);
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
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
                Ok(Some(Received::Ping(payload))) => {
                    // One that pings faster than it reads gets an answer to the latest.
                    if !self.has_sent_close && self.outbox.has_room() {
                        self.outbox.pong(payload);
                    }
                }
                Ok(Some(Received::Pong) | None) => {}
                Ok(Some(Received::Close(reason))) => return self.closed(reason),
                Err(fault) => return self.fail(fault),
            }
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
        let Fault { code, text } = fault;
        self.close(Some((code, text.clone())));
        if let Some(client) = self.client.take() {
            let text = format!("the connection was closed with code {code}: {text}");
            client.end(Incident::Error(Box::new(Failure::new(ErrorCode::SocketFailed, text))));
        }
    }

    fn look_at_the_time(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.has_sent_close {
                return Err(Over);
            }
            if !std::mem::take(&mut self.is_alive) {
                if std::mem::replace(&mut self.has_pinged, true) {
                    return Err(Over);
                }
                self.outbox.ping();
                self.write(cx)?;
            } else {
                self.has_pinged = false;
            }
            self.timer.as_mut().reset(Instant::now() + self.times.silence_max);
        }
        Ok(())
    }
}
