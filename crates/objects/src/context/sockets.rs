//! The object's sockets, as its guest uses them: accepted, found, sent to, closed.
//!
//! What is checked here is what the contract says of arguments and states (WS-2 to WS-13, WS-22 to WS-28). Frames
//! take their place in the output gate at the moment at which the guest asks (OG-3), and are the socket's as soon
//! as they have left: the instance may go then (WS-30).

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, cut};
use durabo_model::limits;
use durabo_model::time::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::ObjectContext;
use super::lifecycle::ResetOf;
use crate::address::ObjectAddress;
use crate::control::{Ending, OldSockets};
use crate::output_gate::Effect;
use crate::socket::{
    CloseNoted, CloseReason, Closer, Lifetime, Message, ReadyState, Sending, Socket, SocketId, SocketOwner,
    Upgrade,
};
use crate::sockets::{AutoResponse, ObjectSockets, SocketParts};

/// Bytes of a tag that an error repeats.
const ECHO_BYTES_MAX: usize = 100;

/// What is known of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInfo {
    /// Distinct, in the order of first appearance (WS-9).
    pub tags: Vec<String>,
    /// How far it is.
    pub state: ReadyState,
    /// Whether the object may leave memory.
    pub lifetime: Lifetime,
    /// Sub-protocol; empty for none.
    pub protocol: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Last automatic answer (WS-26).
    pub auto_response: Option<Timestamp>,
}

impl ObjectContext {
    /// Makes a socket, and the client's end of it, which is to be returned in a response (WS-1).
    pub fn accept_socket(
        &mut self,
        tags: Vec<String>,
        lifetime: Lifetime,
    ) -> Result<(SocketId, Upgrade), Failure> {
        let tags = distinct_tags(tags)?;
        let events = self.in_flight.len();
        self.sockets_or_new().accept(tags, lifetime, events)
    }

    /// Sends a message, after all that was written before (WS-23). Nothing happens if the client is gone. Refused
    /// if too much waits already.
    pub fn send_to_socket(&self, id: SocketId, message: Message) -> Result<(), Failure> {
        check_message(&message)?;
        let Some((sockets, socket)) = self.socket(id) else { return Ok(()) };
        match socket.closed_by() {
            None => {}
            // The object has not asked for it, and finds it like one whose client has gone.
            Some(Closer::Operator) => return Ok(()),
            Some(Closer::Object) => {
                let text = "Can't call WebSocket send() after close().";
                let failure = Failure::new(ErrorCode::SocketClosed, text);
                return Err(Failure { name: "TypeError".to_owned(), ..failure });
            }
        }
        self.send(sockets, vec![socket], message)
    }

    /// Sends a message to all open sockets, or to those with a tag, but not to some; returns to how many (WS-34).
    /// One that is too large goes to nobody, and so does one for which too much waits already.
    pub fn broadcast(&self, tag: Option<&str>, message: Message, except: &[SocketId]) -> usize {
        let Some(sockets) = &self.sockets else { return 0 };
        let sent = check_message(&message).and_then(|()| {
            let except = excepted(except)?;
            let mut receivers = sockets.with_tag(tag);
            receivers.retain(|socket| {
                matches!(socket.ready_state(), ReadyState::Open | ReadyState::Connecting)
                    && !except.contains(&socket.id)
            });
            let count = receivers.len();
            if count > 0 {
                self.send(sockets, receivers, message)?;
            }
            Ok(count)
        });
        sent.unwrap_or_else(|failure| {
            let (class, object) = (self.identity.class.as_str(), self.identity.key.id);
            error!(target: "guest", class, %object, %failure, "nothing was broadcast");
            0
        })
    }

    /// Puts a message into the gate. Refused if too much waits already.
    pub(super) fn send(
        &self,
        of: &ObjectSockets,
        to: Vec<Arc<Socket>>,
        message: Message,
    ) -> Result<(), Failure> {
        let made = of.memory().frame(message, to.len());
        let (frame, places) = made.map_err(|failure| failure.of_object(self.identity.key.id))?;
        self.gate.release_after(self.position(), Effect::Frame(Sending::new(to, frame, places)));
        Ok(())
    }

    /// Starts the closing handshake (WS-22). A second call does nothing.
    pub fn close_socket(
        &self,
        id: SocketId,
        code: Option<u16>,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let reason = close_reason(code, reason)?;
        let Some((sockets, socket)) = self.socket(id) else { return Ok(()) };
        match socket.close_by(Closer::Object) {
            CloseNoted::First => self.send_close(sockets, socket, reason, Closer::Object),
            CloseNoted::BesideOperator => {
                // There is no frame with which this would be undone.
                let noted = move |leave: Result<(), Failure>| {
                    if leave.is_err() {
                        socket.close_undone(Closer::Object);
                    }
                };
                self.gate.release_after(self.position(), Effect::Send(Box::new(noted)));
            }
            CloseNoted::Already => {}
        }
        Ok(())
    }

