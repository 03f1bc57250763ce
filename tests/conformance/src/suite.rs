//! The conformance suite: one module per capability, all in one program, so that the engine is linked once.
//!
//! A test that is named after a case checks that case of the contract. Do not add here what a lower layer
//! can catch: ids and forms of values are unit tests, crashes and power loss are simulated, `kill -9` is
//! tested beside the command line.

mod standing;
mod database;
mod together;

mod access;
mod blocking;
mod calls;
mod context;
mod cursors;
mod deployments;
mod examples;
mod faults;
mod gates;
mod http;
mod http_between;
mod http_bodies;
mod http_clients;
mod http_outgoing;
mod lifecycle;
mod limits;
mod log_counts;
mod neighbours;
mod restart;
mod rpc;
mod sections;
mod sql_allowed;
mod sql_attacks;
mod sql_growth;
mod sql_limits;
mod sql_statements;
mod stubs;
mod uploads;
