//! A connection to the data plane that a test drives by hand, to see what comes when.
//!
//! Every read has a deadline, so that a node that holds something back is seen as such.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::restarts::InUse;

const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    _in_use: Option<InUse>,
}

/// What comes next in a body in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// A piece.
    Piece(String),
    /// The end: the body is whole.
    End,
    /// The connection ended before the body did.
    Cut,
}

impl Connection {
    /// Connects. `in_use` is of the node, if it is restarted between events.
    pub fn open(address: SocketAddr, in_use: Option<InUse>) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("a time limit");
        }
        Self { stream, unread: Vec::new(), _in_use: in_use }
    }

    /// The stream itself, and what keeps the node from being restarted. Nothing must have been read.
    pub(crate) fn into_stream(self) -> (TcpStream, Option<InUse>) {
        (self.stream, self._in_use)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the node takes what is sent");
    }

    /// As [`send`](Self::send); false if the node has closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match self.stream.write_all(bytes.as_ref()) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("the node neither takes what is sent nor closes: {error}"),
        }
    }

    /// Sends the head of a request: method and path, then fields, one a line. The host is there already.
    pub fn send_head(&mut self, request: &str, fields: &[&str]) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!("{request} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"));
    }

    /// Sends one chunk; an empty one is the end of the body.
    pub fn send_chunk(&mut self, bytes: &[u8]) {
        self.send(format!("{:x}\r\n", bytes.len()));
        self.send(bytes);
        self.send("\r\n");
    }

    /// Says that nothing more will be sent, and waits for answers all the same.
    pub fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("an open connection");
    }

    /// Reads the head of an answer: status line and fields.
    pub fn head(&mut self) -> String {
        String::from_utf8_lossy(&self.head_bytes()).into_owned()
    }

    /// The same; `None` if the node has closed the connection before.
    pub fn head_if_any(&mut self) -> Option<String> {
        let (head, has_ended) = self.until(b"\r\n\r\n");
        (!has_ended).then(|| String::from_utf8_lossy(&head).into_owned())
    }

    /// The same, byte by byte.
    pub fn head_bytes(&mut self) -> Vec<u8> {
        let (head, has_ended) = self.until(b"\r\n\r\n");
        assert!(!has_ended, "the connection ended within a head: {}", String::from_utf8_lossy(&head));
        head
    }

    /// Reads exactly so many bytes of a body.
    pub fn body(&mut self, bytes: usize) -> String {
        while self.unread.len() < bytes {
            assert!(
                self.read_more(),
                "the connection ended within a body: {}",
                String::from_utf8_lossy(&self.unread)
            );
        }
        String::from_utf8_lossy(&self.unread.drain(..bytes).collect::<Vec<_>>()).into_owned()
    }

    /// Reads the next chunk of a body.
    pub fn chunk(&mut self) -> Chunk {
        let (size, has_ended) = self.until(b"\r\n");
        if has_ended {
            return Chunk::Cut;
        }
        let size = String::from_utf8_lossy(&size);
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        let piece = self.body(size);
        assert_eq!(self.body(2), "\r\n");
        if size == 0 { Chunk::End } else { Chunk::Piece(piece) }
    }

    /// Reads chunks to the end: all pieces together, and how it ended.
    pub fn chunks(&mut self) -> (String, Chunk) {
        let mut text = String::new();
        loop {
            match self.chunk() {
                Chunk::Piece(piece) => text.push_str(&piece),
                end => return (text, end),
            }
        }
    }

    /// Whether the node has closed the connection, or does so while this waits. What comes before is lost.
    pub fn is_closed_by_the_node(&mut self) -> bool {
        while self.read_more() {}
        true
    }

    /// Everything up to and with `mark`, or all that came before the connection ended.
    fn until(&mut self, mark: &[u8]) -> (Vec<u8>, bool) {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return (self.unread.drain(..at + mark.len()).collect(), false);
            }
            if !self.read_more() {
                return (std::mem::take(&mut self.unread), true);
            }
        }
    }

    /// False at the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came from the node: {error}"),
        }
    }
}
