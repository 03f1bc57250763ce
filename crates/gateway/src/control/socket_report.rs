//! Records about sockets that go over the wire: which are open, and what was done to one.
//!
//! Field names are contract. Numbers of sockets are texts, since they go beyond what a number in JSON can hold.

use durabo_objects::open_sockets::OpenSocket;
use durabo_objects::socket::{ReadyState, Waiting};
use durabo_objects::sockets::SocketPosition;
use serde::Serialize;

/// Which part of a list of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketsPage {
    /// Only sockets behind this one.
    pub after: Option<SocketPosition>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// A part of a list of sockets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketsReport {
    /// By the ids of their objects within each class, those of an object in the order of their acceptance.
    pub sockets: Vec<SocketReport>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketReport {
    /// Its number.
    pub socket: String,
    /// Class of its object.
    pub class: String,
    /// Id of its object.
    pub id: String,
    /// Name of its object, if that was ever reached by one.
    pub name: Option<String>,
    /// Whether its object is in memory.
    pub live: bool,
    /// Whether an instance of the object's code runs; without one it hibernates.
    pub instance: bool,
    /// `connecting`, `open`, `closing` or `closed`; a closed one is listed until the object has heard of its end.
    pub state: &'static str,
    /// Whether it keeps its object in memory.
    pub keep_awake: bool,
    /// In the order of first appearance.
    pub tags: Vec<String>,
    /// Sub-protocol; null for none.
    pub protocol: Option<String>,
    /// When it was accepted, in ms since 1970.
    pub opened_ms: u64,
    /// What waits for the client.
    pub outgoing: WaitingReport,
    /// What waits for the object.
    pub incoming: WaitingReport,
}

/// What waits in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingReport {
    /// How many.
    pub messages: usize,
    /// Bytes, as they count against the limit.
    pub bytes: usize,
}

impl From<Waiting> for WaitingReport {
    fn from(waiting: Waiting) -> Self {
        Self { messages: waiting.count, bytes: waiting.bytes }
    }
}

impl From<OpenSocket> for SocketReport {
    fn from(open: OpenSocket) -> Self {
        let socket = open.socket;
        let state = match socket.state {
            ReadyState::Connecting => "connecting",
            ReadyState::Open => "open",
            ReadyState::Closing => "closing",
            ReadyState::Closed => "closed",
        };
        Self {
            socket: socket.id.0.to_string(),
            class: open.class.as_str().to_owned(),
            id: open.object.id.to_string(),
            name: open.name,
            live: open.is_live,
            instance: open.has_instance,
            state,
            keep_awake: socket.lifetime.keeps_awake(),
            tags: socket.tags,
            protocol: Some(socket.protocol).filter(|protocol| !protocol.is_empty()),
            opened_ms: socket.accepted.0,
            outgoing: socket.outgoing.into(),
            incoming: socket.incoming.into(),
        }
    }
}

/// What a request that does something to a socket did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketDone {
    /// `sent`, or `closing`: the client has yet to answer the closing frame.
    pub done: &'static str,
}
