//! Requests whose bodies come in pieces, driven by hand, and what must hold for them whoever stands between.
//!
//! The objects are of class `Http`.

use serde_json::json;

use crate::{Chunk, Connection, Object, TestNode, eventually};

use super::standing::node;

/// What the buffers of the system and the node hold between a writer and a client that does not read.
const HELD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Looks at a writer within which it must be seen to stand.
const LOOKS_MAX: usize = 10;

/// A connection on which the head of a request to an object was sent.
pub fn open(node: &TestNode, method: &str, object: &Object, path: &str, fields: &[&str]) -> Connection {
    let mut connection = node.connect();
    connection.send_head(&format!("{method} /o/{}{path}", object.address()), fields);
    connection
}

/// A piece with that text.
pub fn piece(text: &str) -> Chunk {
    Chunk::Piece(text.to_owned())
}

/// Reads `/note-then-stream` of an object: what it wrote before a piece is in its database when the piece is
/// here.
#[track_caller]
pub fn assert_notes_precede_pieces(object: &Object, stream: &mut Connection) {
    stream.head();
    let mut seen = String::new();
    while let Chunk::Piece(text) = stream.chunk() {
        seen.push_str(&text);
        let notes = object.sql("SELECT group_concat(what, '') FROM notes").expect("notes");
        let notes = notes["rows"][0][0].as_str().expect("a text").to_owned();
        assert!(notes.starts_with(&seen), "{seen} was seen, {notes} was noted");
    }
    assert_eq!(seen, "abc");
}

/// Does not read `/endless` of an object and goes: its writer stops soon, and is told. `beside` is `/endless-aside` of
/// the same object: while its writer goes on, in the same instance, the other one would too if it could.
#[track_caller]
pub fn assert_writer_stops(object: &Object, mut unread: Connection, mut beside: Connection) {
    unread.head();
    beside.head();
    let written = || object.ok("written", json!([])).as_u64().expect("a number");
    let mut before = 0;
    let has_stopped = (0..LOOKS_MAX).any(|_| {
        // Most of it was not on its way yet.
        read(&mut beside, HELD_BYTES_MAX);
        let earlier = std::mem::replace(&mut before, written());
        before > 0 && earlier == before
    });
    assert!(has_stopped, "the writer goes on behind {before} bytes");
    assert!(written() < HELD_BYTES_MAX, "{} bytes were written", written());
    drop(unread);
    eventually("the writer is told", || (object.ok("ended", json!([])) == json!(["unread"])).then_some(()));
}

/// Reads so many bytes, in whole chunks, of a body that does not end.
#[track_caller]
fn read(endless: &mut Connection, bytes: u64) {
    let mut read = 0;
    while read < bytes {
        let Chunk::Piece(piece) = endless.chunk() else { panic!("it ended after {read} bytes") };
        read += piece.len() as u64;
    }
}

/// Sends bytes in a header by `path`, behind which `/header` sends it back: they come as they were.
#[track_caller]
pub fn assert_header_returns(path: &str, raw: &[u8]) {
    let mut client = node().connect();
    let head = format!("GET {path}/header HTTP/1.1\r\nhost: localhost\r\nx-who: ");
    client.send([head.as_bytes(), raw, b"\r\n\r\n"].concat());
    let head = client.head_bytes();
    let line = [b"x-who: ", raw, b"\r\n"].concat();
    assert!(head.windows(line.len()).any(|window| window == line), "{raw:?}");
}
