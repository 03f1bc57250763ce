//! What the sockets of one object hold in memory: frames for clients, and what clients have sent.
//!
//! A frame counts from the moment at which the guest asks for it until its clients' connections have taken it: what
//! it carries once, since all receivers share it, and a little for each of them. So a guest is refused at once when
//! it asks for more than there is room for, and no client that reads pays for it.

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::SOCKET_FRAME_BYTES_COUNTED;

use super::{Frame, Message};
use crate::byte_budget::{Budget, Hold};

/// The budgets of an object's sockets.
#[derive(Debug)]
pub(crate) struct SocketMemory {
    /// Frames that the guest has asked for and that are not on their connections.
    pub outgoing: Budget,
    /// Messages of clients, those included that have not come whole.
    pub incoming: Budget,
    /// Bytes of frames that may wait for one client, with room in `outgoing`.
    pub client_bytes_max: usize,
}

impl SocketMemory {
    /// Makes a frame for so many sockets, and holds a place for it in the queue of each. Refused if the frames that
    /// wait would be too many.
    pub(crate) fn frame(&self, message: Message, receivers: usize) -> Result<(Frame, Hold), Failure> {
        let bytes = message.bytes();
        let places_bytes = receivers.saturating_mul(SOCKET_FRAME_BYTES_COUNTED);
        let Some(mut hold) = self.outgoing.try_hold(bytes.saturating_add(places_bytes)) else {
            return Err(self.refusal(bytes));
        };
        let places = hold.split(places_bytes);
        let counted = |bytes: Vec<u8>| Bytes::from_owner(Payload { bytes, _hold: hold });
        let frame = match message {
            Message::Text(text) => Frame::Text(counted(text.into_bytes())),
            Message::Binary(bytes) => Frame::Binary(counted(bytes)),
        };
        Ok((frame, places))
    }

    /// A place in the queue of one socket, for what must not be refused.
    pub(crate) fn place(&self) -> Hold {
        self.outgoing.hold(SOCKET_FRAME_BYTES_COUNTED)
    }

    fn refusal(&self, bytes: usize) -> Failure {
        let (held, max) = (self.outgoing.held(), self.outgoing.bytes_max());
        let text = format!(
            "the frames that have not left the object are {held} bytes and would be more than {max} with this one \
             of {bytes}; wait until clients have taken some before more are sent"
        );
        Failure::new(ErrorCode::LimitExceeded, text)
    }
}

/// What a frame carries; dropped, and no longer counted, when the last connection has written it.
struct Payload {
    bytes: Vec<u8>,
    _hold: Hold,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn memory() -> SocketMemory {
        SocketMemory {
            outgoing: Budget::new(512 * MIB).within(64 * MIB),
            incoming: Budget::new(512 * MIB),
            client_bytes_max: 16 * MIB,
        }
    }

    fn message() -> Message {
        Message::Binary(vec![0; MIB])
    }

    #[test]
    fn a_guest_that_asks_for_more_than_there_is_room_for_is_told_so() {
        let memory = memory();
        let asked: Vec<_> = std::iter::from_fn(|| memory.frame(message(), 1).ok()).take(10_000).collect();
        assert_eq!(asked.len(), 63, "each has a place besides");
        let failure = memory.frame(message(), 1).expect_err("too much");
        assert_eq!(failure.listed_code(), Some(ErrorCode::LimitExceeded));
        assert!(failure.message.contains("67108864") && failure.message.contains("1048576"), "{failure}");
        assert!(memory.frame(Message::Text("small".to_owned()), 1).is_ok());
        drop(asked);
        assert_eq!(memory.outgoing.held(), 0);
    }

    #[test]
    fn what_a_broadcast_carries_counts_once_until_nobody_has_it_and_each_receiver_a_little() {
        let memory = memory();
        let (frame, places) = memory.frame(message(), 10_000).expect("room");
        assert_eq!(memory.outgoing.held(), MIB + 10_000 * SOCKET_FRAME_BYTES_COUNTED);
        let Frame::Binary(of_one) = frame.clone() else { panic!("not bytes") };
        drop((frame, places));
        assert_eq!(memory.outgoing.held(), MIB);
        let tail = of_one.slice(MIB - 1..);
        drop(of_one);
        assert_eq!(memory.outgoing.held(), MIB, "a connection writes the rest");
        drop(tail);
        assert_eq!(memory.outgoing.held(), 0);
    }

    #[test]
    fn frames_without_number_are_refused_however_small_they_are() {
        let memory = memory();
        let _asked = memory.frame(Message::Text(String::new()), 64 * MIB / SOCKET_FRAME_BYTES_COUNTED);
        assert!(memory.frame(Message::Text(String::new()), 1).is_err());
    }
}
