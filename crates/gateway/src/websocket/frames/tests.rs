//! Frames that are read, and every way in which they must not be.
//!
//! What the client gets to see is in the conformance suite, `websocket_frames`; what chance makes of frames: `fuzz`.

mod fuzz;

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame with its first byte as given, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// All that is whole, when the bytes come in pieces of at most `piece`.
fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Received>, Fault> {
    let mut reader = FrameReader::default();
    let mut received = Vec::new();
    for mut input in bytes.chunks(piece) {
        while !input.is_empty() {
            received.extend(reader.feed(&mut input)?);
        }
    }
    Ok(received)
}

fn read(bytes: &[u8]) -> Result<Vec<Received>, Fault> {
    read_in_pieces(bytes, bytes.len().max(1))
}

fn code(bytes: &[u8]) -> u16 {
    read(bytes).expect_err("a fault").code
}

fn text(text: &str) -> Received {
    Received::Message(Message::Text(text.to_owned()))
}

#[test]
fn ws_18_messages_come_whole_however_their_bytes_are_cut() {
    let large: Vec<u8> = (0..70_000_u32).map(|number| number as u8).collect();
    let bytes = [
        frame(0x81, b"hi"),
        frame(0x82, &large),
        frame(0x01, "gr".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x00, &"ü".as_bytes()[..1]),
        frame(0x8a, b"pong"),
        frame(0x80, &[&"ü".as_bytes()[1..], b"n"].concat()),
        frame(0x82, b""),
        frame(0x88, b""),
    ]
    .concat();
    let expected = || {
        [
            text("hi"),
            Received::Message(Message::Binary(large.clone())),
            Received::Ping(b"ping".to_vec()),
            Received::Pong,
            text("grün"),
            Received::Message(Message::Binary(Vec::new())),
            Received::Close(None),
        ]
    };
    for piece in [1, 2, 3, 5, 7, 13, 1000, bytes.len()] {
        assert_eq!(read_in_pieces(&bytes, piece).expect("good frames"), expected(), "in pieces of {piece}");
    }
}

#[test]
fn ws_18_what_must_not_be_on_the_wire_is_a_protocol_error() {
    let wrong = [
        ("unmasked", vec![0x81, 1, b'x']),
        ("reserved bit 1", frame(0xc1, b"x")),
        ("reserved bit 3", frame(0x92, b"x")),
        ("opcode 3", frame(0x83, b"x")),
        ("opcode 11", frame(0x8b, b"x")),
        ("ping in fragments", frame(0x09, b"x")),
        ("ping of 126 bytes", frame(0x89, &[0; 126])),
        ("continuation without a start", frame(0x80, b"x")),
        ("new text within a message", [frame(0x01, b"x"), frame(0x81, b"y")].concat()),
        ("closing frame of one byte", frame(0x88, &[3])),
        ("close code 1005", frame(0x88, &1005_u16.to_be_bytes())),
        ("close code 999", frame(0x88, &999_u16.to_be_bytes())),
        ("close code 1004", frame(0x88, &1004_u16.to_be_bytes())),
        ("close code 1015", frame(0x88, &1015_u16.to_be_bytes())),
        ("close code 1016", frame(0x88, &1016_u16.to_be_bytes())),
        ("close code 2999", frame(0x88, &2999_u16.to_be_bytes())),
        ("close code 5000", frame(0x88, &5000_u16.to_be_bytes())),
    ];
    for (what, bytes) in wrong {
        assert_eq!(code(&bytes), 1002, "{what}");
    }
}

/// The same frames as a server sends them.
fn read_of_server(bytes: &[u8]) -> Result<Vec<Received>, Fault> {
    let (mut reader, mut received, mut input) = (FrameReader::of_server(), Vec::new(), bytes);
    while !input.is_empty() {
        received.extend(reader.feed(&mut input)?);
    }
    Ok(received)
}

#[test]
fn ws_33_frames_of_a_server_come_without_a_mask_and_one_with_a_mask_is_a_protocol_error() {
    let bytes = [&[0x01, 2, b'h', b'i'][..], &[0x89, 1, b'p'], &[0x80, 1, b'!'], &[0x88, 2, 0x0f, 0xa1]];
    let expected = [text("hi!"), Received::Close(Some((4001, String::new())))];
    let mut received = read_of_server(&bytes.concat()).expect("good frames");
    assert_eq!(received.remove(0), Received::Ping(b"p".to_vec()));
    assert_eq!(received, expected);
    let fault = read_of_server(&frame(0x81, b"x")).expect_err("masked");
    assert_eq!(fault.code, 1002);
    let fault = read_of_server(&frame(0x81, b"")).expect_err("masked, and nothing to see of it");
    assert_eq!(fault.code, 1002);
}

