//! Frames against chance: good ones, broken ones and mere noise, each stream the same for the same seed.
//!
//! Whatever comes is read without a panic, within bounds of memory, and to the same end however the bytes are cut; and
//! to the end to which tungstenite's own reader comes, which has another shape: it takes frames as a whole.
//! `DURABO_FUZZ_STREAMS` sets the number of streams.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::*;

/// Streams per test.
const STREAMS: u64 = 3000;

/// Lengths of payloads: around those at which a head changes its form, and small ones, which are cut best.
const LENGTHS: [usize; 14] = [0, 1, 2, 3, 5, 8, 13, 60, 124, 125, 126, 127, 300, 66_000];

/// Pieces of text: one to four bytes a character.
const LETTERS: [&str; 5] = ["a", "ß", "€", "𝄞", "~"];

/// What tungstenite answers instead of the close codes that it does not know.
const NO_CLOSE_CODE: &str = "Protocol violation";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.draw() as u8).collect()
    }

    fn payload(&mut self) -> Vec<u8> {
        // The long one seldom: a stream is read byte by byte too.
        let choices = if self.chance(5) { LENGTHS.len() } else { LENGTHS.len() - 1 };
        let length = LENGTHS[self.below(choices)];
        self.bytes(length)
    }

    fn text(&mut self) -> Vec<u8> {
        let letters = self.below(40);
        (0..letters).flat_map(|_| LETTERS[self.below(LETTERS.len())].bytes()).collect()
    }

    fn frame(&mut self, first: u8, payload: &[u8]) -> Vec<u8> {
        let mask: [u8; 4] = self.draw().to_le_bytes()[..4].try_into().expect("four bytes");
        masked(first, payload, mask)
    }

    /// A message in one frame or more, with control frames between them; text is cut within its characters too.
    fn message(&mut self) -> Vec<u8> {
        let is_text = self.chance(50);
        let whole = if is_text { self.text() } else { self.payload() };
        let (opcode, mut rest) = (if is_text { 1 } else { 2 }, whole.as_slice());
        let mut bytes = Vec::new();
        for part in (0..=self.below(4)).rev() {
            let length = if part == 0 { rest.len() } else { self.below(rest.len() + 1) };
            let payload;
            (payload, rest) = rest.split_at(length);
            let first = if bytes.is_empty() { opcode } else { 0 } | if part == 0 { 0x80 } else { 0 };
            bytes.extend(self.frame(first, payload));
            if part > 0 && self.chance(30) {
                bytes.extend(self.control());
            }
        }
        bytes
    }

    fn control(&mut self) -> Vec<u8> {
        let length = self.below(126);
        let (first, payload) = (if self.chance(50) { 0x89 } else { 0x8a }, self.bytes(length));
        self.frame(first, &payload)
    }

    fn closing(&mut self) -> Vec<u8> {
        let code = [1000_u16, 1001, 1007, 1014, 3000, 4999][self.below(6)];
        let reason: Vec<u8> = (0..self.below(20)).flat_map(|_| "ü".bytes()).collect();
        self.frame(0x88, &[&code.to_be_bytes()[..], &reason].concat())
    }

    /// Good frames, the last of which may be the end.
    fn stream(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.below(4) {
            bytes.extend(if self.chance(70) { self.message() } else { self.control() });
        }
        if self.chance(20) {
            bytes.extend(self.closing());
        }
        bytes
    }

    /// Breaks a stream somewhere, mostly near its beginning, where heads are.
    fn break_somewhere(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return;
            }
            let reach = if self.chance(70) { bytes.len().min(40) } else { bytes.len() };
            let at = self.below(reach);
            match self.below(5) {
                0 | 1 => bytes[at] ^= 1 << self.below(8),
                2 => {
                    bytes.remove(at);
                }
                3 => bytes.insert(at, self.draw() as u8),
                _ => bytes.truncate(at),
            }
        }
    }

    /// Noise, half of which begins as a frame does.
    fn noise(&mut self) -> Vec<u8> {
        let length = self.below(200);
        let mut bytes = self.bytes(length);
        if let [first, second, ..] = &mut bytes[..]
            && self.chance(50)
        {
            (*first, *second) = (*first & 0x8f, *second | 0x80);
        }
        bytes
    }
}

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64);
    let at = bytes.len() - mask.len();
    bytes[at..].copy_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What was whole, and the fault behind it; nothing is read behind a closing frame.
type Reading = (Vec<Received>, Option<Fault>);

