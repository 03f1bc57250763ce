//! What a guest imports, one file per interface of the contract. These files only translate.
//!
//! A function that this node does not serve answers as `world.wit` says: kind `unsupported`, in `sql`
//! name `unsupported` with code 0, and where neither fits a trap that names the function.

mod context;
mod env;
mod event;
mod http;
mod kv;
mod alarm;
mod log;
mod recovery;
mod schedule;
mod sql;
mod storage;
mod stub;
mod timer;
mod unserved;
mod websocket;
mod wasi_clocks;
mod wasi_poll;

pub use wasi_poll::{PollView, WaitsInTurns};