    /// Puts a closing frame into the gate.
    pub(super) fn send_close(&self, of: &ObjectSockets, to: Arc<Socket>, reason: CloseReason, by: Closer) {
        let closing = Sending::closing(to, reason, of.memory().place(), by);
        self.gate.release_after(self.position(), Effect::Frame(closing));
    }

    /// Sockets whose last event is not completely handled, all or those with a tag, in the order of their
    /// acceptance (WS-7, WS-8).
    pub fn list_sockets(&self, tag: Option<&str>) -> Vec<SocketId> {
        let sockets = self.sockets.as_ref().map(|sockets| sockets.with_tag(tag)).unwrap_or_default();
        sockets.iter().map(|socket| socket.id).collect()
    }

    /// What is known of a socket, unless it is gone.
    pub fn socket_info(&self, id: SocketId) -> Option<SocketInfo> {
        let (_, socket) = self.socket(id)?;
        Some(SocketInfo {
            tags: socket.tags.clone(),
            state: socket.ready_state(),
            lifetime: socket.lifetime,
            protocol: socket.protocol(),
            accepted: socket.accepted,
            auto_response: socket.auto_response(),
        })
    }

    /// How far a socket is; one that is gone is closed.
    pub fn socket_state(&self, id: SocketId) -> ReadyState {
        self.socket(id).map_or(ReadyState::Closed, |(_, socket)| socket.ready_state())
    }

    /// Keeps a small value with a socket (WS-11). Nothing happens if it is gone.
    pub fn set_socket_attachment(&self, id: SocketId, attachment: Vec<u8>) -> Result<(), Failure> {
        let max = limits::SOCKET_ATTACHMENT_BYTES_MAX;
        if attachment.len() > max {
            let text = format!(
                "A WebSocket 'attachment' cannot be larger than {max} bytes. 'attachment' was {} bytes.",
                attachment.len()
            );
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        if let Some((_, socket)) = self.socket(id) {
            socket.set_attachment(attachment);
        }
        Ok(())
    }

    /// The last value that was kept with a socket (WS-12).
    pub fn socket_attachment(&self, id: SocketId) -> Option<Vec<u8>> {
        self.socket(id)?.1.attachment()
    }

    /// Sets or unsets what is answered without the object (WS-24, WS-25).
    pub fn set_auto_response(&mut self, pair: Option<(String, String)>) -> Result<(), Failure> {
        let max = limits::SOCKET_AUTO_RESPONSE_BYTES_MAX;
        if let Some((request, response)) = &pair {
            for (what, text) in [("Request", request), ("Response", response)] {
                if text.len() > max {
                    let size = text.len();
                    let text = format!(
                        "{what} cannot be larger than {max} bytes. A {} of size {size} was provided.",
                        what.to_lowercase()
                    );
                    let failure = Failure::new(ErrorCode::LimitExceeded, text);
                    return Err(Failure { name: "RangeError".to_owned(), ..failure });
                }
            }
        }
        let pair = pair.map(|(request, response)| AutoResponse { request, response: response.into() });
        if pair.is_some() || self.sockets.is_some() {
            self.sockets_or_new().set_auto_response_pair(pair);
        }
        Ok(())
    }

    /// What is answered without the object.
    pub fn auto_response(&self) -> Option<(String, String)> {
        let AutoResponse { request, response } = self.sockets.as_ref()?.auto_response_pair()?;
        Some((request, String::from_utf8_lossy(&response).into_owned()))
    }

    /// Sets or unsets how long a handler of a socket's event may take (WS-28).
    pub fn set_socket_event_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        let max = limits::SOCKET_EVENT_TIMEOUT_MAX;
        if timeout.is_some_and(|timeout| timeout > max) {
            let text = format!("Event timeout should not exceed {} ms.", max.as_millis());
            return Err(Failure::new(ErrorCode::InvalidArgument, text));
        }
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        if timeout.is_some() || self.sockets.is_some() {
            self.sockets_or_new().set_event_timeout(timeout);
        }
        Ok(())
    }

    /// How long a handler of a socket's event may take.
    pub fn socket_event_timeout(&self) -> Option<Duration> {
        self.sockets.as_ref()?.event_timeout()
    }

    /// Ready when no socket keeps the object in memory (LC-11).
    pub(crate) fn poll_sockets_sleep(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sockets.as_ref().map_or(Poll::Ready(()), |sockets| sockets.poll_may_sleep(cx))
    }

    /// Whether the object is in memory for the client of a socket.
    pub(super) fn is_waited_for_by_socket(&self) -> bool {
        self.sockets.as_ref().is_some_and(|sockets| sockets.is_waited_for())
    }

