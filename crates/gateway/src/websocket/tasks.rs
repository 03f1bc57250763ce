//! The tasks of WebSockets, one for each connection: how many clients may have one, and their end with the node.
//!
//! Made by the composition; `fetch` starts a task for each handshake that an object has accepted, and `outgoing` for
//! each connection that an object has opened.

use std::sync::Arc;

use durabo_model::error_code::ErrorCode;
use durabo_model::limits::HttpLimits;
use durabo_objects::socket::SocketClient;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::connection::{ConnectionTimes, Side, serve_socket};
use super::handshake::ClientConnection;
use super::masks::Masks;
use crate::error_response::{Refused, refuse};

/// The sockets of a node.
#[derive(Debug)]
pub struct SocketTasks {
    tasks: Handle,
    sockets_max: usize,
    times: ConnectionTimes,
    open: Arc<watch::Sender<OpenSockets>>,
    stopping: watch::Sender<bool>,
}

/// How many sockets are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OpenSockets {
    /// Connections of clients.
    seats: usize,
    /// Also those that only hand over what came before a connection ended.
    tasks: usize,
}

/// A place for one client's connection, from its handshake to its end.
#[derive(Debug)]
pub struct SocketSeat {
    _counted: Counted,
}

/// Is counted until it is dropped.
#[derive(Debug)]
struct Counted {
    open: Arc<watch::Sender<OpenSockets>>,
    count: fn(&mut OpenSockets) -> &mut usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.send_modify(|open| *(self.count)(open) -= 1);
    }
}

/// A connection to a server that has agreed to speak frames.
#[derive(Debug)]
pub struct OutgoingConnection {
    /// Behind the handshake.
    pub io: Upgraded,
    /// For what is sent.
    pub masks: Masks,
    /// Among the connections that the node may have to the outside, and among the sockets of these.
    pub places: [OwnedSemaphorePermit; 2],
}

impl SocketTasks {
    /// No sockets yet. Those of clients are served in `tasks`: beside the objects, since what comes by a connection
    /// then reaches its object, and the answer the connection, without another thread being woken for it.
    pub fn new(tasks: Handle, limits: &HttpLimits) -> Self {
        let times = ConnectionTimes {
            silence_max: limits.socket_silence_max,
            close_timeout: limits.socket_close_timeout,
        };
        Self {
            tasks,
            sockets_max: limits.sockets_max,
            times,
            open: Arc::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Takes a place for one more client; refused as overloaded if there is none.
    pub fn seat(&self) -> Result<SocketSeat, Refused> {
        let max = self.sockets_max;
        let is_taken = self.open.send_if_modified(|open| {
            let has_room = open.seats < max;
            open.seats += usize::from(has_room);
            has_room
        });
        if is_taken {
            let counted = Counted { open: self.open.clone(), count: |open| &mut open.seats };
            return Ok(SocketSeat { _counted: counted });
        }
        let text = format!("{max} WebSockets are open, which is as many as may be; try again later");
        Err(refuse(ErrorCode::Overloaded, text))
    }

    /// Serves a socket from the moment on at which its client has the response with status 101. If that never is, the
    /// socket learns that its client is lost.
    pub fn start(&self, seat: SocketSeat, connection: ClientConnection, client: SocketClient) {
        let task = self.count_task();
        let (times, stopping) = (self.times, self.stopping.subscribe());
        self.tasks.spawn(async move {
            // To be held until the end.
            let _task = task;
            match connection.opened().await {
                Ok(io) => serve_socket((TokioIo::new(io), seat), Side::Server, client, times, stopping).await,
                Err(error) => tracing::debug!(%error, "a client left before its WebSocket was open"),
            }
        });
    }

    /// Serves a socket that an object has opened, in `tasks`, and gives its places back when its connection has ended.
    /// While the node stops there is nothing to serve: an object that opens another whenever one ends would never let
    /// it come to its end.
    pub fn start_outgoing(&self, tasks: &Handle, outgoing: OutgoingConnection, client: SocketClient) {
        let task = self.count_task();
        // Behind the count, so that whoever stops either waits for this one or is seen here.
        if self.is_stopping() {
            return client.forget();
        }
        let (times, stopping) = (self.times, self.stopping.subscribe());
        tasks.spawn(async move {
            // To be held until the end.
            let _task = task;
            let OutgoingConnection { io, masks, places } = outgoing;
            serve_socket((TokioIo::new(io), places), Side::Client(masks), client, times, stopping).await;
        });
    }

    /// Whether the node stops.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn count_task(&self) -> Counted {
        self.open.send_modify(|open| open.tasks += 1);
        Counted { open: self.open.clone(), count: |open| &mut open.tasks }
    }

    /// Tells all others that the node goes away, and returns when all connections are over: soon, since none is waited
    /// for long.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut open = self.open.subscribe();
        // The sender is held here.
        drop(open.wait_for(|open| *open == OpenSockets::default()).await);
    }
}
