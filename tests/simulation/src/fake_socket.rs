//! What a fake guest does about its sockets, and what tests learn of it that no database could tell: which events of
//! sockets have reached the guest, also those whose turn was undone.
//!
//! A message carries the acts of its handler, the first of which writes a number that tells the message from others.

use std::sync::{Arc, Mutex};

use durabo_model::failure::Failure;
use durabo_objects::event::Reply;
use durabo_objects::socket::{Incident, Lifetime, Message, ReadyState, SocketId, Upgrade};

use crate::act::{Act, of_kept};
use crate::fake_engine::Engine;
use crate::fake_store::read;

/// The code with which a fake guest closes a socket.
pub const CLOSE_CODE: u16 = 4000;

/// Something that has happened in a fake guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It accepted a socket, in the event of this number.
    Accepted(SocketId, u64),
    /// The handler of the message with this number begins.
    Message(SocketId, u64),
    /// The handler of a socket's end begins, be it closed or lost.
    Last(SocketId),
    /// The handler of one of these is over, in whatever way.
    Over(SocketId),
}

impl Delivered {
    /// Whose event it is.
    pub fn socket(self) -> SocketId {
        match self {
            Delivered::Accepted(socket, _)
            | Delivered::Message(socket, _)
            | Delivered::Last(socket)
            | Delivered::Over(socket) => socket,
        }
    }
}

/// What has happened in the fake guests of a node, in order. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Deliveries(Arc<Mutex<Vec<Delivered>>>);

impl Deliveries {
    /// All of it so far.
    pub fn all(&self) -> Vec<Delivered> {
        self.0.lock().expect("unpoisoned").clone()
    }

    fn add(&self, delivered: Delivered) {
        self.0.lock().expect("unpoisoned").push(delivered);
    }
}

/// A socket whose event a handler is about.
pub(crate) struct SocketHandler {
    socket: SocketId,
    deliveries: Deliveries,
}

impl SocketHandler {
    /// Notes that the handler begins, and what it is to do.
    pub(crate) fn begin(deliveries: &Deliveries, socket: SocketId, incident: &Incident) -> (Self, Vec<Act>) {
        let handler = Self { socket, deliveries: deliveries.clone() };
        let Incident::Message(message) = incident else {
            deliveries.add(Delivered::Last(socket));
            return (handler, Vec::new());
        };
        let acts = match message {
            Message::Text(text) => of_kept(text.as_bytes()),
            Message::Binary(bytes) => of_kept(bytes),
        };
        let Some(Act::Write(number, _)) = acts.first() else {
            panic!("a message without a number: {acts:?}")
        };
        deliveries.add(Delivered::Message(socket, *number));
        (handler, acts)
    }
}

impl Drop for SocketHandler {
    fn drop(&mut self) {
        self.deliveries.add(Delivered::Over(self.socket));
    }
}

/// Accepts a socket in the event of this number.
pub(crate) fn accept(engine: &Engine, deliveries: &Deliveries, number: u64) -> Result<Upgrade, Failure> {
    let (socket, upgrade) =
        engine.with_context(|context| context.accept_socket(Vec::new(), Lifetime::Hibernate))?;
    deliveries.add(Delivered::Accepted(socket, number));
    Ok(upgrade)
}

/// Performs an act on sockets, in the handler of an event of one of them.
pub(crate) fn perform(engine: &Engine, act: &Act, handler: Option<&SocketHandler>) -> Result<(), Failure> {
    let socket = handler.expect("a handler of a socket's event").socket;
    let Reply::Rpc(numbers) = read(engine)? else { unreachable!("numbers are read as an RPC reply") };
    let newest = numbers.last_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    engine.with_context(|context| match act {
        // Nothing can be sent on one that it has closed (WS-23), and the handler is to go on.
        Act::SendBack if matches!(context.socket_state(socket), ReadyState::Closing | ReadyState::Closed) => {
            Ok(())
        }
        Act::SendBack | Act::SendAnyhow => context.send_to_socket(socket, Message::Binary(numbers.to_vec())),
        Act::SendToAll => {
            context.broadcast(None, Message::Binary(numbers.to_vec()), &[]);
            Ok(())
        }
        Act::CloseSocket => context.close_socket(socket, Some(CLOSE_CODE), Some(newest.to_string())),
        other => unreachable!("{other:?} does not concern sockets"),
    })
}
