//! WebSockets (RFC 6455): handshake of clients, frames, and the task of each connection.
//!
//! What a socket is to its object is the business of `durabo_objects::socket`; here is what the protocol asks for.

pub mod masks;
pub mod frames;
pub mod outbox;
pub mod connection;
pub mod tasks;
pub mod handshake;
