//! The conformance suite and its harness: nodes, guests deployed on them, clients, cases.
//!
//! The suite sees of a node only what a user sees: its two listeners and its data folder. It runs as tests,
//! each on nodes in this process, and by `durabo-conformance` on a node that somebody else runs.
//! Modules stand bottom-up.

pub mod case;
pub mod variant;
pub mod guest;
pub mod eventually;
pub mod guest_log;
pub mod values;
pub mod answer;
pub mod restarts;
pub mod client;
pub mod raw_request;
pub mod connection;
pub mod outside;
pub mod run_folder;
pub mod control_plane;
pub mod object;
pub mod node;
pub mod web_socket;
pub mod socket_server;
mod suite;
pub mod rules;
pub mod report;

pub use answer::{Answer, ErrorRecord, Outcome};
pub use connection::{Chunk, Connection};
pub use control_plane::ControlPlane;
pub use eventually::eventually;
pub use guest::Guest;
pub use node::TestNode;
pub use object::Object;
pub use socket_server::SocketServer;
pub use suite::cases;
pub use web_socket::{Seen, WebSocket};
