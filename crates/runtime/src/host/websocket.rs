//! `websocket`: the object's sockets, those of clients and those that it opens itself.
//!
//! All of them belong to the host: here numbers and records are translated, and nothing is kept.

use std::time::Duration;

use durabo_objects::context::SocketInfo as ModelInfo;
use durabo_objects::socket::{
    Lifetime as ModelLifetime, Message as ModelMessage, ReadyState as ModelState, SocketId,
};
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::Upgrade;
use crate::bindings::object::http::Request;
use crate::bindings::object::types::{Failure, Milliseconds};
use crate::bindings::object::websocket::{
    AutoResponse, Host, HostWithStore, Lifetime, Message, ReadyState, Socket, SocketInfo, SocketOptions,
};
use crate::failure_record;
use crate::outgoing;
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn connect(
        accessor: &Accessor<GuestState, Self>,
        request: Request,
        options: SocketOptions,
    ) -> Answer<Socket> {
        let opened =
            outgoing::connect(accessor, request, options.tags, of_lifetime(options.lifetime)).await?;
        Ok(opened.map(|SocketId(socket)| socket).map_err(failure_record::to_guest))
    }
}

impl Host for GuestState {
    fn accept(&mut self, options: SocketOptions) -> Answer<(Socket, Resource<Upgrade>)> {
        match self.context.accept_socket(options.tags, of_lifetime(options.lifetime)) {
            Ok((SocketId(socket), upgrade)) => Ok(Ok((socket, self.table.push(upgrade)?))),
            Err(failure) => Ok(Err(failure_record::to_guest(failure))),
        }
    }

    fn send(&mut self, socket: Socket, message: Message) -> Answer<()> {
        answer(self.context.send_to_socket(SocketId(socket), of_guest(message)))
    }

    fn broadcast(
        &mut self,
        tag: Option<String>,
        message: Message,
        except: Vec<Socket>,
    ) -> wasmtime::Result<u32> {
        let except: Vec<_> = except.into_iter().map(SocketId).collect();
        let count = self.context.broadcast(tag.as_deref(), of_guest(message), &except);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn close(&mut self, socket: Socket, code: Option<u16>, reason: Option<String>) -> Answer<()> {
        answer(self.context.close_socket(SocketId(socket), code, reason))
    }

    fn list(&mut self, tag: Option<String>) -> wasmtime::Result<Vec<Socket>> {
        let sockets = self.context.list_sockets(tag.as_deref());
        Ok(sockets.into_iter().map(|SocketId(socket)| socket).collect())
    }

    fn info(&mut self, socket: Socket) -> wasmtime::Result<Option<SocketInfo>> {
        Ok(self.context.socket_info(SocketId(socket)).map(info))
    }

    fn state(&mut self, socket: Socket) -> wasmtime::Result<ReadyState> {
        Ok(state(self.context.socket_state(SocketId(socket))))
    }

    fn set_attachment(&mut self, socket: Socket, attachment: Vec<u8>) -> Answer<()> {
        answer(self.context.set_socket_attachment(SocketId(socket), attachment))
    }

    fn attachment(&mut self, socket: Socket) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.context.socket_attachment(SocketId(socket)))
    }

    fn set_auto_response(&mut self, pair: Option<AutoResponse>) -> Answer<()> {
        answer(self.context.set_auto_response(pair))
    }

    fn auto_response_pair(&mut self) -> wasmtime::Result<Option<AutoResponse>> {
        Ok(self.context.auto_response())
    }

    fn set_event_timeout(&mut self, timeout: Option<Milliseconds>) -> Answer<()> {
        answer(self.context.set_socket_event_timeout(timeout.map(Duration::from_millis)))
    }

    fn event_timeout(&mut self) -> wasmtime::Result<Option<Milliseconds>> {
        let timeout = self.context.socket_event_timeout();
        Ok(timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)))
    }
}

fn answer<T>(result: Result<T, durabo_model::failure::Failure>) -> Answer<T> {
    Ok(result.map_err(failure_record::to_guest))
}

fn of_lifetime(lifetime: Lifetime) -> ModelLifetime {
    match lifetime {
        Lifetime::Hibernate => ModelLifetime::Hibernate,
        Lifetime::KeepAwake => ModelLifetime::KeepAwake,
    }
}

fn of_guest(message: Message) -> ModelMessage {
    match message {
        Message::Text(text) => ModelMessage::Text(text),
        Message::Binary(bytes) => ModelMessage::Binary(bytes),
    }
}

fn state(state: ModelState) -> ReadyState {
    match state {
        ModelState::Connecting => ReadyState::Connecting,
        ModelState::Open => ReadyState::Open,
        ModelState::Closing => ReadyState::Closing,
        ModelState::Closed => ReadyState::Closed,
    }
}

fn info(info: ModelInfo) -> SocketInfo {
    SocketInfo {
        tags: info.tags,
        state: state(info.state),
        lifetime: match info.lifetime {
            ModelLifetime::Hibernate => Lifetime::Hibernate,
            ModelLifetime::KeepAwake | ModelLifetime::Outgoing => Lifetime::KeepAwake,
        },
        protocol: info.protocol,
        accepted: info.accepted.0,
        outgoing: info.lifetime == ModelLifetime::Outgoing,
        auto_response: info.auto_response.map(|time| time.0),
    }
}
