//! WebSockets of the object: accepted in `fetch`, found again by tag or number, and kept while it hibernates; and those
//! that it opens itself with [`connect`](Sockets::connect).
//!
//! Sockets belong to the host. An object accepts one, answers with the response that it gets, and hears of messages
//! in `websocket_message`, of the end in `websocket_close` or `websocket_error`. In between it may leave memory: the
//! next message starts it again, with [tags](Socket::tags) and [attachments](Socket::attachment) as they were.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::websocket as wit;
pub use crate::bindings::durabo::object::websocket::{Lifetime, ReadyState};
use crate::cbor;
use crate::failure::Failure;
use crate::http::{Request, Response};

/// The sockets of an object; from [`Context::sockets`](crate::Context::sockets).
#[derive(Debug, Clone, Copy)]
pub struct Sockets {
    pub(crate) _by_context: (),
}

/// What a message carries. 32 MiB at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The text or the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    fn into_host(self) -> wit::Message {
        match self {
            Message::Text(text) => wit::Message::Text(text),
            Message::Binary(bytes) => wit::Message::Binary(bytes),
        }
    }

    pub(crate) fn from_host(message: wit::Message) -> Self {
        match message {
            wit::Message::Text(text) => Message::Text(text),
            wit::Message::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Message::Binary(bytes)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Message::Binary(bytes.to_vec())
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The client's code; 1005 for none, 1006 if no closing frame came.
    pub code: u16,
    /// The client's reason; may be empty.
    pub reason: String,
    /// Whether a closing frame came.
    pub was_clean: bool,
}

/// One socket. A number: cheap to copy, the same after hibernation, and worth nothing in another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Socket(u64);

/// What the host knows of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInfo {
    /// Distinct, in the order of first appearance.
    pub tags: Vec<String>,
    /// How far it is.
    pub state: ReadyState,
    /// Sub-protocol; empty for none.
    pub protocol: String,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// Opened by the object with [`Sockets::connect`], and not by a client.
    pub is_outgoing: bool,
    /// When a text was last answered automatically, in milliseconds since 1970.
    pub auto_response_ms: Option<u64>,
}

impl Sockets {
    /// Accepts the WebSocket that the request being handled asks for. The response has status 101 and must be
    /// returned by `fetch`, with further headers if need be, such as `sec-websocket-protocol`; otherwise the socket
    /// is gone. Frames may be sent at once. 10 distinct tags of 256 bytes at most, which stay as they are.
    ///
    /// ```no_run
    /// # use durabo::{Context, Failure, Request, Response};
    /// # fn fetch(ctx: &Context, request: Request) -> Result<Response, Failure> {
    /// if !request.wants_websocket() {
    ///     return Ok(Response::text("a WebSocket is served here").with_status(426));
    /// }
    /// let (socket, response) = ctx.sockets().accept(&["room"])?;
    /// socket.send("welcome")?;
    /// Ok(response)
    /// # }
    /// ```
    pub fn accept(&self, tags: &[&str]) -> Result<(Socket, Response), Failure> {
        self.accept_as(tags, Lifetime::Hibernate)
    }

