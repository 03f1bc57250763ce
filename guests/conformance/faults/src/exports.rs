//! The component's exports by hand: as `durabo::export!` makes them, but `garbage` answers no CBOR
//! and `returned` a record that is made here.
//!
//! Written by hand over the bindings, since the SDK lets no guest answer garbage.

use durabo::bindings::durabo::object::{http, types, websocket};
use durabo::bindings::exports::durabo::object::{
    alarm_handler, http_handler, lifecycle, rpc_handler, schedule_handler, websocket_handler,
};

use crate::faults::Faults;

/// An array of two items that ends after a byte that starts none.
const GARBAGE: &[u8] = &[0x82, 0x1c];

struct Component;

impl durabo::lifecycle::Exported for Faults {}

impl lifecycle::Guest for Component {
    async fn start(info: lifecycle::StartInfo) -> Result<(), types::Failure> {
        durabo::lifecycle::start(info, &[durabo::lifecycle::class::<Faults>()]).await
    }
}

impl rpc_handler::Guest for Component {
    async fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, types::Failure> {
        if method == "garbage" {
            return Ok(GARBAGE.to_vec());
        }
        if method == "returned" {
            return Err(returned());
        }
        durabo::lifecycle::call(method, args).await
    }
}

/// The record that [`Faults::thrown`] makes with the SDK, field by field.
fn returned() -> types::Failure {
    types::Failure {
        kind: types::FailureKind::Application,
        code: String::new(),
        name: "TypeError".to_owned(),
        message: "x".to_owned(),
        details: None,
        flags: types::FailureFlags::empty(),
        object: None,
    }
}

impl http_handler::Guest for Component {
    async fn fetch(request: http::Request) -> Result<http::Response, types::Failure> {
        durabo::lifecycle::fetch(request).await
    }
}

impl alarm_handler::Guest for Component {
    async fn alarm(info: alarm_handler::AlarmInfo) -> Result<(), types::Failure> {
        durabo::lifecycle::alarm(info).await
    }
}

/// The class handles none, so it is never called.
impl websocket_handler::Guest for Component {
    async fn websocket_message(socket: u64, message: websocket::Message) -> Result<(), types::Failure> {
        durabo::lifecycle::websocket(socket, durabo::lifecycle::message(message)).await
    }

    async fn websocket_close(
        socket: u64,
        code: u16,
        reason: String,
        was_clean: bool,
    ) -> Result<(), types::Failure> {
        let close = durabo::Close { code, reason, was_clean };
        durabo::lifecycle::websocket(socket, durabo::lifecycle::SocketEvent::Close(close)).await
    }

    async fn websocket_error(socket: u64, error: types::Failure) -> Result<(), types::Failure> {
        durabo::lifecycle::websocket(socket, durabo::lifecycle::error(error)).await
    }
}

impl schedule_handler::Guest for Component {
    async fn scheduled(info: schedule_handler::ScheduleInfo) -> Result<(), types::Failure> {
        durabo::lifecycle::scheduled(info).await
    }
}

durabo::bindings::export_exports!(Component with_types_in durabo::bindings);
