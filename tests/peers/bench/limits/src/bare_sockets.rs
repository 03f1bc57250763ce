//! Bare WebSockets: what the benchmarks' object does with messages, from a task per connection that does nothing else.
//!
//! A text that begins with "b" goes to all sockets of its name, any other back to its sender. Frames are read and
//! written as they come, one write for each; pings and fragments, which the load driver does not send, end a connection.

use std::collections::HashMap;
use std::io::{Cursor, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper_util::rt::TokioIo;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, UnboundedSender};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Where frames for one socket go.
type Frames = UnboundedSender<Arc<[u8]>>;

/// The sockets of each name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashMap<String, Vec<Frames>>>>);

impl Rooms {
    fn join(&self, name: &str, sender: Frames) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(name.to_owned()).or_default().push(sender);
    }

    fn broadcast(&self, name: &str, frame: &Arc<[u8]>) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get_mut(name) {
            // Those that have gone are forgotten.
            room.retain(|socket| socket.send(frame.clone()).is_ok());
        }
    }
}

/// Answers a handshake, and serves the connection that it becomes.
pub(crate) async fn upgrade(
    State(rooms): State<Rooms>,
    Path((_app, _class, name)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return (StatusCode::BAD_REQUEST, "no WebSocket's handshake").into_response();
    };
    let accepted = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            // The driver ends its connections in whatever way, and knows what it has got.
            Ok(io) => drop(serve(TokioIo::new(io), &rooms, &name).await),
            Err(error) => eprintln!("a connection was not upgraded: {error}"),
        }
    });
    let headers =
        [(UPGRADE, "websocket"), (CONNECTION, "upgrade"), (SEC_WEBSOCKET_ACCEPT, accepted.as_str())];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn serve<I: AsyncRead + AsyncWrite + Unpin>(mut io: I, rooms: &Rooms, name: &str) -> io::Result<()> {
    let (sender, mut frames) = mpsc::unbounded_channel();
    rooms.join(name, sender);
    let (mut unread, mut room) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        tokio::select! {
            Some(frame) = frames.recv() => io.write_all(&frame).await?,
            read = io.read(&mut room) => {
                let bytes = read?;
                if bytes == 0 {
                    return Ok(());
                }
                unread.extend_from_slice(&room[..bytes]);
                while let Some(payload) = next_text(&mut unread)? {
                    let frame = text(&payload);
                    match payload.first() {
                        Some(b'b') => rooms.broadcast(name, &frame.into()),
                        _ => io.write_all(&frame).await?,
                    }
                }
            }
        }
    }
}

/// Takes the first frame, once it is whole, and the mask off what it carries.
fn next_text(unread: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut cursor = Cursor::new(&unread[..]);
    let parsed = FrameHeader::parse(&mut cursor).map_err(io::Error::other)?;
    let (Some((header, bytes)), begin) = (parsed, cursor.position() as usize) else { return Ok(None) };
    let end = begin.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
    if header.opcode != OpCode::Data(Data::Text) || !header.is_final {
        return Err(ErrorKind::InvalidData.into());
    }
    if unread.len() < end {
        return Ok(None);
    }
    let mut payload = unread[begin..end].to_vec();
    let mask = header.mask.unwrap_or_default();
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
    unread.drain(..end);
    Ok(Some(payload))
}

fn text(payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    let mut frame = Vec::with_capacity(payload.len() + 10);
    header.format(payload.len() as u64, &mut frame).expect("BUG: a vector takes all that is written");
    frame.extend_from_slice(payload);
    frame
}
