//! What an operator sees of a socket: how far it is, and what waits with it in either direction.
//!
//! Frames that the output gate still holds are not the socket's yet, and those that the connection has taken are not
//! any more.

use durabo_model::time::Timestamp;

use super::{Lifetime, ReadyState, Socket, SocketId};

/// What waits in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages, and the end of the connection if that is among them.
    pub count: usize,
    /// Bytes, as they count against the limit.
    pub bytes: usize,
}

/// A picture of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOverview {
    /// Which.
    pub id: SocketId,
    /// Distinct, in the order of first appearance.
    pub tags: Vec<String>,
    /// Sub-protocol; empty for none.
    pub protocol: String,
    /// How far it is.
    pub state: ReadyState,
    /// Whether the object may leave memory meanwhile.
    pub lifetime: Lifetime,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// For the client.
    pub outgoing: Waiting,
    /// For the object.
    pub incoming: Waiting,
}

impl Socket {
    /// How it is now.
    pub(crate) fn overview(&self) -> SocketOverview {
        let ready_state = self.ready_state();
        let state = self.lock();
        // Of what was dropped nothing waits, whatever was counted.
        let waiting =
            |count: usize, bytes: usize| Waiting { count, bytes: if count == 0 { 0 } else { bytes } };
        SocketOverview {
            id: self.id,
            tags: self.tags.clone(),
            protocol: state.protocol.clone(),
            state: ready_state,
            lifetime: self.lifetime,
            accepted: self.accepted,
            outgoing: waiting(state.outgoing.len(), state.outgoing_bytes),
            incoming: waiting(state.incoming.len(), state.incoming_hold.bytes()),
        }
    }
}
