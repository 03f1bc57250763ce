//! One frame on its way from the output gate to the sockets of those who are to get it.
//!
//! It has a place in each of their queues from the beginning, so that letting it out needs no room and cannot fail.

use std::sync::Arc;

use durabo_model::limits::SOCKET_FRAME_BYTES_COUNTED;

use super::{CloseReason, Closer, Frame, Socket};
use crate::byte_budget::Hold;

/// A frame and its receivers.
pub struct Sending {
    to: Vec<Arc<Socket>>,
    frame: Frame,
    places: Hold,
    /// Who has asked for it, if it is a closing frame.
    closer: Option<Closer>,
}

impl Sending {
    /// `places` are those that the frame was given with (`SocketMemory`), one for each receiver.
    pub(crate) fn new(to: Vec<Arc<Socket>>, frame: Frame, places: Hold) -> Self {
        debug_assert!(
            places.bytes() >= to.len() * SOCKET_FRAME_BYTES_COUNTED,
            "BUG: there are more receivers"
        );
        Self { to, frame, places, closer: None }
    }

    /// A closing frame, with its place.
    pub(crate) fn closing(to: Arc<Socket>, reason: CloseReason, place: Hold, closer: Closer) -> Self {
        Self { closer: Some(closer), ..Self::new(vec![to], Frame::Close(reason), place) }
    }

    /// Bytes that it occupies.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.bytes() + self.to.len() * SOCKET_FRAME_BYTES_COUNTED
    }

    /// Sockets that it goes to.
    pub(crate) fn receivers(&self) -> usize {
        self.to.len()
    }

    /// Hands the frame to so many of its receivers; whether some are left.
    pub(crate) fn leave_to(&mut self, receivers_max: usize) -> bool {
        for socket in self.to.drain(self.to.len().saturating_sub(receivers_max)..) {
            socket.push(self.frame.clone(), self.places.split(SOCKET_FRAME_BYTES_COUNTED));
        }
        !self.to.is_empty()
    }

    /// It was asked for in a turn that is undone.
    pub(crate) fn undo(self) {
        if let Some(closer) = self.closer {
            self.to.iter().for_each(|socket| socket.close_undone(closer));
        }
    }
}
