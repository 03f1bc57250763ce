//! What the other side sends on a WebSocket, from its bytes: whole messages and control frames, or the code with
//! which the connection has to be closed (WS-17, WS-18).
//!
//! Takes bytes as they come and keeps only what is not whole yet, so that an idle connection has no buffer and one
//! that sends a large message holds what has come of it and not what it has announced.

use std::io::Cursor;

use durabo_model::limits::SOCKET_MESSAGE_BYTES_MAX;
use durabo_objects::socket::{CloseReason, Message};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::masks::{self, Mask};

/// Longest head of a frame.
const HEAD_BYTES_MAX: usize = 14;

/// Longest control frame.
const CONTROL_BYTES_MAX: u64 = 125;

/// What is taken of an announced length at once.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// What the memory of a whole message may be larger than the message, since nobody counts that: a message grows by
/// doubling. Less is not worth moving it.
const SPARE_BYTES_MAX: usize = 1024;

/// Something whole.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// A message, its fragments joined.
    Message(Message),
    /// To be answered with a pong of the same bytes.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// The other side has ended.
    Close(CloseReason),
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of the closing frame.
    pub code: u16,
    /// For people.
    pub text: String,
}

impl Fault {
    fn protocol(text: impl Into<String>) -> Self {
        Self { code: CloseCode::Protocol.into(), text: text.into() }
    }
}

/// Who sends the frames that are read.
#[derive(Debug, Clone, Copy, Default)]
enum Sender {
    /// A client, which must mask them.
    #[default]
    Client,
    /// A server, which must not.
    Server,
}

/// Reads what the other side sends; by default it is a client.
#[derive(Debug, Default)]
pub struct FrameReader {
    sender: Sender,
    /// The beginning of a head that has not come whole.
    head: Vec<u8>,
    frame: Option<FrameUnderWay>,
    /// Of a control frame, which may come between the fragments of a message.
    control: Vec<u8>,
    message: Option<Fragments>,
    /// Messages that have begun.
    messages: u64,
}

#[derive(Debug)]
struct FrameUnderWay {
    opcode: OpCode,
    is_final: bool,
    /// `None` for bytes that come as they are.
    mask: Option<Mask>,
    /// Bytes of it that have come.
    taken: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
}

