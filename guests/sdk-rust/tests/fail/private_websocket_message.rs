//! A handler of messages that is not public would never see one.
use durabo::{Context, Message, Socket};

pub struct Room;

#[durabo::object]
impl Room {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    fn websocket_message(&self, _socket: Socket, _message: Message) {}
}

durabo::export!(Room);

fn main() {}
