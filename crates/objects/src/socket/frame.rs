//! What goes over a socket: messages of both sides, frames on their way out, and what happens at the client's end.
//!
//! Plain values: who may send what, and when, is not known here.

use bytes::Bytes;
use durabo_model::failure::Failure;
use durabo_model::limits;

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// Its length.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }
}

/// A code and a reason, if the closing frame has any.
pub type CloseReason = Option<(u16, String)>;

/// A frame on its way to a client. Clones share what they carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// The end of what is sent.
    Close(CloseReason),
}

impl Frame {
    /// What it counts while it waits, in bytes: a small one takes its place too.
    pub fn bytes(&self) -> usize {
        let carried = match self {
            Frame::Text(bytes) | Frame::Binary(bytes) => bytes.len(),
            Frame::Close(_) => 0,
        };
        carried + limits::SOCKET_FRAME_BYTES_COUNTED
    }
}

/// What happened at the client's end.
#[derive(Debug, Clone, PartialEq)]
pub enum Incident {
    /// A whole message came.
    Message(Message),
    /// The connection ended (WS-19, WS-20).
    Close {
        /// The client's code; 1005 for none, 1006 if no closing frame came.
        code: u16,
        /// The client's reason.
        reason: String,
        /// Whether a closing frame came.
        was_clean: bool,
    },
    /// The connection failed in a way that is no end of the client's own (WS-20).
    Error(Box<Failure>),
}

impl Incident {
    /// Whether nothing comes behind it.
    pub fn is_last(&self) -> bool {
        !matches!(self, Incident::Message(_))
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Incident::Message(message) => message.bytes(),
            Incident::Close { .. } | Incident::Error(_) => 0,
        }
    }
}
