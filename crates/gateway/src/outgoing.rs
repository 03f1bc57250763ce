//! Requests of objects to the outside, one step a file: where to, the connection, the body, the exchange; and the
//! handshake of WebSockets, whose frames are those of `websocket`.
//!
//! Every request has a connection of its own, made to an address that the app's rules allow.

mod target;
mod deadline;
mod lookup;
mod trust;
mod connect;
mod progress;
mod handshake;
pub mod client;
#[cfg(test)]
mod tests;
