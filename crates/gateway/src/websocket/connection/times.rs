//! What a connection does as time goes by: it looks whether the client is still there, whether a message that has begun
//! goes on, and whether the client takes what stands before a closing frame.
//!
//! What counts as a sign of life is what the client can give: an answer to a ping that was sent and whose answer was
//! read, or that it takes some of what is on its way. One to which nothing can be written any more gives none.

use std::task::Context;

use durabo_model::limits::{SOCKET_MESSAGE_BYTES_MAX, SOCKET_SHARE_BYTES_MIN};
use durabo_objects::socket::{Closing, SocketClient};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Connection, End};
use crate::websocket::frames::Fault;

/// What a client has to take within the time for closing, of what comes before the closing frame.
const TAKEN_BYTES_MIN: u64 = 16 * 1024;

/// What may stand before the answer to a closing frame: what was on its way when the client got that frame, and the
/// message that it was sending then, which it has to end. Linux lets the node's buffer for a connection grow to 6 MiB
/// and the client's to 4 MiB; the rest of 16 MiB is for what lies between them. A client that sends more does not mean
/// to answer: it would keep its place, and its object awake, without end.
const BEFORE_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024 + SOCKET_MESSAGE_BYTES_MAX;

/// What has to come of a message within the time of silence, once more of it is held than everybody may have.
const GROWN_BYTES_MIN: usize = 16 * 1024;

impl<I: AsyncRead + AsyncWrite + Unpin, P> Connection<I, P> {
    /// Does what is due.
    pub(super) fn look_at_the_time(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.look_at_closing();
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.has_sent_close && !self.is_deaf {
                // The answer may have come, behind messages for which the object has no room.
                let was_reading = std::mem::replace(&mut self.is_reading, true);
                if was_reading || self.read_since_close > BEFORE_ANSWER_BYTES_MAX {
                    return Err(End::Lost);
                }
                self.timer.as_mut().reset(Instant::now() + self.times.close_timeout);
                continue;
            }
            if let Some(closing) = self.closing.filter(|_| !self.is_deaf) {
                let taken = self.outbox.written();
                let goes_on = taken - self.taken_before >= TAKEN_BYTES_MIN;
                if closing == Closing::FellBehind || !goes_on {
                    return Err(End::Lost);
                }
                self.taken_before = taken;
                self.timer.as_mut().reset(Instant::now() + self.times.close_timeout);
                continue;
            }
            self.timer.as_mut().reset(Instant::now() + self.times.silence_max);
            let was_reading = std::mem::replace(&mut self.is_reading, true);
            self.look_at_the_message(was_reading);
            // Behind a closing frame nothing is asked.
            if !self.is_lingering {
                self.look_for_life(was_reading)?;
            }
            self.write(cx)?;
        }
        Ok(())
    }

    /// Whether the client is still there, asked when it has been silent for as long as it may be.
    fn look_for_life(&mut self, was_reading: bool) -> Result<(), End> {
        if self.is_deaf {
            // What it sends is no sign: only its end is wanted, which is there if the connection is broken.
            return if was_reading { Err(End::Lost) } else { Ok(()) };
        }
        if std::mem::take(&mut self.is_alive) {
            (self.has_pinged, self.taken_when_full) = (false, None);
            return Ok(());
        }
        let was_asked = if self.outbox.has_room() {
            self.taken_when_full = None;
            std::mem::replace(&mut self.has_pinged, true)
        } else {
            // A ping would stand behind what the client is taking: that it takes some of it is as good an answer.
            self.has_pinged = false;
            let taken = self.outbox.written();
            self.taken_when_full.replace(taken) == Some(taken)
        };
        // An answer that is not read is none that did not come.
        if was_asked && was_reading {
            return Err(End::Lost);
        }
        // In any case, since a connection that is broken is found by writing to it.
        if self.has_pinged {
            self.outbox.ping();
        }
        Ok(())
    }

    /// Whether a message that has begun to come goes on: one that does not would keep others out of the memory that
    /// is for all messages, for as long as its client likes.
    fn look_at_the_message(&mut self, was_reading: bool) {
        let unfinished = self.reader.unfinished().filter(|(_, bytes)| *bytes > SOCKET_SHARE_BYTES_MIN);
        let before = std::mem::replace(&mut self.unfinished, unfinished);
        let (Some((message, bytes)), Some((message_before, bytes_before))) = (unfinished, before) else {
            return;
        };
        if was_reading && message == message_before && bytes - bytes_before < GROWN_BYTES_MIN {
            let text = "a message was begun and does not go on; send it again when all of it is there";
            self.fail(Fault { code: 1008, text: text.to_owned() });
        }
    }

    /// Begins to wait for the closing frame as soon as it is on its way to here: a client that takes nothing of what
    /// stands before it would never get it.
    fn look_at_closing(&mut self) {
        let closing = self.client.as_ref().and_then(SocketClient::closing);
        if !self.has_sent_close && !self.is_deaf && closing != self.closing {
            self.closing = closing;
            self.taken_before = self.outbox.written();
            self.timer.as_mut().reset(Instant::now() + self.times.close_timeout);
        }
    }
}
