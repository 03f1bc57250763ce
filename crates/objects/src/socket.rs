//! One WebSocket of an object, between two ends that come and go: the object's instance and the client's
//! connection.
//!
//! What is kept here belongs to the host, so it outlives the instance (D7): tags, attachment, what was asked of
//! the socket, frames on their way out, and what the client did and the object has not handled. Frames come in
//! by the output gate only. Both directions are bounded: frames by their bytes, behind which the client is told
//! that it does not keep up; events by a number and bytes, behind which nothing more is read from the client.
//!
//! Knows no protocol: a connection asks for frames and says what happened ([`SocketClient`]).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};

use bytes::Bytes;
use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::time::Timestamp;

use crate::byte_budget::Hold;
use crate::client::Client;

mod call;
mod client_end;
mod closing;
mod frame;
mod memory;
mod overview;
mod sending;

pub(crate) use call::Handling;
pub use call::SocketCall;
pub use client_end::{SocketClient, Upgrade};
use closing::ClosedBy;
pub(crate) use closing::{CloseNoted, Closer};
pub use frame::{CloseReason, Frame, Incident, Message};
pub(crate) use memory::SocketMemory;
pub use overview::{SocketOverview, Waiting};
pub use sending::Sending;

/// Entries for which an idle queue keeps its memory.
const QUEUE_CAPACITY_KEPT: usize = 4;

/// Names a socket; no two of a node's folder have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// How far a socket is, as the object sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyState {
    /// The client has not got its end yet.
    Connecting,
    /// Both may send.
    Open,
    /// The object has closed it, and the client has not answered.
    Closing,
    /// Nothing comes and goes any more.
    Closed,
}

/// Why a connection is to end that has not sent its closing frame yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The object has closed the socket; what it had sent before goes first.
    ByObject,
    /// The client does not keep up.
    FellBehind,
}

/// Whether the object may leave memory while the socket is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It may.
    Hibernate,
    /// It stays, and the socket ends with the instance.
    KeepAwake,
    /// The same, for a socket that the object has opened itself: such a one never hibernates (WS-33).
    Outgoing,
}

impl Lifetime {
    /// Whether the object stays in memory for it.
    pub fn keeps_awake(self) -> bool {
        match self {
            Lifetime::Hibernate => false,
            Lifetime::KeepAwake | Lifetime::Outgoing => true,
        }
    }
}

/// Whose socket it is. Called without any lock of the socket, but for [`memory`](Self::memory), which must take none.
pub(crate) trait SocketOwner: Send + Sync + 'static {
    /// Something waits for the object, and nothing of this socket did before.
    fn call(&self, socket: &Arc<Socket>);
    /// The automatic answer to this text, if there is one (WS-24).
    fn auto_response(&self, text: &str) -> Option<Bytes>;
    /// The client's end is in a response (WS-1).
    fn returned(&self, id: SocketId);
    /// A client has joined it.
    fn joined(&self, socket: &Socket);
    /// Its connection has ended like this.
    fn ended(&self, id: SocketId, incident: &Incident);
    /// The socket is gone, and nobody is told.
    fn forget(&self, id: SocketId);
    /// A call that was put into the mailbox has been dropped there.
    fn undelivered(&self, id: SocketId);
    /// A frame was refused, since the client does not keep up.
    fn fell_behind(&self, id: SocketId);
    /// What its sockets hold.
    fn memory(&self) -> &SocketMemory;
    /// Time of day.
    fn now(&self) -> Timestamp;
}

/// One socket; its two ends share it.
pub struct Socket {
    pub(crate) id: SocketId,
    pub(crate) tags: Vec<String>,
    pub(crate) lifetime: Lifetime,
    pub(crate) accepted: Timestamp,
    /// At the other end; in whose line its events stand, and who may be gone.
    pub(crate) client: Client,
    owner: Arc<dyn SocketOwner>,
    state: Mutex<State>,
}

/// A frame in its place.
struct Queued {
    frame: Frame,
    _place: Hold,
}