    /// As [`accept`](Self::accept), with [`Lifetime::KeepAwake`] for a socket that keeps the object in memory and ends
    /// with the instance.
    pub fn accept_as(&self, tags: &[&str], lifetime: Lifetime) -> Result<(Socket, Response), Failure> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let accepted = wit::accept(&wit::SocketOptions { tags, lifetime });
        let (socket, upgrade) = accepted.map_err(Failure::from_host)?;
        Ok((Socket(socket), Response::switching(upgrade)))
    }

    /// Opens a WebSocket to a server outside, if the app's egress rules allow it (code `egress-denied`), and waits
    /// until the server has agreed (else code `outgoing-failed`, with the `status` of another answer in the details).
    /// Its events come to the same handlers as those of any socket; it keeps the object in memory, and ends with the
    /// instance. The request is a `GET` of a `ws` or `wss` URL, with headers if need be; it leaves as
    /// [`Request::send`] does. Dropping this gives the handshake up.
    ///
    /// ```no_run
    /// # use durabo::{Context, Failure, Request};
    /// # async fn follow(ctx: &Context) -> Result<(), Failure> {
    /// let request = Request::get("wss://feed.example.com/trades").with_header("sec-websocket-protocol", "v2");
    /// let feed = ctx.sockets().connect(request, &["feed"]).await?;
    /// feed.send("subscribe")?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(&self, request: Request, tags: &[&str]) -> Result<Socket, Failure> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let options = wit::SocketOptions { tags, lifetime: Lifetime::KeepAwake };
        wit::connect(request.into_host(), options).await.map(Socket).map_err(Failure::from_host)
    }

    /// All sockets whose end was not handled yet, in the order of their acceptance.
    pub fn all(&self) -> Vec<Socket> {
        wit::list(None).into_iter().map(Socket).collect()
    }

    /// Those of them with a tag.
    pub fn tagged(&self, tag: &str) -> Vec<Socket> {
        wit::list(Some(tag)).into_iter().map(Socket).collect()
    }

    /// Sends a message to every open socket, encoded once, and returns to how many.
    pub fn broadcast(&self, message: impl Into<Message>) -> u32 {
        wit::broadcast(None, &message.into().into_host(), &[])
    }

    /// The same to those with a tag, but not to those in `except`.
    pub fn broadcast_to(&self, tag: Option<&str>, message: impl Into<Message>, except: &[Socket]) -> u32 {
        let except: Vec<u64> = except.iter().map(|socket| socket.0).collect();
        wit::broadcast(tag, &message.into().into_host(), &except)
    }

    /// Lets the host answer a text that equals `request`, without waking the object; 2048 bytes each at most.
    pub fn set_auto_response(&self, request: &str, response: &str) -> Result<(), Failure> {
        let pair = (request.to_owned(), response.to_owned());
        wit::set_auto_response(Some(&pair)).map_err(Failure::from_host)
    }

    /// Ends that.
    pub fn unset_auto_response(&self) -> Result<(), Failure> {
        wit::set_auto_response(None).map_err(Failure::from_host)
    }

    /// The text that is answered, and its answer.
    pub fn auto_response(&self) -> Option<(String, String)> {
        wit::auto_response_pair()
    }

    /// How long a handler of a socket's event may take, a week at most; beyond it the object is reset. `None` for as
    /// long as it likes.
    pub fn set_event_timeout(&self, timeout: Option<Duration>) -> Result<(), Failure> {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        wit::set_event_timeout(timeout).map_err(Failure::from_host)
    }

    /// What was set.
    pub fn event_timeout(&self) -> Option<Duration> {
        wit::event_timeout().map(Duration::from_millis)
    }
}

impl Socket {
    /// The socket of a number that was kept; it may be gone.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Sends a message. It leaves when everything that was written to storage before is durable, in order, although
    /// the object may have left memory by then. Fails after [`close`](Self::close); nothing happens if the client is
    /// gone.
    pub fn send(self, message: impl Into<Message>) -> Result<(), Failure> {
        wit::send(self.0, &message.into().into_host()).map_err(Failure::from_host)
    }

    /// Closes it with a code, 1000 or 3000 to 4999 as a rule, and a reason of 123 bytes at most. A second call does
    /// nothing.
    pub fn close(self, code: u16, reason: &str) -> Result<(), Failure> {
        self.close_with(Some(code), Some(reason))
    }

    /// Closes it with or without a code and a reason.
    pub fn close_with(self, code: Option<u16>, reason: Option<&str>) -> Result<(), Failure> {
        wit::close(self.0, code, reason).map_err(Failure::from_host)
    }

    /// How far it is; [`ReadyState::Closed`] if it is gone.
    pub fn state(self) -> ReadyState {
        wit::state(self.0)
    }

    /// What is known of it; `None` if it is gone.
    pub fn info(self) -> Option<SocketInfo> {
        let info = wit::info(self.0)?;
        Some(SocketInfo {
            tags: info.tags,
            state: info.state,
            protocol: info.protocol,
            accepted_ms: info.accepted,
            is_outgoing: info.outgoing,
            auto_response_ms: info.auto_response,
        })
    }

    /// Its tags; none if it is gone.
    pub fn tags(self) -> Vec<String> {
        self.info().map(|info| info.tags).unwrap_or_default()
    }

    /// Keeps a value with the connection, over hibernation: 16,384 bytes at most when encoded as CBOR. It is not part
    /// of storage: nothing rolls it back. Fails with code `limit-exceeded` beyond that, and if it is nested deeper than
    /// 255 levels, since it could not be read again.
    pub fn set_attachment(self, value: &impl Serialize) -> Result<(), Failure> {
        self.set_attachment_bytes(&cbor::write(value)?)
    }

    /// The value that was last kept; `None` if none ever was. Fails if it is of another type.
    pub fn attachment<T: DeserializeOwned>(self) -> Result<Option<T>, Failure> {
        match self.attachment_bytes() {
            Some(bytes) => Ok(Some(ciborium::from_reader(bytes.as_slice())?)),
            None => Ok(None),
        }
    }

    /// As [`set_attachment`](Self::set_attachment), with bytes as they are.
    pub fn set_attachment_bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        wit::set_attachment(self.0, bytes).map_err(Failure::from_host)
    }

    /// The bytes that were last kept.
    pub fn attachment_bytes(self) -> Option<Vec<u8>> {
        wit::attachment(self.0)
    }
}
