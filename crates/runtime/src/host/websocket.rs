//! `websocket`: not served yet. Functions that cannot say so end the instance.
//!
//! The others say so in their failure.

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::unserved;
use crate::bindings::Unserved;
use crate::bindings::object::http::Request;
use crate::bindings::object::types::{Failure, Milliseconds};
use crate::bindings::object::websocket::{
    AutoResponse, Host, HostWithStore, Message, ReadyState, Socket, SocketInfo, SocketOptions,
};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn connect(
        _accessor: &Accessor<GuestState, Self>,
        _request: Request,
        _options: SocketOptions,
    ) -> Answer<Socket> {
        unserved::failure("websocket.connect")
    }
}

impl Host for GuestState {
    fn accept(&mut self, _options: SocketOptions) -> Answer<(Socket, Resource<Unserved>)> {
        unserved::failure("websocket.accept")
    }

    fn send(&mut self, _socket: Socket, _message: Message) -> Answer<()> {
        unserved::failure("websocket.send")
    }

    fn broadcast(
        &mut self,
        _tag: Option<String>,
        _message: Message,
        _except: Vec<Socket>,
    ) -> wasmtime::Result<u32> {
        unserved::trap("websocket.broadcast")
    }

    fn close(&mut self, _socket: Socket, _code: Option<u16>, _reason: Option<String>) -> Answer<()> {
        unserved::failure("websocket.close")
    }

    fn list(&mut self, _tag: Option<String>) -> wasmtime::Result<Vec<Socket>> {
        unserved::trap("websocket.list")
    }

    fn info(&mut self, _socket: Socket) -> wasmtime::Result<Option<SocketInfo>> {
        unserved::trap("websocket.info")
    }

    fn state(&mut self, _socket: Socket) -> wasmtime::Result<ReadyState> {
        unserved::trap("websocket.state")
    }

    fn set_attachment(&mut self, _socket: Socket, _attachment: Vec<u8>) -> Answer<()> {
        unserved::failure("websocket.set-attachment")
    }

    fn attachment(&mut self, _socket: Socket) -> wasmtime::Result<Option<Vec<u8>>> {
        unserved::trap("websocket.attachment")
    }

    fn set_auto_response(&mut self, _pair: Option<AutoResponse>) -> Answer<()> {
        unserved::failure("websocket.set-auto-response")
    }

    fn auto_response_pair(&mut self) -> wasmtime::Result<Option<AutoResponse>> {
        unserved::trap("websocket.auto-response-pair")
    }

    fn set_event_timeout(&mut self, _timeout: Option<Milliseconds>) -> Answer<()> {
        unserved::failure("websocket.set-event-timeout")
    }

    fn event_timeout(&mut self) -> wasmtime::Result<Option<Milliseconds>> {
        unserved::trap("websocket.event-timeout")
    }
}
