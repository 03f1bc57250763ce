//! A client at the other end of a socket in a seeded run: what it sends and gets, and what must be true of both.
//!
//! Each frame shows all numbers of the object in the turn that sent it, the last of which is the number of the message
//! that is answered; so a frame that left before its turn was durable, or whose turn was undone, gives itself away.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use durabo_objects::socket::{Frame, Incident, Message, SocketClient, SocketId};

use crate::act::{Act, message, numbers_in};
use crate::fake_socket::{CLOSE_CODE, Delivered};
use crate::model::Model;

/// A message and what it asks for.
struct Sent {
    number: u64,
    is_answered: bool,
    closes: bool,
}

/// One client, of a socket that was joined.
pub(crate) struct ModelClient {
    pub object: u64,
    pub socket: SocketId,
    /// Reads only when it is told to.
    pub is_slow: bool,
    /// `None` once it has left, or was cut.
    end: Option<SocketClient>,
    waiting: VecDeque<(Sent, Message)>,
    sent: Vec<Sent>,
    /// The last number of each frame.
    shown: Vec<u64>,
    /// How many numbers the newest frame showed.
    shown_count: usize,
    /// The closing frame that it got.
    close: Option<(u16, String)>,
    has_left: bool,
    is_cut: bool,
}

impl ModelClient {
    pub fn new(object: u64, socket: SocketId, end: SocketClient, is_slow: bool) -> Self {
        Self {
            object,
            socket,
            is_slow,
            end: Some(end),
            waiting: VecDeque::new(),
            sent: Vec::new(),
            shown: Vec::new(),
            shown_count: 0,
            close: None,
            has_left: false,
            is_cut: false,
        }
    }

