//! An asynchronous import of a guest: begun, waited for, let back in past the section gate.
//!
//! Every import that may wait goes through here, whatever it waits for: the wait itself is the turn
//! end, and what it brings is held back while a section is open that was entered after the import was
//! asked for (T8).

use std::future::{Future, poll_fn};
use std::sync::Arc;

use durabo_changelog::mutation::{Mutation, is_planted};

use crate::input_gate::{AskedAt, InputGate};
use crate::unfinished::ImportUnderWay;

/// One import under way; it has finished when this is dropped, however it ended.
#[derive(Debug)]
pub struct Import {
    gate: InputGate,
    asked: AskedAt,
    under_way: Arc<ImportUnderWay>,
}

impl Import {
    pub(crate) fn new(gate: InputGate, under_way: ImportUnderWay) -> Self {
        let asked = gate.now();
        Self { gate, asked, under_way: Arc::new(under_way) }
    }

    /// When it was asked for.
    pub fn asked_at(&self) -> AskedAt {
        self.asked
    }

    /// What keeps it under way, for something of it that outlives the wait.
    pub(crate) fn under_way(&self) -> Arc<ImportUnderWay> {
        self.under_way.clone()
    }

    /// Waits for `what`, and then until its result may come back into the object.
    pub async fn wait_for<T>(self, what: impl Future<Output = T>) -> T {
        let result = what.await;
        if !is_planted(Mutation::SkipSectionAfterWait) {
            poll_fn(|cx| self.gate.poll_pass(self.asked, cx)).await;
        }
        result
    }
}
