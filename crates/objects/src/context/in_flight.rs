//! Events that are in the guest: begun, and not ended.
//!
//! Who looks at the object from outside learns their number from its control.

use std::collections::HashMap;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cancelled::Listeners;
use crate::control::Control;
use crate::event::{EventId, Origin, Outcome};
use crate::socket::Handling;
use crate::tail::Begun;

/// One event.
#[derive(Debug)]
pub(super) struct InFlight {
    pub reply: oneshot::Sender<Outcome>,
    pub origin: Origin,
    /// Who waits to learn that the client has gone.
    pub listeners: Option<Listeners>,
    /// If it is an event of a socket.
    pub socket: Option<SocketInFlight>,
    /// If somebody watches.
    pub begun: Option<Box<Begun>>,
}

/// An event of a socket. Nobody hears of its outcome, but somebody waits for its end: the client.
#[derive(Debug)]
pub(super) struct SocketInFlight {
    pub handling: Handling,
    /// When the handler has taken too long (WS-28).
    pub over_at: Option<Instant>,
    pub _outcome: oneshot::Receiver<Outcome>,
}

/// All of one object, by their ids. Read as a map.
pub(super) struct EventsInFlight {
    events: HashMap<EventId, InFlight>,
    control: Arc<Control>,
}

impl EventsInFlight {
    /// None, of the object that `control` belongs to.
    pub fn new(control: Arc<Control>) -> Self {
        Self { events: HashMap::new(), control }
    }

    /// Adds one that begins.
    pub fn insert(&mut self, id: EventId, event: InFlight) {
        self.events.insert(id, event);
        self.tell();
    }

    /// For changes to one of them.
    pub fn get_mut(&mut self, id: &EventId) -> Option<&mut InFlight> {
        self.events.get_mut(id)
    }

    /// Takes out one that has ended.
    pub fn remove(&mut self, id: &EventId) -> Option<InFlight> {
        let event = self.events.remove(id);
        self.tell();
        event
    }

    /// Takes out all, whose instance has ended.
    pub fn take_all(&mut self) -> HashMap<EventId, InFlight> {
        let events = mem::take(&mut self.events);
        self.tell();
        events
    }

    fn tell(&self) {
        self.control.set_events_in_guest(self.events.len());
    }
}

impl Deref for EventsInFlight {
    type Target = HashMap<EventId, InFlight>;

    fn deref(&self) -> &Self::Target {
        &self.events
    }
}