    /// Whether it is still there.
    pub fn is_there(&self) -> bool {
        self.end.is_some()
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub fn frames(&self) -> u64 {
        self.shown.len() as u64
    }

    pub fn closing_code(&self) -> Option<u16> {
        self.close.as_ref().map(|(code, _)| *code)
    }

    /// Wants to send a message whose handler does this; the first act writes its number.
    pub fn want(&mut self, acts: &[Act]) {
        let Some(Act::Write(number, _)) = acts.first() else {
            panic!("a message without a number: {acts:?}")
        };
        // What the first turn does.
        let turn = || acts.iter().take_while(|act| !matches!(act, Act::Wait | Act::Pause(_) | Act::Enter));
        let sent = Sent {
            number: *number,
            is_answered: turn().any(|act| matches!(act, Act::SendBack | Act::SendToAll)),
            closes: turn().any(|act| *act == Act::CloseSocket),
        };
        self.waiting.push_back((sent, message(acts)));
    }

    /// Sends what there is room for, as a connection does.
    pub fn send(&mut self) {
        if self.end.as_ref().is_some_and(SocketClient::is_cut) {
            (self.end, self.is_cut) = (None, true);
        }
        let Some(end) = &self.end else { return };
        while end.has_room()
            && let Some((sent, message)) = self.waiting.pop_front()
        {
            end.receive(message);
            self.sent.push(sent);
        }
    }

    /// Takes all frames that have come.
    pub fn read(&mut self, model: &mut Model) -> Result<(), String> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Some(end) = &self.end
            && let Poll::Ready(frame) = end.poll_frame(&mut cx)
        {
            let Some(frame) = frame else {
                self.is_cut = true;
                self.end = None;
                return Ok(());
            };
            self.take(frame, model)?;
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame, model: &mut Model) -> Result<(), String> {
        let object = self.object;
        if let Some(close) = &self.close {
            return Err(format!("object {object}: {frame:?} came behind the closing frame {close:?}"));
        }
        match frame {
            Frame::Binary(bytes) => {
                let numbers = numbers_in(&bytes);
                model.observe(object, &numbers)?;
                if numbers.len() <= self.shown_count {
                    return Err(format!("object {object}: a frame came twice or out of order: {numbers:?}"));
                }
                self.shown_count = numbers.len();
                self.shown.extend(numbers.last());
                Ok(())
            }
            Frame::Close(Some((CLOSE_CODE, number))) => {
                let number = number.parse().map_err(|_| format!("object {object}: closed for `{number}`"))?;
                model.promised(object, number)?;
                self.close = Some((CLOSE_CODE, String::new()));
                Ok(())
            }
            Frame::Close(reason) => {
                self.close = Some(reason.unwrap_or((1005, String::new())));
                Ok(())
            }
            Frame::Text(text) => Err(format!("object {object}: nobody sends {text:?}")),
        }
    }

    /// Ends the connection as a client should.
    pub fn close(&mut self) {
        if let Some(end) = self.end.take() {
            let (code, reason) = self.close.clone().unwrap_or((1000, "done".to_owned()));
            end.end(Incident::Close { code, reason, was_clean: true });
            self.has_left = true;
        }
    }

    /// Is lost.
    pub fn vanish(&mut self) {
        if let Some(end) = self.end.take() {
            drop(end);
            self.has_left = true;
        }
    }

    /// Lets go of it without telling the object, as a node that stops does.
    pub fn forget(&mut self) {
        if let Some(end) = self.end.take() {
            end.forget();
            self.is_cut = true;
        }
    }

    /// Looks at what has reached the guest of it, at any time: in order, one at a time, its end once and last.
    pub fn judge_deliveries(&self, deliveries: &[Delivered]) -> Result<(), String> {
        let said = |what: &str| Err(format!("object {}, socket {}: {what}", self.object, self.socket.0));
        let mut sent = self.sent.iter();
        let (mut is_handled, mut has_ended) = (false, false);
        for delivered in deliveries.iter().filter(|delivered| delivered.socket() == self.socket) {
            match delivered {
                Delivered::Accepted(..) => continue,
                Delivered::Over(_) => {
                    is_handled = false;
                    continue;
                }
                _ if is_handled => return said("an event began before the one before had ended"),
                _ if has_ended => return said("something came behind its end"),
                Delivered::Message(_, number) => match sent.next() {
                    Some(next) if next.number == *number => {}
                    Some(next) => {
                        return said(&format!("message {number} came, when {} was next", next.number));
                    }
                    None => return said(&format!("message {number} came twice")),
                },
                Delivered::Last(_) => has_ended = true,
            }
            is_handled = true;
        }
        Ok(())
    }

    /// Looks at everything when nothing is under way any more; `held` are the object's numbers. Of a socket that
    /// was cut, or may have been, less is known.
    pub fn judge_at_rest(
        &self,
        deliveries: &[Delivered],
        held: &[u64],
        may_be_cut: bool,
    ) -> Result<(), String> {
        let said = |what: String| Err(format!("object {}, socket {}: {what}", self.object, self.socket.0));
        self.judge_deliveries(deliveries)?;
        if let Some(number) = self.shown.iter().find(|number| !held.contains(number)) {
            return said(format!("a frame showed {number}, which is not there"));
        }
        if self.is_cut || may_be_cut && self.has_left {
            return if may_be_cut { Ok(()) } else { said("it was cut for no reason".to_owned()) };
        }
        let of_this = || deliveries.iter().filter(|delivered| delivered.socket() == self.socket);
        let came = of_this().filter(|delivered| matches!(delivered, Delivered::Message(..))).count();
        if came < self.sent.len() {
            return said(format!("message {} was lost", self.sent[came].number));
        }
        let ends = of_this().filter(|delivered| matches!(delivered, Delivered::Last(_))).count();
        if ends != usize::from(self.has_left) {
            return said(format!("its end came {ends} times, and it has left: {}", self.has_left));
        }
        if self.has_left || self.close.is_some() {
            return Ok(());
        }
        for sent in self.sent.iter().filter(|sent| held.contains(&sent.number)) {
            if sent.closes {
                return said(format!("message {} has closed it, and no closing frame came", sent.number));
            }
            if sent.is_answered && !self.shown.contains(&sent.number) {
                return said(format!("the answer to message {} was lost", sent.number));
            }
        }
        Ok(())
    }
}
