//! The sockets of a node as its operator sees them: lists of them, and frames of the operator's own.
//!
//! A list is a picture of the node's book and asks no object. A frame goes to the object, which may have to come into
//! memory for it, but needs no instance: only its task knows what it has asked for before.

use durabo_model::failure::Failure;
use durabo_model::name::ClassName;
use durabo_model::object::ObjectKey;

use crate::address::ObjectAddress;
use crate::context::{check_message, close_reason, no_socket};
use crate::directory::Directory;
use crate::event::{Origin, Reply, SocketRequest, Work};
use crate::scope::Scope;
use crate::socket::{Message, SocketId, SocketOverview};
use crate::sockets::SocketPosition;

/// A socket in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// Its object.
    pub object: ObjectKey,
    /// Class of the object.
    pub class: ClassName,
    /// Name of the object, if it was ever reached by one.
    pub name: Option<String>,
    /// Whether the object is in memory.
    pub is_live: bool,
    /// Whether an instance of its code runs; without one it hibernates.
    pub has_instance: bool,
    /// The socket.
    pub socket: SocketOverview,
}

impl Directory {
    /// Sockets whose last event was not handled, in the order of objects and of acceptance, those behind `after`,
    /// `limit` at most. Looks at no more than it gives.
    pub fn list_sockets(&self, of: &Scope, after: Option<SocketPosition>, limit: usize) -> Vec<OpenSocket> {
        let listed = self.node().sockets.list(of, after, limit);
        let shown = listed.into_iter().map(|(sockets, socket)| {
            let ObjectAddress { key, class, name } = sockets.address().clone();
            let live = self.live_object(&key);
            OpenSocket {
                object: key,
                class,
                name,
                is_live: live.is_some(),
                has_instance: live.is_some_and(|live| live.has_instance),
                socket: socket.overview(),
            }
        });
        shown.collect()
    }

    /// Sends a message to a client of an object, behind all that the object has sent, and returns when it has left the
    /// object. Fails with `not-found` if there is no such socket, and with `socket-closed` if it is being closed.
    pub async fn send_to_socket(
        &self,
        of: ObjectAddress,
        socket: SocketId,
        message: Message,
    ) -> Result<(), Failure> {
        check_message(&message)?;
        self.ask_socket(of, socket, SocketRequest::Send(message)).await
    }

    /// Closes a socket of an object, as the object would (WS-22); fails as
    /// [`send_to_socket`](Self::send_to_socket) does, and with `invalid-argument` for a code or reason that must not be
    /// sent.
    pub async fn close_socket(
        &self,
        of: ObjectAddress,
        socket: SocketId,
        code: Option<u16>,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let reason = close_reason(code, reason)?;
        self.ask_socket(of, socket, SocketRequest::Close(reason)).await
    }

    async fn ask_socket(
        &self,
        of: ObjectAddress,
        socket: SocketId,
        request: SocketRequest,
    ) -> Result<(), Failure> {
        // Nothing is started for a socket that there is not.
        let id = of.key.id;
        let is_there = self.node().sockets.of(&of.key).is_some_and(|sockets| sockets.get(socket).is_some());
        if !is_there {
            return Err(no_socket(socket).of_object(id));
        }
        match self.send(of, Work::ToSocket(socket, request), Origin::default()).await? {
            Reply::Sent => Ok(()),
            other => unreachable!("BUG: a request to a socket was answered with {other:?}"),
        }
    }
}
