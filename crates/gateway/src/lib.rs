//! HTTP in and out: addresses, fetch and RPC of objects, WebSockets both ways, requests of objects to the
//! outside, health, and the control-plane API.
//!
//! The only crate that knows HTTP and the frames of WebSockets. It turns requests into events and outcomes into
//! responses, and decides who may ask; what an object does with an event is not known here. Modules stand
//! bottom-up: each uses only those above it.

pub mod request_id;
pub mod task_end;
mod cbor;
mod cbor_json;
mod json_text;
mod json_cbor;
mod sent_body;
mod sockets;
mod hop_by_hop;
pub mod error_response;
pub mod access;
pub mod address;
mod body;
mod received_body;
mod resolve;
mod client_link;
mod websocket;
mod fetch;
mod rpc;
pub mod health;
mod outgoing;
pub mod router;
pub mod control;
pub mod client_body;
mod watched_body;
mod seats;
pub mod serve;

pub use access::AccessRules;
pub use control::api::ControlPlane;
pub use control::route::ControlConfig;
pub use control::router::ControlGateway;
pub use health::Readiness;
pub use outgoing::client::{ClientParts, OutgoingClient};
pub use request_id::RequestIds;
pub use resolve::Deliver;
pub use router::{DataPlane, DataPlaneConfig};
pub use serve::{ServeLimits, serve, tcp};
pub use websocket::tasks::SocketTasks;
