//! A handler of failed sockets that is not public would never run.
use durabo::{Context, Failure, Socket};

pub struct Room;

#[durabo::object]
impl Room {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    fn websocket_error(&self, _socket: Socket, _error: Failure) {}
}

durabo::export!(Room);

fn main() {}