/// What a socket is from its beginning.
pub(crate) struct NewSocket {
    pub id: SocketId,
    pub tags: Vec<String>,
    pub lifetime: Lifetime,
    pub accepted: Timestamp,
}

struct State {
    protocol: String,
    /// A connection has taken the client's end.
    is_joined: bool,
    closed_by: ClosedBy,
    /// The closing frame has left the object.
    is_close_sent: bool,
    /// A frame was refused.
    has_fallen_behind: bool,
    /// The connection has ended; what came by it is still on its way.
    has_left: bool,
    /// Nothing comes from the client any more.
    has_ended: bool,
    /// Both ends are to let go at once.
    is_cut: bool,
    outgoing: VecDeque<Queued>,
    outgoing_bytes: usize,
    /// Of these, what waited already when the connection last could take no more.
    stalled_bytes: usize,
    incoming: VecDeque<Incident>,
    /// Bytes of what is in `incoming`.
    incoming_hold: Hold,
    /// What the connection has of messages that the socket does not have yet.
    unfinished_hold: Hold,
    /// An event of it is on its way to the object, or its handler runs.
    is_called: bool,
    /// The connection's task.
    connection: Option<Waker>,
    /// It reads nothing until there is room.
    waits_for_room: bool,
    attachment: Option<Vec<u8>>,
    auto_response: Option<Timestamp>,
}

impl Socket {
    pub(crate) fn new(socket: NewSocket, owner: Arc<dyn SocketOwner>) -> Self {
        let NewSocket { id, tags, lifetime, accepted } = socket;
        let state = Mutex::new(State::new(owner.memory()));
        Self { id, tags, lifetime, accepted, client: Client::new(), owner, state }
    }

    /// Takes a frame that the output gate has let out, and its place. Nothing is kept for a client that is gone.
    pub(crate) fn push(&self, frame: Frame, place: Hold) {
        let memory = self.owner.memory();
        let share = memory.outgoing.share();
        let mut state = self.lock();
        if state.is_cut || state.has_ended || state.has_left || state.has_fallen_behind {
            return;
        }
        let bytes = frame.bytes();
        state.is_close_sent |= matches!(frame, Frame::Close(_));
        // What others leave bounds only what the client has had the time to take: a burst for which there was room is
        // no fault of those who get it.
        let is_too_much =
            state.outgoing_bytes + bytes > memory.client_bytes_max || state.stalled_bytes > share;
        let is_full = !state.outgoing.is_empty() && is_too_much && !state.is_close_sent;
        if is_full {
            state.has_fallen_behind = true;
            state.outgoing.clear();
            let text = "the client does not take what is sent to it fast enough";
            let frame = Frame::Close(Some((1013, text.to_owned())));
            state.outgoing.push_back(Queued { frame, _place: place });
            (state.outgoing_bytes, state.stalled_bytes) = (0, 0);
        } else {
            state.outgoing.push_back(Queued { frame, _place: place });
            state.outgoing_bytes += bytes;
        }
        let connection = state.connection.take();
        drop(state);
        if is_full {
            self.owner.fell_behind(self.id);
        }
        wake(connection);
    }

