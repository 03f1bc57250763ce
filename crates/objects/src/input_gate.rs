//! Input gate: while a critical section is open, nothing but the section goes on (IG-5 to IG-9).
//!
//! Sections have serial numbers and no task identity. What was asked for before a section opened waits
//! until it is left, what is asked for since proceeds: nothing but the section can have asked for it.
//! Sections without a parent queue, nested ones open above their parent; the mailbox is looked at only
//! while none is open or about to open (T7).
//!
//! The object's context asks it for the mailbox, every import that waits asks it before it returns.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::wakers::Wakers;

/// When something was asked for: how many sections had opened by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AskedAt(u64);

/// Names a section of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionSerial(u64);

/// The gate of one instance. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct InputGate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Sections that have opened; the serial number of the newest.
    opened: u64,
    /// Each within the one before it.
    open: Vec<Open>,
    /// In the order in which they were asked for.
    queue: VecDeque<Queued>,
    /// The queued one that is about to open.
    opening: Option<u64>,
    tickets: u64,
    /// How often guest code was suspended in its midst.
    suspensions: u64,
    waiting: Wakers,
}

#[derive(Debug)]
struct Open {
    serial: u64,
    since: Instant,
    /// It was left while one within it was open.
    is_left: bool,
}

#[derive(Debug)]
struct Queued {
    ticket: u64,
    parent: Option<u64>,
    is_refused: bool,
}

/// A section that is open until it is left or dropped.
#[derive(Debug)]
pub struct Section {
    gate: InputGate,
    serial: u64,
}

/// A section that was asked for and has not opened; dropping it gives it up.
#[derive(Debug)]
pub struct Entry {
    gate: InputGate,
    ticket: u64,
}

impl InputGate {
    /// The present moment: the mark of whatever is asked for at it.
    pub fn now(&self) -> AskedAt {
        AskedAt(self.lock().opened)
    }

    /// Ready when what was asked for at `asked` may return.
    pub fn poll_pass(&self, asked: AskedAt, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.opening.is_none() && state.open.last().is_none_or(|section| section.serial <= asked.0) {
            return Poll::Ready(());
        }
        state.waiting.add(cx.waker());
        Poll::Pending
    }

    /// Whether events may be delivered; if not, `waker` is woken when that may have changed.
    pub fn is_open(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.is_open() {
            return true;
        }
        state.waiting.add(waker);
        false
    }

    /// Whether a section is open or about to open.
    pub fn is_closed(&self) -> bool {
        !self.lock().is_open()
    }

    /// Whether the section that is open had opened when this was asked for, so that it is the section's
    /// own and the section may be waiting for it.
    pub fn is_of_section(&self, asked: AskedAt) -> bool {
        self.lock().open.last().is_some_and(|section| section.serial <= asked.0)
    }

    /// Since when the outermost section has been open.
    pub fn closed_since(&self) -> Option<Instant> {
        self.lock().open.first().map(|section| section.since)
    }

    /// Says that guest code stops in its midst and goes on later from the same place, with other code of
    /// the guest waiting behind it.
    pub fn note_suspension(&self) {
        self.lock().suspensions += 1;
    }