    /// Ready with the failure for which the instance must be reset when a handler has taken too long (WS-28). The
    /// socket whose event it is goes with it.
    pub(super) fn poll_socket_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let handlers = || self.in_flight.values().filter_map(|event| event.socket.as_ref());
        let next = handlers().filter_map(|handler| Some((handler.over_at?, handler.handling.socket.id)));
        let Some((over_at, socket)) = next.min_by_key(|(over_at, _)| *over_at) else {
            self.instance.socket_limit = None;
            return Poll::Pending;
        };
        let limit = self.instance.socket_limit.get_or_insert_with(|| Box::pin(sleep_until(over_at)));
        if limit.deadline() != over_at {
            limit.as_mut().reset(over_at);
        }
        ready!(limit.as_mut().poll(cx));
        if let Some(sockets) = &self.sockets {
            sockets.cut(socket, "a handler of its event took too long");
        }
        let text = "Actor exceeded event execution time and was disconnected.";
        Poll::Ready(Failure::new(ErrorCode::SocketTimeout, text).of_object(self.identity.key.id))
    }

    /// When a handler that begins now has taken too long.
    pub(super) fn socket_handler_over_at(&self) -> Option<Instant> {
        Some(Instant::now() + self.socket_event_timeout()?)
    }

    /// Whether the sockets outlive the instance that ends for `failure` (D7): a trap or a limit is the guest's
    /// mishap, and a room must not be disconnected for it. A deployment may keep them too.
    pub(super) fn keeps_sockets(&self, of: ResetOf, failure: &Failure) -> bool {
        let is_mishap = !is_planted(Mutation::CutAtTrap)
            && matches!(
                failure.listed_code(),
                Some(
                    ErrorCode::GuestTrapped
                        | ErrorCode::CpuLimitExceeded
                        | ErrorCode::MemoryLimitExceeded
                        | ErrorCode::ImportLimitExceeded
                        | ErrorCode::SectionTimeout
                        | ErrorCode::AlarmTimeout
                        | ErrorCode::PendingWorkTimeout
                        | ErrorCode::SocketTimeout
                )
            );
        let is_deployment = failure.listed_code() == Some(ErrorCode::CodeUpdated)
            && matches!(self.control.ending(), Some((Ending::CodeUpdated(OldSockets::Keep), _)));
        !self.is_broken()
            && (of == ResetOf::Apart
                || is_deployment
                || is_mishap && self.instance.has_started && self.instance.aborted.is_none())
    }

    /// Breaks all sockets off (WS-31).
    pub(crate) fn cut_sockets(&self, why: &str) {
        if let Some(sockets) = &self.sockets {
            sockets.cut_all(why);
        }
    }

    pub(super) fn log_socket_failure(&self, socket: SocketId, failure: &Failure) {
        let (class, object) = (self.identity.class.as_str(), self.identity.key.id);
        error!(target: "guest", class, %object, socket = socket.0, %failure, "handler of a socket's event failed");
    }

    pub(super) fn socket(&self, id: SocketId) -> Option<(&ObjectSockets, Arc<Socket>)> {
        let sockets = self.sockets.as_ref()?;
        Some((sockets, sockets.get(id)?))
    }

    pub(super) fn sockets_or_new(&mut self) -> &Arc<ObjectSockets> {
        self.sockets.get_or_insert_with(|| {
            let (node, identity) = (&self.node, &self.identity);
            ObjectSockets::new(SocketParts {
                address: ObjectAddress {
                    key: identity.key,
                    class: identity.class.clone(),
                    name: identity.name.clone(),
                },
                post: self.post.clone(),
                clock: node.clock.clone(),
                counters: node.counters.clone(),
                limits: &node.limits,
                tail: node.tail.clone(),
                book: node.sockets.clone(),
            })
        })
    }
}

