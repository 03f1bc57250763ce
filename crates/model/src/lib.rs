//! The nouns of durabo: identities, names, failures, limits, time.
//!
//! Everything here is plain data and pure functions. No file, socket, thread or task is touched, so
//! every other crate may depend on this one. Modules stand bottom-up: each uses only those above it.

pub mod limits;
pub mod settings;
pub mod time;
pub mod random;
pub mod sequence;
pub mod object_id;
mod failure_kind;
pub mod error_code;
pub mod failure;
pub mod rpc;
pub mod name;
pub mod object;
pub mod egress;
pub mod description;
