//! Handlers of sockets take the socket and what has come, and give nothing.
use durabo::{Context, Failure, Message, Socket};

pub struct Room;

#[durabo::object]
impl Room {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn websocket_message(&self, _message: Message) {}
    pub async fn websocket_close(&self, _socket: Socket, _code: u16, _reason: String) {}
    pub fn websocket_error(&self, _socket: Socket, _error: Failure) -> Result<u8, Failure> {
        Ok(1)
    }
}

durabo::export!(Room);

fn main() {}
