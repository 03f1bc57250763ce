//! What leaves the object waits for the writes before it, save for those that nothing has to wait for (OG-8).
//!
//! A position in the output gate is a commit: the newest one with a write that has to be waited for, or the one
//! that the open turn will make. Positions never fall, and whoever asks for all writes to be durable (OG-9) makes
//! later outputs wait for the same.

use std::future::Future;

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::sequence::Sequence;
use tokio::sync::oneshot;

use super::ObjectContext;
use crate::output_gate::Effect;

impl ObjectContext {
    /// Commit for which an output asked for now has to wait (T5).
    pub fn position(&self) -> Sequence {
        match self.database.is_turn_confirmed() && !is_planted(Mutation::IgnoreOpenTurn) {
            true => self.history.sequence().next(),
            false => self.confirmed,
        }
    }

    /// Ready when everything that was written before is durable, or with the failure of a commit that was to
    /// make it so (OG-9). What is written later it does not wait for, nor for what a transaction over waits that
    /// is open has written (TX-13).
    pub fn sync(&mut self) -> impl Future<Output = Result<(), Failure>> + Send + use<> {
        self.confirmed = self.history.sequence();
        self.database.confirm_turn();
        let (tell, told) = oneshot::channel();
        let durable = Box::new(move |durable| drop(tell.send(durable)));
        self.gate.release_after(self.position(), Effect::Send(durable));
        async {
            told.await.unwrap_or_else(|_| {
                let text = "the object has gone before its writes were durable";
                Err(Failure::new(ErrorCode::ObjectReset, text))
            })
        }
    }
}
