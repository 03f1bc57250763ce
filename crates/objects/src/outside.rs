//! The way to the outside for requests of objects, and for WebSockets that they open.
//!
//! `gateway` implements it; `runtime` calls it once the output gate has let a request leave. The rules of the
//! object's app are looked at on that way and nowhere else.

use std::fmt;
use std::sync::Arc;

use durabo_model::egress::EgressRules;
use durabo_model::failure::Failure;
use futures::future::BoxFuture;

use crate::event::{HttpRequest, HttpResponse};
use crate::socket::SocketClient;

/// Sends requests.
pub trait Outside: Send + Sync + 'static {
    /// Sends a request where `rules` allow it, and returns when the head of the response is there; a short
    /// body of known length comes with it. Dropping the future gives the request up.
    fn send(
        &self,
        rules: Arc<EgressRules>,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, Failure>>;

    /// Asks for a WebSocket where `rules` allow it, and returns when the server has agreed. Dropping the future
    /// gives it up.
    fn connect(
        &self,
        rules: Arc<EgressRules>,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<OpenedSocket, Failure>>;
}

/// A connection whose server has agreed to speak frames, and which belongs to no socket yet. Dropped, it is closed.
pub struct OpenedSocket {
    /// Sub-protocol that the server has chosen; empty for none.
    pub protocol: String,
    /// Joins it to the other end of a socket.
    pub start: Box<dyn FnOnce(SocketClient) + Send>,
}

impl fmt::Debug for OpenedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSocket").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
