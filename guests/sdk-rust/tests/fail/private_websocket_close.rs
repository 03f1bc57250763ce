//! A handler of closed sockets that only the crate can see would never run.
use durabo::{Close, Context, Socket};

pub struct Room;

#[durabo::object]
impl Room {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub(crate) fn websocket_close(&self, _socket: Socket, _close: Close) {}
}

durabo::export!(Room);

fn main() {}