/// Reads pieces whose lengths `piece` gives, and looks at each step at what is kept.
fn read_by(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Reading {
    let (mut reader, mut received, mut rest, mut fed) = (FrameReader::default(), Vec::new(), bytes, 0);
    while !rest.is_empty() {
        let mut input;
        (input, rest) = rest.split_at(piece().min(rest.len()));
        while !input.is_empty() {
            let before = input.len();
            let result = reader.feed(&mut input);
            fed += before - input.len();
            assert!(input.len() < before || !matches!(result, Ok(None)), "nothing was taken");
            let message = reader.message.as_ref().map_or(0, |message| message.bytes.capacity());
            let kept = reader.head.capacity() + reader.control.capacity() + message;
            assert!(kept <= 2 * fed + RESERVED_BYTES_MAX, "{kept} bytes are kept of {fed}");
            match result {
                Ok(None) => {}
                Ok(Some(whole)) => {
                    received.push(whole);
                    if let Some(Received::Close(_)) = received.last() {
                        return (received, None);
                    }
                }
                Err(fault) => return (received, Some(fault)),
            }
        }
    }
    (received, None)
}

/// Reads a stream at once, byte by byte and in pieces by chance, with the same result.
fn read_however(random: &mut Random, bytes: &[u8], what: &str) -> Reading {
    let whole = read_by(bytes, || usize::MAX);
    assert_eq!(read_by(bytes, || 1), whole, "{what}, byte by byte");
    assert_eq!(read_by(bytes, || 1 + random.below(30)), whole, "{what}, in pieces");
    whole
}

/// A connection of which so much has come and nothing more comes, and that takes everything.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            [] => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of a stream, with the code of its error.
fn read_by_tungstenite(bytes: &[u8]) -> (Vec<Received>, Option<u16>) {
    let max = Some(SOCKET_MESSAGE_BYTES_MAX);
    let config = WebSocketConfig::default().max_message_size(max).max_frame_size(max);
    let (mut context, mut wire) = (WebSocketContext::new(Role::Server, Some(config)), Wire(bytes));
    let mut received = Vec::new();
    loop {
        received.push(match context.read(&mut wire) {
            Ok(tungstenite::Message::Text(text)) => Received::Message(Message::Text(text.to_string())),
            Ok(tungstenite::Message::Binary(bytes)) => Received::Message(Message::Binary(bytes.to_vec())),
            Ok(tungstenite::Message::Ping(bytes)) => Received::Ping(bytes.to_vec()),
            Ok(tungstenite::Message::Pong(_)) => Received::Pong,
            Ok(tungstenite::Message::Close(Some(close))) if close.reason.as_str() == NO_CLOSE_CODE => {
                return (received, Some(1002));
            }
            Ok(tungstenite::Message::Close(close)) => {
                received
                    .push(Received::Close(close.map(|close| (close.code.into(), close.reason.to_string()))));
                return (received, None);
            }
            Ok(tungstenite::Message::Frame(frame)) => unreachable!("a message: {frame}"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (received, None);
            }
            Err(tungstenite::Error::Utf8(_)) => return (received, Some(1007)),
            Err(tungstenite::Error::Capacity(_)) => return (received, Some(1009)),
            Err(tungstenite::Error::Protocol(_)) => return (received, Some(1002)),
            Err(other) => panic!("tungstenite: {other}"),
        });
    }
}

/// Says in what our reading and tungstenite's differ that should not.
///
/// It looks at a frame when that is whole, and at text fragment by fragment; we look at heads at once and at text when
/// the message is whole. It does not know the close code 1014.
fn difference((ours, fault): &Reading, (theirs, code): &(Vec<Received>, Option<u16>)) -> Option<String> {
    let common = ours.len().min(theirs.len());
    if ours[..common] != theirs[..common] {
        return Some("messages".to_owned());
    }
    let fault = fault.as_ref().map(|fault| fault.code);
    let is_1014 = matches!(ours.get(common), Some(Received::Close(Some((1014, _)))));
    match (fault, *code) {
        _ if ours.len() < theirs.len() => Some("messages that only tungstenite has".to_owned()),
        // Between the fragments of text that is none only control frames can come.
        (_, Some(1007)) if !matches!(ours.get(common), Some(Received::Message(_))) => None,
        (None, Some(1002)) if is_1014 => None,
        _ if ours.len() > theirs.len() => Some("messages that only we have".to_owned()),
        (None, None) => None,
        // It waits for the rest of a frame whose head is wrong.
        (Some(1002 | 1009), None) => None,
        (Some(ours), Some(theirs)) if ours == theirs => None,
        // A head that is wrong in two ways.
        (Some(1002), Some(1009)) => None,
        (ours, theirs) => Some(format!("codes: {ours:?} and {theirs:?}")),
    }
}

fn streams() -> u64 {
    std::env::var("DURABO_FUZZ_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(STREAMS)
}

#[test]
fn ws_18_any_stream_ends_the_same_however_it_is_cut_and_as_tungstenite_says() {
    let (mut wholes, mut faults, mut ends) = (0, 0, 0);
    for seed in 0..streams() {
        let mut random = Random(seed);
        let bytes = match seed % 3 {
            0 => random.stream(),
            1 => {
                let mut bytes = random.stream();
                random.break_somewhere(&mut bytes);
                bytes
            }
            _ => random.noise(),
        };
        let ours = read_however(&mut random, &bytes, &format!("seed {seed}"));
        let theirs = read_by_tungstenite(&bytes);
        if let Some(what) = difference(&ours, &theirs) {
            panic!("seed {seed}: {what}; ours {ours:?}, tungstenite's {theirs:?}");
        }
        let (received, fault) = ours;
        assert!(seed % 3 != 0 || fault.is_none(), "seed {seed}: good frames give {fault:?}");
        wholes += received.len() as u64;
        faults += u64::from(fault.is_some());
        ends += u64::from(matches!(received.last(), Some(Received::Close(_))));
    }
    // Each kind of ending is common, or the streams are not what they are meant to be.
    let least = streams() / 30;
    assert!(wholes > streams() / 2 && faults > least && ends > least, "{wholes}, {faults}, {ends}");
}

/// What must not come, the code that it has, and what is wrong with it.
fn wrong(random: &mut Random, class: u64) -> (Vec<u8>, u16, &'static str) {
    let long = SOCKET_MESSAGE_BYTES_MAX as u64 + 1 + random.draw() % 1000;
    let opcode = [1_u8, 2, 8, 9, 10][random.below(5)];
    let reserved = 0x10 << random.below(3);
    let unknown = [3_u8, 4, 5, 6, 7, 11, 12, 13, 14, 15][random.below(10)];
    let control = [8_u8, 9, 10][random.below(3)];
    let code = [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535][random.below(10)];
    let start = random.frame(0x01, "€".as_bytes());
    match class {
        0 => (random.frame(0x80 | opcode | reserved, b"xy"), 1002, "a reserved bit"),
        1 => (random.frame(0x80 | unknown, b"xy"), 1002, "an unknown opcode"),
        2 => (vec![0x80 | opcode, 2, b'x', b'y'], 1002, "no mask"),
        3 => (random.frame(control, b"xy"), 1002, "a control frame in fragments"),
        4 => (head(0x80 | control, 126 + long % 50), 1002, "a long control frame"),
        5 => (random.frame(0x80, b"xy"), 1002, "a continuation of nothing"),
        6 => ([start, random.frame(0x81, b"y")].concat(), 1002, "a message within another"),
        7 => (random.frame(0x88, b"x"), 1002, "half a close code"),
        8 => (random.frame(0x88, &code.to_be_bytes()), 1002, "a close code that must not be sent"),
        9 => (random.frame(0x81, &[b'x', 0xc3, 0x28]), 1007, "text that is none"),
        10 => ([start, random.frame(0x80, &[0xff])].concat(), 1007, "the rest of a text that is none"),
        11 => (random.frame(0x88, &[3, 232, 0xed, 0xa0, 0x80]), 1007, "a reason that is no text"),
        12 => (head(0x82, long), 1009, "a message that is too long"),
        _ => {
            let rest = head(0x80, SOCKET_MESSAGE_BYTES_MAX as u64 - 2);
            ([start, rest].concat(), 1009, "a last fragment by which the message is a byte too long")
        }
    }
}

#[test]
fn ws_18_each_class_of_wrong_frame_has_its_code_wherever_it_comes() {
    for seed in 0..streams() {
        let mut random = Random(seed ^ 0xf00d);
        let mut bytes = Vec::new();
        for _ in 0..random.below(3) {
            bytes.extend(if random.chance(70) { random.message() } else { random.control() });
        }
        let (before, fault) = read_by(&bytes, || usize::MAX);
        assert_eq!(fault, None, "seed {seed}");
        let (broken, code, what) = wrong(&mut random, seed % 14);
        bytes.extend(broken);
        let behind = random.stream();
        bytes.extend(behind);
        let what = format!("seed {seed}: {what}");
        let (received, fault) = read_however(&mut random, &bytes, &what);
        assert_eq!((received, fault.map(|fault| fault.code)), (before, Some(code)), "{what}");
    }
}
