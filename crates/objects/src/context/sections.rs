//! Imports that wait, and the critical sections that hold them back.
//!
//! The gate itself is [`input_gate`](crate::input_gate); this is what the object adds: how many imports
//! may be under way, and for how long a section may be open.

use std::future::Future;
use std::task::{Context, Poll, ready};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::time::sleep_until;

use super::ObjectContext;
use crate::import::Import;
use crate::input_gate::{Entry, InputGate, Section};

impl ObjectContext {
    /// Begins an import that does not answer at once; it is under way until what is returned is dropped.
    /// A failure means that the instance has too many and must be reset.
    pub fn begin_import(&self) -> Result<Import, Failure> {
        let max = self.node.limits.imports_unfinished_max;
        let Some(under_way) = self.instance.imports.begin(max) else {
            let text = format!(
                "the instance has {max} imports under way that have not finished, sleeps and calls included, \
                 and asked for one more; the object was reset; wait for some before more are begun"
            );
            return Err(Failure::new(ErrorCode::ImportLimitExceeded, text));
        };
        Ok(Import::new(self.instance.input.clone(), under_way))
    }

    /// Whether events may be delivered, looked at now (T7).
    pub(super) fn is_gate_open(&mut self, cx: &mut Context<'_>) -> bool {
        let is_open = self.instance.input.is_open(cx.waker());
        if is_planted(Mutation::ReadGateEarly) {
            return std::mem::replace(&mut self.instance.was_gate_open, is_open);
        }
        is_open
    }

    /// Asks for a critical section, which opens when its turn has come (IG-5, IG-6). Events wait from now
    /// on. Fails beyond the depth of nesting (IG-7), or if `parent` was left.
    pub fn ask_for_section(&self, parent: Option<&Section>) -> Result<Entry, Failure> {
        self.instance.input.ask(parent)
    }

    /// To be called by whatever stops guest code in its midst and keeps the loop from being polled.
    pub fn note_suspension(&self) {
        self.instance.input.note_suspension();
    }

    /// Ready with the failure for which the instance must be reset once a section has been open for too
    /// long (IG-9).
    pub(crate) fn poll_section_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(since) = self.instance.input.closed_since() else {
            self.instance.section_limit = None;
            return Poll::Pending;
        };
        let limit = self.node.limits.section_timeout;
        let deadline = since + limit;
        let sleep = self.instance.section_limit.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        let text = format!(
            "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled \
             and the Durable Object was reset. The limit is {} s",
            limit.as_secs_f64()
        );
        let mut failure = Failure::new(ErrorCode::SectionTimeout, text);
        failure.flags.overloaded = true;
        Poll::Ready(failure)
    }

    /// The gate of the present instance.
    pub(crate) fn input_gate(&self) -> InputGate {
        self.instance.input.clone()
    }

    /// Says whether a section was open when the instance ended.
    pub(crate) fn set_ended_in_section(&mut self, is_in_section: bool) {
        self.instance.has_ended_in_section = is_in_section;
    }

    /// Whether a section that the failure has broken held events back: they fail with it (IG-8).
    pub(super) fn is_broken_by(&self, failure: &Failure) -> bool {
        let goes_on = [ErrorCode::CodeUpdated, ErrorCode::Stopping];
        self.instance.has_ended_in_section
            && failure.listed_code().is_none_or(|code| !goes_on.contains(&code))
    }
}
