//! Who has asked for the end of a socket at the object's side, and what becomes of it when a turn is undone.
//!
//! An operator's close and the object's are noted apart: the object must not send behind its own (WS-23), and need not
//! know of the other.

use durabo_changelog::mutation::{Mutation, is_planted};

use super::Socket;

/// Who has asked for the end of a socket at the object's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closer {
    /// The object itself: it must not send any more (WS-23).
    Object,
    /// An operator: the object need not know, and what it sends is dropped.
    Operator,
}

/// What it comes to that somebody asks for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseNoted {
    /// A closing frame is to be sent.
    First,
    /// An operator's closing frame is on its way, and the object must not send any more from now on.
    BesideOperator,
    /// Nothing: that was asked before, or nobody is there any more.
    Already,
}

/// Who has asked so far; kept over hibernation (WS-23).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClosedBy {
    object: bool,
    operator: bool,
}

impl ClosedBy {
    /// Whether anybody has.
    pub(super) fn is_closing(self) -> bool {
        self.object || self.operator
    }
}

impl Socket {
    /// Notes that it is being closed.
    pub(crate) fn close_by(&self, closer: Closer) -> CloseNoted {
        let mut state = self.lock();
        if state.has_ended || state.is_cut {
            return CloseNoted::Already;
        }
        let before = state.closed_by;
        match closer {
            Closer::Object => state.closed_by.object = true,
            Closer::Operator if before.is_closing() => return CloseNoted::Already,
            Closer::Operator => state.closed_by.operator = true,
        }
        match before {
            ClosedBy { object: true, .. } => CloseNoted::Already,
            ClosedBy { operator: true, .. } => CloseNoted::BesideOperator,
            ClosedBy { .. } => CloseNoted::First,
        }
    }

    /// What `closer` has asked for was undone with its turn.
    pub(crate) fn close_undone(&self, closer: Closer) {
        if is_planted(Mutation::KeepUndoneClose) {
            return;
        }
        let mut state = self.lock();
        match closer {
            Closer::Object => state.closed_by.object = false,
            Closer::Operator => state.closed_by.operator = false,
        }
    }

    /// Who has closed it: the object, if both have.
    pub(crate) fn closed_by(&self) -> Option<Closer> {
        match self.lock().closed_by {
            ClosedBy { object: true, .. } => Some(Closer::Object),
            ClosedBy { operator: true, .. } => Some(Closer::Operator),
            ClosedBy { .. } => None,
        }
    }
}
