//! A client of a WebSocket, made by another library than the one that the node's frames are read with; or the end that
//! a server has of one that an object has opened.
//!
//! Every read has a deadline. Frames that no such library sends are written by hand.

use std::io::Write;
use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::http::Response;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, HandshakeError, Message, WebSocket as Socket};

use crate::node::TestNode;
use crate::object::Object;
use crate::restarts::InUse;

/// A client that is connected.
#[derive(Debug)]
pub struct WebSocket {
    socket: Socket<TcpStream>,
    /// What the node answered to the upgrade; empty at a server's end.
    pub response: Response<Option<Vec<u8>>>,
    _in_use: Option<InUse>,
}

/// What a client sees next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// A closing frame; code 1005 if it has none.
    Close(u16, String),
    /// The end of the connection without one: what a browser calls 1006.
    Lost,
}

impl Seen {
    /// A text.
    pub fn text(text: &str) -> Self {
        Seen::Text(text.to_owned())
    }
}

impl WebSocket {
    /// Asks `object` for a WebSocket; `path` is what follows its address.
    pub fn open(node: &TestNode, object: &Object, path: &str) -> Self {
        Self::ask(node, object, path, &[]).unwrap_or_else(|response| {
            panic!("{}{path} gave {} instead of a WebSocket", object.address(), response.status())
        })
    }

    /// The same with more headers; the response if it is no WebSocket.
    pub fn ask(
        node: &TestNode,
        object: &Object,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        let (stream, in_use) = node.connect().into_stream();
        let url = format!("ws://localhost/o/{}{path}", object.address());
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        match tungstenite::client::client_with_config(request, stream, Some(config)) {
            Ok((socket, response)) => Ok(Self { socket, response, _in_use: in_use }),
            Err(HandshakeError::Failure(Error::Http(response))) => Err(*response),
            Err(error) => panic!("the handshake with {} failed: {error}", object.address()),
        }
    }

    /// The end of a server that has answered a handshake of the node's. It takes only frames that are masked.
    pub(crate) fn of_server(stream: TcpStream) -> Self {
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let socket = Socket::from_raw_socket(stream, Role::Server, Some(config));
        Self { socket, response: Response::new(None), _in_use: None }
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the node takes a text");
    }

    /// Sends bytes.
    pub fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).expect("the node takes bytes");
    }

    /// Sends a ping.
    pub fn ping(&mut self, payload: &[u8]) {
        self.socket.send(Message::Ping(payload.to_vec().into())).expect("the node takes a ping");
    }

    /// Sends bytes that need not be a frame.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).expect("the node takes what is sent");
    }

    /// Sends a frame with its first byte as given; masked, as a client's must be.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send_raw(&frame);
    }

    /// What comes next.
    pub fn see(&mut self) -> Seen {
        loop {
            return match self.socket.read() {
                Ok(Message::Text(text)) => Seen::Text(text.to_string()),
                Ok(Message::Binary(bytes)) => Seen::Binary(bytes.into()),
                Ok(Message::Pong(payload)) => Seen::Pong(payload.into()),
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    Seen::Close(code.into(), reason.to_string())
                }
                Ok(Message::Close(None)) => Seen::Close(1005, String::new()),
                Ok(Message::Ping(_) | Message::Frame(_)) => continue,
                Err(Error::Io(error)) if is_deadline(&error) => panic!("nothing came from the node: {error}"),
                Err(Error::Io(_) | Error::ConnectionClosed | Error::Protocol(_)) => Seen::Lost,
                Err(error) => panic!("the node sent what is no frame: {error}"),
            };
        }
    }

    /// What comes next, which must be a text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        match self.see() {
            Seen::Text(text) => text,
            other => panic!("{other:?} came instead of a text"),
        }
    }

    /// Sends a text and returns the one that comes next.
    #[track_caller]
    pub fn ask_text(&mut self, text: &str) -> String {
        self.send(text);
        self.text()
    }

    /// Sends a closing frame.
    pub fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).expect("the node takes a closing frame");
    }

    /// Sends a closing frame without a code.
    pub fn close_without_code(&mut self) {
        self.socket.close(None).expect("the node takes a closing frame");
    }

    /// Closes with 1000 and waits until the node has answered.
    pub fn close_and_wait(mut self) {
        self.close(1000, "");
        assert_eq!(self.see(), Seen::Close(1000, String::new()));
    }
}

fn is_deadline(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
