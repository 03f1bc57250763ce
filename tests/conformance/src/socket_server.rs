//! A server of WebSockets outside of the node, for those that objects open.
//!
//! It agrees to every handshake, and hands the connections to the test in the order in which they came. Waits have a
//! deadline.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;

use crate::outside::{Outside, Seen};
use crate::web_socket::WebSocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a port of its own.
pub struct SocketServer {
    outside: Outside,
    opened: Mutex<Receiver<WebSocket>>,
}

impl SocketServer {
    /// Serves; of the sub-protocols that are offered it chooses the last.
    pub fn start() -> Self {
        let (sender, opened) = channel();
        let outside = Outside::serve(move |seen, stream| {
            let offered =
                field(&seen.head, "sec-websocket-protocol").and_then(|offer| offer.rsplit(',').next());
            let chosen = offered.map(|protocol| format!("sec-websocket-protocol: {}\r\n", protocol.trim()));
            stream
                .write_all(agreement(seen, &chosen.unwrap_or_default()).as_bytes())
                .expect("the node reads");
            // A test that does not ask for it has ended.
            drop(sender.send(server_end(stream)));
        });
        Self { outside, opened: Mutex::new(opened) }
    }

    /// URL of a path.
    pub fn url(&self, path: &str) -> String {
        self.outside.url(path).replacen("http", "ws", 1)
    }

    /// All handshakes so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.outside.seen()
    }

    /// The server's end of the next connection.
    pub fn accept(&self) -> WebSocket {
        let opened = self.opened.lock().expect("one test asks");
        opened.recv_timeout(PATIENCE).expect("an object opens a WebSocket")
    }
}

/// The head with which a server agrees to a handshake; `more` are further lines.
pub fn agreement(seen: &Seen, more: &str) -> String {
    let key = field(&seen.head, "sec-websocket-key").expect("a handshake has a key");
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n{more}\r\n"
    )
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The server's end of a connection whose handshake was answered.
pub fn server_end(stream: &TcpStream) -> WebSocket {
    let stream = stream.try_clone().expect("a second handle");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(PATIENCE)).expect("a time limit");
    }
    WebSocket::of_server(stream)
}