#[test]
fn ws_18_every_close_code_that_a_client_may_send_is_taken() {
    for code in [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999_u16] {
        let received = read(&frame(0x88, &code.to_be_bytes())).expect("a good frame");
        assert_eq!(received, [Received::Close(Some((code, String::new())))]);
    }
}

#[test]
fn ws_18_text_that_is_no_utf_8_has_a_code_of_its_own() {
    assert_eq!(code(&frame(0x81, &[0xc3])), 1007);
    let in_fragments = [frame(0x01, &[0xc3]), frame(0x80, b"x")].concat();
    assert_eq!(code(&in_fragments), 1007);
    let in_a_reason = frame(0x88, &[&1000_u16.to_be_bytes()[..], &[0xff]].concat());
    assert_eq!(code(&in_a_reason), 1007);
}

#[test]
fn ws_17_more_than_a_message_may_be_is_refused_before_it_has_come() {
    let max = SOCKET_MESSAGE_BYTES_MAX as u64;
    for length in [max + 1, 1 << 40, 1 << 63, u64::MAX] {
        assert_eq!(code(&head(0x82, length)), 1009, "{length}");
    }
    assert_eq!(read(&head(0x82, max)), Ok(Vec::new()));
    // The sum of the fragments counts.
    let mut fragments = frame(0x02, &vec![0; SOCKET_MESSAGE_BYTES_MAX - 1]);
    fragments.extend(frame(0x00, b"x"));
    assert_eq!(read(&fragments), Ok(Vec::new()));
    fragments.extend(head(0x80, 1));
    assert_eq!(code(&fragments), 1009);
}

#[test]
fn b_34_empty_fragments_without_end_take_no_memory() {
    let mut reader = FrameReader::default();
    let begin = frame(0x01, b"a");
    assert_eq!(reader.feed(&mut begin.as_slice()), Ok(None));
    let fragments = frame(0x00, b"").repeat(1000);
    for _ in 0..1000 {
        let mut input = fragments.as_slice();
        while !input.is_empty() {
            assert_eq!(reader.feed(&mut input), Ok(None));
        }
    }
    assert!(reader.message.as_ref().expect("under way").bytes.capacity() < 16);
    assert_eq!(reader.feed(&mut frame(0x80, b"b").as_slice()), Ok(Some(text("ab"))));
}

#[test]
fn an_announced_length_is_not_reserved_as_a_whole_and_nothing_is_kept_when_all_is_read() {
    let mut reader = FrameReader::default();
    assert_eq!(reader.feed(&mut head(0x82, SOCKET_MESSAGE_BYTES_MAX as u64).as_slice()), Ok(None));
    assert!(reader.message.as_ref().expect("under way").bytes.capacity() <= RESERVED_BYTES_MAX);
    let mut reader = FrameReader::default();
    let bytes = [frame(0x82, &[0; 100_000]), frame(0x89, b"x")].concat();
    let mut input = bytes.as_slice();
    while !input.is_empty() {
        reader.feed(&mut input).expect("good frames");
    }
    assert!(reader.message.is_none() && reader.frame.is_none());
    assert_eq!((reader.head.capacity(), reader.control.capacity()), (0, 0));
}

#[test]
fn a_whole_message_takes_little_more_memory_than_its_length() {
    let large = vec![b'x'; 70_000];
    let in_fragments = [frame(0x01, &large[..40_000]), frame(0x80, b"x")].concat();
    for (bytes, expected) in
        [(frame(0x81, &large), 70_000), (frame(0x82, &large), 70_000), (in_fragments, 40_001)]
    {
        let mut received = read_in_pieces(&bytes, 16 * 1024).expect("good frames");
        let (length, capacity) = match received.remove(0) {
            Received::Message(Message::Text(text)) => (text.len(), text.capacity()),
            Received::Message(Message::Binary(bytes)) => (bytes.len(), bytes.capacity()),
            other => panic!("{other:?} is no message"),
        };
        assert_eq!(length, expected);
        assert!(capacity <= length + SPARE_BYTES_MAX, "{length} bytes take {capacity}");
    }
}

#[test]
fn ws_19_code_and_reason_of_a_closing_frame_are_read() {
    let payload = [&4001_u16.to_be_bytes()[..], "tschüß".as_bytes()].concat();
    let expected = Received::Close(Some((4001, "tschüß".to_owned())));
    assert_eq!(read(&frame(0x88, &payload)), Ok(vec![expected]));
}
