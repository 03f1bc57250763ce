//! Requests that no proper client sends: lengths that are announced and never sent, bodies without end.
//!
//! Written to the socket byte by byte; the answer is whatever comes before the node closes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a raw request.
#[derive(Debug)]
pub struct RawAnswer {
    /// HTTP status; 0 if the connection was cut without an answer.
    pub status: u16,
    /// All that was read, head and body.
    pub text: String,
    /// Bytes of the body that were sent before the node answered or closed.
    pub sent_bytes: usize,
}

/// Sends `head` (request line and headers, without the empty line) and then pieces of `body` until it
/// ends or the node does not take more; reads the answer to its end.
pub fn send(address: SocketAddr, head: &str, body: impl IntoIterator<Item = Vec<u8>>) -> RawAnswer {
    let mut stream =
        TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(PATIENCE)).expect("a time limit");
    }
    let head = head.trim().lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the head is sent");
    let mut sent_bytes = 0;
    for piece in body {
        if stream.write_all(&piece).is_err() {
            break;
        }
        sent_bytes += piece.len();
    }
    let mut answer = Vec::new();
    // The answer may end in a reset, since the node did not read all that was sent.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
    RawAnswer { status, text, sent_bytes }
}

/// Body of `bytes` bytes as chunks of the transfer coding, at most 64 KiB each.
pub fn chunked(bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    const PIECE_BYTES: usize = 64 * 1024;
    let pieces = (0..bytes.div_ceil(PIECE_BYTES)).map(move |at| {
        let size = PIECE_BYTES.min(bytes - at * PIECE_BYTES);
        let mut piece = format!("{size:x}\r\n").into_bytes();
        piece.resize(piece.len() + size, 0);
        piece.extend(b"\r\n");
        piece
    });
    pieces.chain([b"0\r\n\r\n".to_vec()])
}
