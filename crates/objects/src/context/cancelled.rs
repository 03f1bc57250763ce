//! Whether anyone still waits for an event, and which tasks of it want to be told when nobody does (ST-10).
//!
//! A caller that has gone cancels nothing; the guest may ask. Once an event has answered, the reader of the
//! answer's body is all who waits for it, and nobody does if there is none or it has gone: nobody can leave
//! any more, so whoever listens is told. The same holds for a constructor that has returned.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::ObjectContext;
use super::in_flight::InFlight;
use crate::body::ReaderWatch;
use crate::client::Client;
use crate::event::{EventId, Origin};
use crate::wakers::WakeAll;

/// Tasks of one event that want to be told.
#[derive(Debug)]
pub(super) struct Listeners {
    tasks: Arc<WakeAll>,
    client: Client,
}

/// An event that has answered with a body that is still written.
#[derive(Debug)]
pub(super) struct Answered {
    pub reader: ReaderWatch,
    pub origin: Origin,
    listeners: Option<Listeners>,
}

impl Listeners {
    fn new(client: &Client) -> Self {
        Self { tasks: Arc::default(), client: client.clone() }
    }

    /// Adds a task; what is returned wakes all: an answer's channel has a place for one waker only.
    fn add(&self, cx: &Context<'_>) -> Waker {
        self.tasks.add(cx.waker());
        self.waker()
    }

    fn waker(&self) -> Waker {
        Waker::from(self.tasks.clone())
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // The connection may go on for long.
        self.client.forget(&self.waker());
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(listeners) = &self.listeners {
            // The reader may be at another connection than the event's.
            self.reader.forget(&listeners.waker());
        }
    }
}

impl InFlight {
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let client = &self.origin.client;
        let waker = self.listeners.get_or_insert_with(|| Listeners::new(client)).add(cx);
        let cx = &mut Context::from_waker(&waker);
        either(self.reply.poll_closed(cx), client.poll_gone(cx))
    }
}

impl Answered {
    fn is_cancelled(&self) -> bool {
        self.reader.is_gone() || self.origin.client.is_gone()
    }

    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let client = &self.origin.client;
        let waker = self.listeners.get_or_insert_with(|| Listeners::new(client)).add(cx);
        let cx = &mut Context::from_waker(&waker);
        either(self.reader.poll_gone(cx), client.poll_gone(cx))
    }
}

fn either(one: Poll<()>, other: Poll<()>) -> Poll<()> {
    if one.is_ready() { one } else { other }
}

impl ObjectContext {
    /// Says who reads the body of an event's answer, which is still written when the handler has returned.
    pub fn watch_reader(&mut self, id: EventId, reader: ReaderWatch) {
        self.instance.answered.retain(|_, answered| !answered.reader.is_gone());
        if let Some(event) = self.in_flight.get(&id) {
            let answered = Answered { reader, origin: event.origin.clone(), listeners: None };
            self.instance.answered.insert(id, answered);
        }
    }

    /// Whether nobody waits for the event's outcome any more, nor for the rest of its body. Without an event:
    /// whether the constructor has returned, since what is no event's then is its, or is long over.
    pub fn is_cancelled(&self, id: Option<EventId>) -> bool {
        let Some(id) = id else { return self.instance.has_started };
        match self.in_flight.get(&id) {
            Some(event) => event.reply.is_closed() || event.origin.client.is_gone(),
            None => self.instance.answered.get(&id).is_none_or(Answered::is_cancelled),
        }
    }

    /// Ready when [`is_cancelled`](Self::is_cancelled) is true.
    pub fn poll_cancelled(&mut self, id: Option<EventId>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(id) = id else {
            if self.instance.has_started {
                return Poll::Ready(());
            }
            self.instance.start_listeners.add(cx.waker());
            return Poll::Pending;
        };
        match self.in_flight.get_mut(&id) {
            Some(event) => event.poll_cancelled(cx),
            None => self
                .instance
                .answered
                .get_mut(&id)
                .map_or(Poll::Ready(()), |answered| answered.poll_cancelled(cx)),
        }
    }

    /// Tells who listens that the event has answered: from now on it is the reader of the answer's body who
    /// may go.
    pub(super) fn tell_answered(&mut self, id: EventId, listeners: Option<Listeners>) {
        let Some(listeners) = listeners else { return };
        listeners.tasks.wake_all();
        if let Some(answered) = self.instance.answered.get_mut(&id) {
            answered.listeners = Some(listeners);
        }
    }
}