    /// Lets go of it at once; the client sees its connection break.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        state.outgoing = VecDeque::new();
        state.incoming = VecDeque::new();
        state.incoming_hold.set(0);
        state.unfinished_hold.set(0);
        let connection = state.connection.take();
        drop(state);
        self.client.leave();
        wake(connection);
    }

    /// Takes what the object is to handle next.
    fn take_incident(&self) -> Option<Incident> {
        let mut state = self.lock();
        let incident = state.incoming.pop_front()?;
        let bytes = state.incoming_hold.bytes() - incident.bytes();
        state.incoming_hold.set(bytes);
        give_back(&mut state.incoming);
        // Woken for nothing, it would cost as much as the message.
        let waits = std::mem::take(&mut state.waits_for_room);
        let connection = if waits { state.connection.take() } else { None };
        drop(state);
        wake(connection);
        Some(incident)
    }

    /// The handler of an event has returned; calls the object again if there is more.
    fn handled(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_called = !state.incoming.is_empty() && !is_planted(Mutation::ForgetWhatCameMeanwhile);
        let is_called = state.is_called;
        drop(state);
        if is_called {
            self.owner.call(self);
        }
    }

    pub(crate) fn ready_state(&self) -> ReadyState {
        let state = self.lock();
        if state.has_ended || state.is_cut {
            ReadyState::Closed
        } else if state.closed_by.is_closing() || state.has_fallen_behind {
            ReadyState::Closing
        } else if state.is_joined {
            ReadyState::Open
        } else {
            ReadyState::Connecting
        }
    }

    pub(crate) fn protocol(&self) -> String {
        self.lock().protocol.clone()
    }

    pub(crate) fn auto_response(&self) -> Option<Timestamp> {
        self.lock().auto_response
    }

    pub(crate) fn attachment(&self) -> Option<Vec<u8>> {
        self.lock().attachment.clone()
    }

    pub(crate) fn set_attachment(&self, attachment: Vec<u8>) {
        self.lock().attachment = Some(attachment);
    }

    /// Notes what happened, behind what happened before.
    fn happen(self: &Arc<Self>, incident: Incident) {
        let mut state = self.lock();
        if state.is_cut || state.has_ended {
            return;
        }
        let last = incident.is_last().then(|| incident.clone());
        if last.is_some() {
            state.has_ended = true;
            state.outgoing = VecDeque::new();
            state.unfinished_hold.set(0);
        }
        let bytes = state.incoming_hold.bytes() + incident.bytes();
        state.incoming_hold.set(bytes);
        state.incoming.push_back(incident);
        let is_called =
            std::mem::replace(&mut state.is_called, true) && !is_planted(Mutation::CallWhileHandled);
        drop(state);
        if let Some(last) = last {
            self.client.leave();
            self.owner.ended(self.id, &last);
        }
        if !is_called {
            self.owner.call(self);
        }
    }

    /// The connection broke, or never was (WS-20).
    fn lose(self: &Arc<Self>) {
        let is_closing = {
            let state = self.lock();
            state.closed_by.is_closing() || state.has_fallen_behind
        };
        self.happen(match is_closing {
            true => Incident::Error(Box::new(Failure::new(
                ErrorCode::SocketFailed,
                "WebSocket was lost before the client had answered the closing frame.",
            ))),
            false => Incident::Close {
                code: 1006,
                reason: "WebSocket disconnected without sending Close frame.".to_owned(),
                was_clean: false,
            },
        });
    }

    /// Whether so little waits for the object that more may be read from the client.
    fn has_room(&self, state: &State) -> bool {
        let bytes_max = limits::SOCKET_WAITING_BYTES_MAX.min(self.owner.memory().incoming.share());
        state.incoming.len() < limits::SOCKET_EVENTS_WAITING_MAX && state.incoming_hold.bytes() < bytes_max
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a socket's lock is never held over a panic")
    }
}

impl State {
    fn new(memory: &SocketMemory) -> Self {
        Self {
            protocol: String::new(),
            is_joined: false,
            closed_by: ClosedBy::default(),
            is_close_sent: false,
            has_fallen_behind: false,
            has_left: false,
            has_ended: false,
            is_cut: false,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            stalled_bytes: 0,
            incoming: VecDeque::new(),
            incoming_hold: memory.incoming.hold(0),
            unfinished_hold: memory.incoming.hold(0),
            is_called: false,
            connection: None,
            waits_for_room: false,
            attachment: None,
            auto_response: None,
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.id.0).finish()
    }
}

/// What a burst took is not kept while a socket is idle.
fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > QUEUE_CAPACITY_KEPT {
        *queue = VecDeque::new();
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn register(state: &mut State, cx: &Context<'_>) {
    match &mut state.connection {
        Some(known) => known.clone_from(cx.waker()),
        None => state.connection = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
