//! The call of an object by its socket: in the mailbox, and while the handler runs.
//!
//! What has happened stays with the socket until the call begins, so that of one socket there is one event at a
//! time, however many wait (WS-15).

use std::fmt;
use std::sync::Arc;

use super::{Incident, Socket};

/// A call of the object, in its mailbox: something has happened to the socket. Dropped there, the socket is cut,
/// so that its client learns of it.
pub struct SocketCall(Option<Arc<Socket>>);

impl SocketCall {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self(Some(socket))
    }

    /// Takes what has happened, unless the socket is gone.
    pub(crate) fn begin(mut self) -> Option<(Incident, Handling)> {
        let socket = self.0.take()?;
        let incident = socket.take_incident()?;
        let is_last = incident.is_last();
        Some((incident, Handling { socket, is_last }))
    }
}

impl Drop for SocketCall {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            socket.owner.undelivered(socket.id);
        }
    }
}

impl fmt::Debug for SocketCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketCall").field(&self.0.as_ref().map(|socket| socket.id)).finish()
    }
}

/// Two calls of one socket there never are.
impl PartialEq for SocketCall {
    fn eq(&self, _other: &Self) -> bool {
        false
    }
}

/// An event of a socket whose handler runs. Dropped when that has ended, in whatever way: then the next event may
/// come (WS-15), or the socket is gone (WS-8).
#[derive(Debug)]
pub(crate) struct Handling {
    pub socket: Arc<Socket>,
    is_last: bool,
}

impl Drop for Handling {
    fn drop(&mut self) {
        match self.is_last {
            true => self.socket.owner.forget(self.socket.id),
            false => self.socket.handled(),
        }
    }
}
