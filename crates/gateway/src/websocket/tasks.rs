//! The tasks of WebSockets, one for each connection: how many there may be, and their end with the node.
//!
//! Made by the composition; `fetch` starts a task for each handshake that an object has accepted.

use std::sync::Arc;

use durabo_model::error_code::ErrorCode;
use durabo_model::limits::HttpLimits;
use durabo_objects::socket::SocketClient;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::connection::{ConnectionTimes, serve_socket};
use crate::error_response::{Refused, refuse};

/// The sockets of all clients of a node.
#[derive(Debug)]
pub struct SocketTasks {
    sockets_max: usize,
    times: ConnectionTimes,
    open: Arc<watch::Sender<usize>>,
    stopping: watch::Sender<bool>,
}

/// A place for one socket, from its handshake to its end.
#[derive(Debug)]
pub struct SocketSeat(Arc<watch::Sender<usize>>);

impl Drop for SocketSeat {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl SocketTasks {
    /// No sockets yet.
    pub fn new(limits: &HttpLimits) -> Self {
        let times = ConnectionTimes {
            silence_max: limits.socket_silence_max,
            close_timeout: limits.socket_close_timeout,
        };
        Self {
            sockets_max: limits.sockets_max,
            times,
            open: Arc::new(watch::Sender::new(0)),
            stopping: watch::Sender::new(false),
        }
    }

    /// Takes a place for one more; refused as overloaded if there is none.
    pub fn seat(&self) -> Result<SocketSeat, Refused> {
        let max = self.sockets_max;
        let is_taken = self.open.send_if_modified(|open| {
            let has_room = *open < max;
            *open += usize::from(has_room);
            has_room
        });
        if is_taken {
            return Ok(SocketSeat(self.open.clone()));
        }
        let text = format!("{max} WebSockets are open, which is as many as may be; try again later");
        Err(refuse(ErrorCode::Overloaded, text))
    }

    /// Serves a socket from the moment on at which its client has the response with status 101. If that never is, the
    /// socket learns that its client is lost.
    pub fn start(&self, seat: SocketSeat, upgraded: OnUpgrade, client: SocketClient) {
        let (times, stopping) = (self.times, self.stopping.subscribe());
        tokio::spawn(async move {
            // To be held until the end.
            let _seat = seat;
            match upgraded.await {
                Ok(io) => serve_socket(TokioIo::new(io), client, times, stopping).await,
                Err(error) => tracing::debug!(%error, "a client left before its WebSocket was open"),
            }
        });
    }

    /// Tells all clients that the node goes away, and returns when all connections are over: soon, since none is waited
    /// for long.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut open = self.open.subscribe();
        // The sender is held here.
        drop(open.wait_for(|open| *open == 0).await);
    }
}