/// The distinct ones in the order of first appearance, unless there are too many or one is too long (WS-3).
pub(super) fn distinct_tags(tags: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut distinct: Vec<String> = Vec::new();
    for tag in tags {
        if distinct.len() == limits::SOCKET_TAGS_MAX {
            let text =
                format!("a Hibernatable WebSocket cannot have more than {} tags", limits::SOCKET_TAGS_MAX);
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        let max = limits::SOCKET_TAG_BYTES_MAX;
        if tag.len() > max {
            let tag = cut(tag, ECHO_BYTES_MAX);
            let text = format!("\"{tag}…\" is longer than the max tag length ({max} characters).");
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        if !distinct.contains(&tag) {
            distinct.push(tag);
        }
    }
    Ok(distinct)
}

/// The sockets that a broadcast leaves out, unless they are more than an object can have: then none of them may be
/// one that is to hear of it.
fn excepted(except: &[SocketId]) -> Result<HashSet<SocketId>, Failure> {
    let (count, max) = (except.len(), limits::SOCKETS_PER_OBJECT_MAX);
    if count <= max {
        return Ok(except.iter().copied().collect());
    }
    let text = format!("{count} sockets are to be left out, the limit is {max}; name each once");
    Err(Failure::new(ErrorCode::LimitExceeded, text))
}

/// Refuses a message that is too large.
pub(crate) fn check_message(message: &Message) -> Result<(), Failure> {
    let (bytes, max) = (message.bytes(), limits::SOCKET_MESSAGE_BYTES_MAX);
    if bytes <= max {
        return Ok(());
    }
    let text = format!("the message is {bytes} bytes, the limit is {max}; send it in several");
    Err(Failure::new(ErrorCode::LimitExceeded, text))
}

/// Code and reason for the closing frame, unless they must not be sent (WS-22).
pub(crate) fn close_reason(code: Option<u16>, reason: Option<String>) -> Result<CloseReason, Failure> {
    let invalid = |name: &str, text: String| {
        Err(Failure { name: name.to_owned(), ..Failure::new(ErrorCode::InvalidArgument, text) })
    };
    let Some(code) = code else {
        return match reason {
            None => Ok(None),
            Some(_) => {
                let text = "If you specify a WebSocket close reason, you must also specify a code.";
                invalid("TypeError", text.to_owned())
            }
        };
    };
    if !(1000..5000).contains(&code) || matches!(code, 1004 | 1005 | 1006 | 1015) {
        return invalid("InvalidAccessError", format!("Invalid WebSocket close code: {code}."));
    }
    let (reason, max) = (reason.unwrap_or_default(), limits::SOCKET_CLOSE_REASON_BYTES_MAX);
    if reason.len() > max {
        let text = format!("WebSocket close reason must not be longer than {max} bytes when UTF-8 encoded.");
        return invalid("SyntaxError", text);
    }
    Ok(Some((code, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(tags: &[&str]) -> Result<Vec<String>, String> {
        distinct_tags(tags.iter().map(|tag| (*tag).to_owned()).collect()).map_err(|failure| failure.message)
    }

    #[test]
    fn ws_3_tags_are_distinct_in_the_order_of_first_appearance() {
        assert_eq!(tags(&["a", "b", "a", ""]), Ok(vec!["a".to_owned(), "b".to_owned(), String::new()]));
    }

    #[test]
    fn ws_3_too_many_tags_and_too_long_ones_are_refused() {
        let ten = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        assert_eq!(tags(&ten).map(|tags| tags.len()), Ok(10));
        let eleven = [&ten[..], &["0"]].concat();
        assert!(tags(&eleven).expect_err("an eleventh").contains("cannot have more than 10 tags"));
        assert!(tags(&[&"x".repeat(256)]).is_ok());
        let text = tags(&[&"ä".repeat(129)]).expect_err("258 bytes");
        assert!(text.contains("longer than the max tag length"), "{text}");
    }

    #[test]
    fn ws_22_codes_and_reasons_that_must_not_be_sent_are_refused() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(close_reason(Some(code), None), Ok(Some((code, String::new()))), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000, u16::MAX] {
            let failure = close_reason(Some(code), None).expect_err("no code to send");
            assert_eq!(failure.message, format!("Invalid WebSocket close code: {code}."));
            assert_eq!(failure.name, "InvalidAccessError");
        }
        assert_eq!(close_reason(None, None), Ok(None));
        assert!(close_reason(None, Some(String::new())).is_err());
        assert!(close_reason(Some(1000), Some("x".repeat(123))).is_ok());
        let failure = close_reason(Some(1000), Some("x".repeat(124))).expect_err("too long");
        assert!(failure.message.contains("123 bytes"), "{failure}");
    }

    #[test]
    fn a_broadcast_leaves_out_as_many_as_an_object_may_have_and_no_more() {
        let ids = |count: usize| (0..count as u64).map(SocketId).collect::<Vec<_>>();
        let except = excepted(&ids(limits::SOCKETS_PER_OBJECT_MAX)).expect("all of an object");
        assert_eq!(except.len(), limits::SOCKETS_PER_OBJECT_MAX);
        let failure = excepted(&ids(limits::SOCKETS_PER_OBJECT_MAX + 1)).expect_err("too many");
        assert!(failure.message.contains("32769") && failure.message.contains("32768"), "{failure}");
    }

    #[test]
    fn b_43_a_message_over_the_limit_is_refused_with_both_sizes() {
        let large = Message::Binary(vec![0; limits::SOCKET_MESSAGE_BYTES_MAX + 1]);
        let failure = check_message(&large).expect_err("too large");
        assert!(failure.message.contains("33554433") && failure.message.contains("33554432"), "{failure}");
    }
}
