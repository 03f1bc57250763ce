//! A socket that belongs to no object, for tests of connections: what an object would do with it is done by hand.
//!
//! It is the socket that objects have, with the bounds of one object on a node of its own.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use bytes::Bytes;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::time::Timestamp;

use crate::byte_budget::Budget;
use crate::socket::{
    CloseReason, Closer, Frame, Handling, Incident, Lifetime, Message, NewSocket, Sending, Socket,
    SocketCall, SocketClient, SocketId, SocketMemory, SocketOwner, Upgrade,
};

/// The object's end.
pub struct LooseSocket {
    pub(crate) socket: Arc<Socket>,
    owner: Arc<Owner>,
}

/// An event whose handler runs until this is dropped.
#[derive(Debug)]
pub struct LooseEvent {
    /// What happened.
    pub incident: Incident,
    _handling: Handling,
}

struct Owner {
    memory: SocketMemory,
    calls: Mutex<Vec<Arc<Socket>>>,
    socket: OnceLock<Weak<Socket>>,
}

impl LooseSocket {
    /// A socket and the connection of its client.
    pub fn joined(limits: &ObjectLimits) -> (Self, SocketClient) {
        let node = Budget::new(limits.node_sockets_outgoing_bytes_max);
        let memory = SocketMemory {
            outgoing: node.within(limits.sockets_outgoing_bytes_max),
            incoming: Budget::new(limits.node_sockets_incoming_bytes_max),
            client_bytes_max: limits.socket_outgoing_bytes_max,
        };
        let owner = Arc::new(Owner { memory, calls: Mutex::default(), socket: OnceLock::new() });
        let (id, tags, accepted) = (SocketId(1), Vec::new(), Timestamp(0));
        let socket = NewSocket { id, tags, lifetime: Lifetime::Hibernate, accepted };
        let socket = Arc::new(Socket::new(socket, owner.clone()));
        owner.socket.set(Arc::downgrade(&socket)).expect("set once");
        let client = Upgrade::new(socket.clone()).returned().join(String::new());
        (Self { socket, owner }, client)
    }

    /// Sends a message, as an object whose writes are durable. Refused if too much waits.
    pub fn send(&self, message: Message) -> Result<(), Failure> {
        let (frame, places) = self.owner.memory.frame(message, 1)?;
        Sending::new(vec![self.socket.clone()], frame, places).leave_to(1);
        Ok(())
    }

    /// Closes it in the same way.
    pub fn close(&self, reason: CloseReason) {
        self.socket.close_by(Closer::Object);
        self.socket.push(Frame::Close(reason), self.owner.memory.place());
    }

    /// The call of the object that waits; `None` if nothing has happened, or a handler runs.
    pub fn next_call(&self) -> Option<SocketCall> {
        self.owner.calls().pop().map(SocketCall::new)
    }

    /// Begins the next event; `None` as before.
    pub fn next_event(&self) -> Option<LooseEvent> {
        let (incident, handling) = self.next_call()?.begin()?;
        Some(LooseEvent { incident, _handling: handling })
    }

    /// Bytes that are held of messages, those included that have not come whole.
    pub fn incoming_bytes(&self) -> usize {
        self.owner.memory.incoming.held()
    }

    /// Waits until the client has gone.
    pub async fn client_gone(&self) {
        poll_fn(|cx| self.socket.client.poll_gone(cx)).await;
    }
}

impl Owner {
    fn calls(&self) -> MutexGuard<'_, Vec<Arc<Socket>>> {
        self.calls.lock().expect("BUG: the calls' lock is never held over a panic")
    }
}

impl SocketOwner for Owner {
    fn call(&self, socket: &Arc<Socket>) {
        self.calls().push(socket.clone());
    }

    fn auto_response(&self, _text: &str) -> Option<Bytes> {
        None
    }

    fn returned(&self, _id: SocketId) {}

    fn joined(&self, _socket: &Socket) {}

    fn ended(&self, _id: SocketId, _incident: &Incident) {}

    fn forget(&self, _id: SocketId) {}

    fn undelivered(&self, _id: SocketId) {
        if let Some(socket) = self.socket.get().and_then(Weak::upgrade) {
            socket.cut();
        }
    }

    fn fell_behind(&self, _id: SocketId) {}

    fn memory(&self) -> &SocketMemory {
        &self.memory
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}