    /// Asks for a section: within `parent`, or in the queue. Fails if it would be nested too deeply, or if
    /// the parent is not open any more.
    pub fn ask(&self, parent: Option<&Section>) -> Result<Entry, Failure> {
        let mut state = self.lock();
        let mut depth = 1;
        if let Some(parent) = parent {
            let at = state.open.iter().position(|open| open.serial == parent.serial && !open.is_left);
            depth += at.ok_or_else(parent_left)? + 1;
        }
        if depth > limits::SECTIONS_NESTED_MAX {
            let text = "blockConcurrencyWhile() calls are nested too deeply.";
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        state.tickets += 1;
        let ticket = state.tickets;
        let parent = parent.map(|parent| parent.serial);
        state.queue.push_back(Queued { ticket, parent, is_refused: false });
        state.choose_next();
        Ok(Entry { gate: self.clone(), ticket })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("BUG: a gate's lock is never held over a panic")
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.open.is_empty() && self.opening.is_none()
    }

    /// Finds the section that opens next: the first that was asked for within the innermost one.
    fn choose_next(&mut self) {
        let innermost = self.open.last().map(|section| section.serial);
        if self.opening.is_none() {
            let next = self.queue.iter().find(|queued| queued.parent == innermost && !queued.is_refused);
            self.opening = next.map(|queued| queued.ticket);
        }
        self.waiting.wake_all();
    }

    fn take(&mut self, ticket: u64) {
        self.queue.retain(|queued| queued.ticket != ticket);
        if self.opening == Some(ticket) {
            self.opening = None;
        }
    }

    fn leave(&mut self, serial: u64) {
        let Some(section) = self.open.iter_mut().find(|open| open.serial == serial && !open.is_left) else {
            return;
        };
        section.is_left = true;
        let parent = Some(serial);
        self.queue.iter_mut().filter(|queued| queued.parent == parent).for_each(|q| q.is_refused = true);
        if self.queue.iter().any(|queued| queued.is_refused && self.opening == Some(queued.ticket)) {
            self.opening = None;
        }
        while self.open.last().is_some_and(|section| section.is_left) {
            self.open.pop();
        }
        self.choose_next();
    }
}

fn parent_left() -> Failure {
    let text = "the critical section within which another was to open has been left; enter the inner one \
                while the outer one is open";
    Failure::new(ErrorCode::SectionLeft, text)
}

impl Entry {
    /// Waits for the section's turn and opens it. Never ready at its first poll: the turn before it is
    /// committed, and guest code that was on its way when the section was asked for has run (T6). Such code
    /// cannot be called back, and what it asks for is not the section's.
    pub async fn open(self) -> Result<Section, Failure> {
        // The engine polls once without a waker that means anything.
        yield_now().await;
        loop {
            poll_fn(|cx| self.poll_next_to_open(cx)).await?;
            let before = self.gate.lock().suspensions;
            if !is_planted(Mutation::OpenSectionEarly) {
                // Woken only after the whole task has been polled, and then no guest code is ready to run.
                yield_now().await;
            }
            let mut state = self.gate.lock();
            let may_open = state.opening == Some(self.ticket);
            if may_open && state.suspensions == before {
                state.take(self.ticket);
                state.opened += 1;
                let serial = state.opened;
                state.open.push(Open { serial, since: Instant::now(), is_left: false });
                state.choose_next();
                drop(state);
                return Ok(Section { gate: self.gate.clone(), serial });
            }
        }
    }

    fn poll_next_to_open(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut state = self.gate.lock();
        if state.opening == Some(self.ticket) {
            return Poll::Ready(Ok(()));
        }
        if state.queue.iter().any(|queued| queued.ticket == self.ticket && queued.is_refused) {
            return Poll::Ready(Err(parent_left()));
        }
        state.waiting.add(cx.waker());
        Poll::Pending
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.take(self.ticket);
        state.choose_next();
    }
}

impl Section {
    /// Its name.
    pub(crate) fn serial(&self) -> SectionSerial {
        SectionSerial(self.serial)
    }

    /// Whether it is open, was not left, and none within it is open.
    pub(crate) fn is_innermost(&self) -> bool {
        self.gate.lock().open.last().is_some_and(|open| open.serial == self.serial && !open.is_left)
    }

    /// Whether it was not left.
    pub(crate) fn is_entered(&self) -> bool {
        self.gate.lock().open.iter().any(|open| open.serial == self.serial && !open.is_left)
    }

    /// Leaves the section; once only has an effect. It ends when those within it are left too. The object does
    /// that by [`leave_section`](crate::context::ObjectContext::leave_section), for what lives in it.
    pub(crate) fn leave(&self) {
        self.gate.lock().leave(self.serial);
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests;