impl FrameReader {
    /// Bytes that what has come of a message takes.
    pub fn held_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }

    /// Reads what a server sends.
    pub fn of_server() -> Self {
        Self { sender: Sender::Server, ..Self::default() }
    }

    /// The number of the message that has not come whole, and bytes of it that have come.
    pub fn unfinished(&self) -> Option<(u64, usize)> {
        self.message.as_ref().map(|message| (self.messages, message.bytes.len()))
    }

    /// Takes bytes off the front of `input` until something is whole; `None` if all are taken and nothing is.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Fault> {
        loop {
            if self.frame.is_none() && !self.begin_frame(input)? {
                return Ok(None);
            }
            let frame = self.frame.as_mut().expect("BUG: a frame has begun");
            let wanted = usize::try_from(frame.bytes - frame.taken).unwrap_or(usize::MAX);
            let (payload, rest) = input.split_at(wanted.min(input.len()));
            *input = rest;
            let target = match (frame.opcode, &mut self.message) {
                (OpCode::Data(_), Some(message)) => &mut message.bytes,
                _ => &mut self.control,
            };
            let at = target.len();
            target.extend_from_slice(payload);
            if let Some(mask) = frame.mask {
                masks::apply(&mut target[at..], mask, frame.taken);
            }
            frame.taken += payload.len() as u64;
            if frame.taken < frame.bytes {
                return Ok(None);
            }
            if let Some(received) = self.end_frame()? {
                return Ok(Some(received));
            }
        }
    }

    /// Reads a head, if it is whole.
    fn begin_frame(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        let known = self.head.len();
        let more = input.len().min(HEAD_BYTES_MAX - known);
        self.head.extend_from_slice(&input[..more]);
        let mut cursor = Cursor::new(&self.head);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|error| Fault::protocol(error.to_string()))?;
        let Some((header, bytes)) = parsed else {
            *input = &input[more..];
            return Ok(false);
        };
        let read = usize::try_from(cursor.position()).expect("BUG: a head is short");
        *input = &input[read - known..];
        self.head = Vec::new();
        let mask = self.check_head(&header, bytes)?;
        let FrameHeader { opcode, is_final, .. } = header;
        if let OpCode::Data(Data::Text | Data::Binary) = opcode {
            let is_text = opcode == OpCode::Data(Data::Text);
            self.message = Some(Fragments { is_text, bytes: Vec::new() });
            self.messages += 1;
        }
        if let (OpCode::Data(_), Some(message)) = (opcode, &mut self.message) {
            let announced = usize::try_from(bytes).unwrap_or(usize::MAX);
            message.bytes.reserve(announced.min(RESERVED_BYTES_MAX));
        }
        self.frame = Some(FrameUnderWay { opcode, is_final, mask, taken: 0, bytes });
        Ok(true)
    }

    fn check_head(&self, header: &FrameHeader, bytes: u64) -> Result<Option<Mask>, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::protocol(ProtocolError::NonZeroReservedBits.to_string()));
        }
        let mask = header.mask;
        let fault = match (self.sender, mask) {
            (Sender::Client, None) => Some(ProtocolError::UnmaskedFrameFromClient),
            (Sender::Server, Some(_)) => Some(ProtocolError::MaskedFrameFromServer),
            (Sender::Client, Some(_)) | (Sender::Server, None) => None,
        };
        if let Some(fault) = fault {
            return Err(Fault::protocol(fault.to_string()));
        }
        let fault = match (header.opcode, &self.message) {
            (OpCode::Control(_), _) if !header.is_final => ProtocolError::FragmentedControlFrame,
            (OpCode::Control(_), _) if bytes > CONTROL_BYTES_MAX => ProtocolError::ControlFrameTooBig,
            (OpCode::Data(Data::Continue), None) => ProtocolError::UnexpectedContinueFrame,
            (OpCode::Data(data @ (Data::Text | Data::Binary)), Some(_)) => {
                ProtocolError::ExpectedFragment(data)
            }
            (OpCode::Data(_), message) => {
                let known = message.as_ref().map_or(0, |message| message.bytes.len());
                let max = SOCKET_MESSAGE_BYTES_MAX;
                if bytes <= (max - known) as u64 {
                    return Ok(mask);
                }
                let text = format!("the message is larger than {max} bytes");
                return Err(Fault { code: CloseCode::Size.into(), text });
            }
            _ => return Ok(mask),
        };
        Err(Fault::protocol(fault.to_string()))
    }

    fn end_frame(&mut self) -> Result<Option<Received>, Fault> {
        let frame = self.frame.take().expect("BUG: a frame is under way");
        let OpCode::Control(control) = frame.opcode else {
            return match frame.is_final {
                true => self.message.take().map(whole).transpose(),
                false => Ok(None),
            };
        };
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping => Ok(Some(Received::Ping(payload))),
            Control::Pong => Ok(Some(Received::Pong)),
            Control::Close => close_reason(payload).map(|reason| Some(Received::Close(reason))),
            Control::Reserved(code) => Err(Fault::protocol(ProtocolError::InvalidOpcode(code).to_string())),
        }
    }
}

fn whole(mut message: Fragments) -> Result<Received, Fault> {
    if message.bytes.capacity() - message.bytes.len() > SPARE_BYTES_MAX {
        message.bytes.shrink_to_fit();
    }
    Ok(Received::Message(match message.is_text {
        true => Message::Text(text(message.bytes)?),
        false => Message::Binary(message.bytes),
    }))
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes)
        .map_err(|_| Fault { code: CloseCode::Invalid.into(), text: "the text is not UTF-8".to_owned() })
}

/// Code and reason of a closing frame.
fn close_reason(mut payload: Vec<u8>) -> Result<CloseReason, Fault> {
    let code = match payload[..] {
        [] => return Ok(None),
        [_] => return Err(Fault::protocol(ProtocolError::InvalidCloseSequence.to_string())),
        [high, low, ..] => u16::from_be_bytes([high, low]),
    };
    if !is_close_code_of_peers(code) {
        return Err(Fault::protocol(format!("close code {code} must not be sent")));
    }
    Ok(Some((code, text(payload.split_off(2))?)))
}

/// Codes that are registered for closing frames or free to use. tungstenite's own list lacks 1014.
fn is_close_code_of_peers(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;
