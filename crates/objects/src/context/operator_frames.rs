//! Frames of an operator for a client of the object.
//!
//! Each takes its place in the output gate behind what the object has asked for before, so that it overtakes nothing
//! (OG-3). So the object's own task sends it, between two turns of the guest and without starting one. Unlike the
//! object's own frames, one for a client that is gone is refused: whoever asks wants to know.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::sync::oneshot;

use super::ObjectContext;
use crate::event::{Outcome, Reply, SocketRequest};
use crate::output_gate::Effect;
use crate::socket::{CloseNoted, Closer, ReadyState, SocketId};

impl ObjectContext {
    /// Does what is asked of a socket, while no turn is open. The answer leaves behind the frame.
    pub(super) fn answer_to_socket(
        &mut self,
        id: SocketId,
        request: SocketRequest,
        reply: oneshot::Sender<Outcome>,
    ) {
        debug_assert!(!self.is_turn_open(), "BUG: an operator's frame in a guest's turn");
        let outcome = self.ask_socket(id, request).map(|()| Reply::Sent);
        let outcome = outcome.map_err(|failure| failure.of_object(self.identity.key.id));
        self.gate.release_after(self.position(), Effect::Reply(reply, outcome));
    }

    /// Puts the frame into the gate; a socket that is being closed takes none.
    fn ask_socket(&self, id: SocketId, request: SocketRequest) -> Result<(), Failure> {
        let (sockets, socket) = self.socket(id).ok_or_else(|| no_socket(id))?;
        let is_open = matches!(socket.ready_state(), ReadyState::Connecting | ReadyState::Open);
        match request {
            SocketRequest::Send(message) if is_open => return self.send(sockets, vec![socket], message),
            SocketRequest::Close(reason)
                if is_open && socket.close_by(Closer::Operator) == CloseNoted::First =>
            {
                self.send_close(sockets, socket, reason, Closer::Operator);
                return Ok(());
            }
            SocketRequest::Send(_) | SocketRequest::Close(_) => {}
        }
        let text = format!("socket {} is being closed: it takes no more frames", id.0);
        Err(Failure::new(ErrorCode::SocketClosed, text))
    }
}

/// The failure for a socket that is gone, or never was.
pub(crate) fn no_socket(id: SocketId) -> Failure {
    Failure::new(ErrorCode::NotFound, format!("the object has no socket {}", id.0))
}
