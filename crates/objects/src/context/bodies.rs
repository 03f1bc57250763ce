//! What leaves an object beside answers, and the bodies it has open.
//!
//! Pieces of a body leave through the gate like answers, each by its own ticket (OG-3). An open body keeps
//! the object in memory.

use std::task::{Context, Poll};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;

use super::ObjectContext;
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
}
