//! durabo for Rust: write a struct and an impl, get an object that keeps its state.
//!
//! Start at [`object`], the attribute that makes a class, and [`export`], which makes the component.
//! One module per capability, named as in the contract (`wit/`). Modules stand bottom-up: each uses only
//! those above it.
//!
//! What the node does not serve yet (recovery) is not here.

#[doc(hidden)]
pub mod bindings;
pub mod bytes;
mod sql_error;
pub mod failure;
mod cbor;
pub mod event;
pub mod env;
pub mod log;
pub mod timer;
pub mod timestamp;
pub mod state;
mod url;
mod body;
pub mod http;
pub mod sql_value;
pub mod sql_params;
mod sql_row;
pub mod sql;
pub mod kv;
pub mod transaction;
pub mod storage;
pub mod alarm;
pub mod websocket;
pub mod schedule;
pub mod context;
mod argument;
pub mod rpc;
pub mod stub;
pub mod lifecycle;

pub use alarm::{Alarm, AlarmInfo};
pub use bytes::Bytes;
pub use context::{Context, Section};
pub use durabo_macros::object;
pub use failure::Failure;
pub use http::{Body, BodyWriter, Request, Response};
pub use kv::Kv;
pub use schedule::{Schedule, ScheduleInfo, Trigger};
pub use sql::{Cursor, Sql, SqlError};
pub use state::State;
pub use storage::Storage;
pub use stub::{Namespace, Stub};
pub use timestamp::Timestamp;
pub use transaction::Transaction;
pub use websocket::{Close, Message, Socket, Sockets};
