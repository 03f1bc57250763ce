//! The client's end of a socket: on its way in a response, and of the connection that it becomes.
//!
//! Whichever is dropped tells the socket, so that no client is lost without the object hearing of it (WS-5, WS-20).

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use durabo_model::limits;

use super::{Closing, Frame, Incident, Lifetime, Message, Queued, Socket, give_back, register};

/// The client's end of a socket on its way to the client, in a response with status 101. Dropped before an
/// object has returned it, the socket was never there (WS-5); dropped later, the client is lost.
#[derive(Debug)]
pub struct Upgrade {
    socket: Option<Arc<Socket>>,
    is_returned: bool,
}

impl Upgrade {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self { socket: Some(socket), is_returned: false }
    }

    /// Says that an object has returned it in its response.
    pub fn returned(mut self) -> Self {
        self.is_returned = true;
        if let Some(socket) = &self.socket {
            socket.owner.returned(socket.id);
        }
        self
    }

    /// Joins the client to the socket, with the sub-protocol that was chosen; empty for none.
    pub fn join(mut self, protocol: String) -> SocketClient {
        let socket = self.socket.take().expect("BUG: an end is joined once");
        let mut state = socket.lock();
        state.is_joined = true;
        state.protocol = protocol;
        drop(state);
        socket.owner.joined(&socket);
        SocketClient { socket }
    }
}

/// Two ends are the same if they are of the same socket.
impl PartialEq for Upgrade {
    fn eq(&self, other: &Self) -> bool {
        matches!((&self.socket, &other.socket), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        match self.socket.take() {
            Some(socket) if self.is_returned => socket.lose(),
            Some(socket) => {
                socket.cut();
                socket.owner.forget(socket.id);
            }
            None => {}
        }
    }
}

/// The end of a client's connection. Dropped before [`end`](Self::end) was called, the client is lost.
#[derive(Debug)]
pub struct SocketClient {
    socket: Arc<Socket>,
}

impl SocketClient {
    /// The next frame for the client; `None` if the connection is to be broken off at once.
    pub fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut state = self.socket.lock();
        if state.is_cut {
            return Poll::Ready(None);
        }
        match state.outgoing.pop_front() {
            Some(Queued { frame, .. }) => {
                state.outgoing_bytes = state.outgoing_bytes.saturating_sub(frame.bytes());
                state.stalled_bytes = state.stalled_bytes.saturating_sub(frame.bytes());
                give_back(&mut state.outgoing);
                Poll::Ready(Some(frame))
            }
            None => {
                register(&mut state, cx);
                Poll::Pending
            }
        }
    }

    /// Says that the connection can take no more frames at present, since its client has not taken those before: what
    /// waits now counts against the client if it still waits when others need the room.
    pub fn note_stall(&self) {
        let mut state = self.socket.lock();
        state.stalled_bytes = state.outgoing_bytes;
    }

    /// Whether the connection is to be broken off at once.
    pub fn is_cut(&self) -> bool {
        self.socket.lock().is_cut
    }

    /// Whether so little waits for the object that more may be read from the client.
    pub fn has_room(&self) -> bool {
        self.socket.has_room(&self.socket.lock())
    }

    /// Ready when [`has_room`](Self::has_room) is true. Wakes also when there is a frame, or the connection is to be
    /// broken off.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.socket.lock();
        register(&mut state, cx);
        state.waits_for_room = !self.socket.has_room(&state);
        if state.waits_for_room { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Says how many bytes the connection holds of messages that have not come whole, or for which there was no room.
    /// False if that has grown to more than a socket may have at present: if it is for a message, the connection is to
    /// be closed with code 1013.
    pub fn hold(&self, bytes: usize) -> bool {
        let mut state = self.socket.lock();
        if state.is_cut {
            return true;
        }
        let has_grown = bytes > state.unfinished_hold.bytes();
        state.unfinished_hold.set(bytes);
        !has_grown || bytes + state.incoming_hold.bytes() <= self.socket.owner.memory().incoming.share()
    }

    /// Says that a message came. Call it only when there is [room](Self::poll_room). One that is answered
    /// automatically is no event (WS-24): the answer goes behind what is being written (WS-27).
    pub fn receive(&self, message: Message) {
        // Of sockets that may hibernate: others have the object awake, and a server asks for no answers.
        if let Message::Text(text) = &message
            && self.socket.lifetime == Lifetime::Hibernate
            && text.len() <= limits::SOCKET_AUTO_RESPONSE_BYTES_MAX
            && let Some(answer) = self.socket.owner.auto_response(text)
        {
            let now = self.socket.owner.now();
            let mut state = self.socket.lock();
            if !state.closed_by.is_closing() {
                state.auto_response = Some(now);
                drop(state);
                self.socket.push(Frame::Text(answer), self.socket.owner.memory().place());
            }
            return;
        }
        self.socket.happen(Incident::Message(message));
    }

    /// Why the connection is to end, if it is: there is a closing frame, maybe behind others.
    pub fn closing(&self) -> Option<Closing> {
        let state = self.socket.lock();
        let by_object = state.is_close_sent.then_some(Closing::ByObject);
        if state.has_fallen_behind { Some(Closing::FellBehind) } else { by_object }
    }

    /// Says that the connection has ended, although what came by it is not all [received](Self::receive) yet. Nothing
    /// is sent any more, and whoever waits for the client learns that it has gone.
    pub fn leave(&self) {
        let mut state = self.socket.lock();
        state.has_left = true;
        state.outgoing = VecDeque::new();
        drop(state);
        self.socket.client.leave();
    }

    /// Says how the connection ended; a [message](Incident::Message) is no end.
    pub fn end(self, incident: Incident) {
        debug_assert!(incident.is_last(), "BUG: a message ends no connection");
        self.socket.happen(incident);
    }

    /// Lets go of the socket without telling the object, since the node stops (WS-32).
    pub fn forget(self) {
        self.socket.cut();
        self.socket.owner.forget(self.socket.id);
    }
}

impl Drop for SocketClient {
    fn drop(&mut self) {
        // Does nothing if the end was told.
        self.socket.lose();
    }
}
