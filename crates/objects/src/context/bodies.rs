//! What leaves an object beside answers, the bodies it has open, and whether anyone still waits.
//!
//! Pieces of a body leave through the gate like answers, each by its own ticket (OG-3). An open body keeps
//! the object in memory. A caller that has gone cancels nothing; the guest may ask (ST-10).

use std::task::{Context, Poll};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;

use super::ObjectContext;
use crate::body::ReaderWatch;
use crate::event::EventId;
use crate::input_gate::AskedAt;
use crate::output_gate::{Departure, Effect};
use crate::unfinished::ImportUnderWay;

impl ObjectContext {
    /// Lets `departure` leave when everything that was written before it is durable (OG-3).
    pub fn release(&self, departure: Departure) {
        self.gate.release_after(self.position(), Effect::Send(departure));
    }

    /// Opens a body in pieces; it is open until what is returned is dropped.
    pub fn open_body(&self) -> Result<ImportUnderWay, Failure> {
        let max = self.node.limits.bodies_open_max;
        self.bodies.begin(max).ok_or_else(|| {
            let text = format!(
                "Durable Object is overloaded. It has {max} request and response bodies open; retry later"
            );
            Failure::new(ErrorCode::Overloaded, text).of_object(self.identity.key.id)
        })
    }

    /// The present moment, for a piece that the guest asks for, or asks to leave, now.
    pub fn asked_now(&self) -> AskedAt {
        self.instance.input.now()
    }

    /// Ready when a guest that asked for a piece, or for one to leave, may go on: not while a section is open
    /// that opened since (T8).
    pub fn poll_piece_pass(&self, asked: AskedAt, cx: &mut Context<'_>) -> Poll<()> {
        self.instance.input.poll_pass(asked, cx)
    }

    /// Ready when no body is open.
    pub fn poll_bodies_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bodies.is_below(1, cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Says who reads the body of an event's answer, which is still written when the handler has returned.
    pub fn watch_reader(&mut self, id: EventId, reader: ReaderWatch) {
        self.instance.readers.retain(|_, (reader, _)| !reader.is_gone());
        if let Some(event) = self.in_flight.get(&id) {
            self.instance.readers.insert(id, (reader, event.origin.clone()));
        }
    }

    /// Whether nobody waits for the event's outcome any more (ST-10), nor for the rest of its body.
    pub fn is_cancelled(&self, id: EventId) -> bool {
        if let Some(event) = self.in_flight.get(&id) {
            return event.reply.is_closed() || event.origin.client.is_gone();
        }
        self.instance
            .readers
            .get(&id)
            .is_none_or(|(reader, origin)| reader.is_gone() || origin.client.is_gone())
    }

    /// Ready when [`is_cancelled`](Self::is_cancelled) is true.
    pub fn poll_cancelled(&mut self, id: EventId, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(event) = self.in_flight.get_mut(&id) {
            if !event.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                event.waiting.push(cx.waker().clone());
            }
            return either(event.reply.poll_closed(cx), event.origin.client.poll_gone(cx));
        }
        match self.instance.readers.get(&id) {
            Some((reader, origin)) => either(reader.poll_gone(cx), origin.client.poll_gone(cx)),
            None => Poll::Ready(()),
        }
    }
}

fn either(one: Poll<()>, other: Poll<()>) -> Poll<()> {
    if one.is_ready() { one } else { other }
}
