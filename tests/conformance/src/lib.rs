//! Harness of the conformance suite: nodes in this process, guests deployed on them, clients.
//!
//! The suite stands in `suite/` and sees of a node only what a user sees: its two listeners and its data
//! folder. Modules stand bottom-up.

pub mod guest;
pub mod eventually;
pub mod values;
pub mod answer;
pub mod client;
pub mod raw_request;
pub mod connection;
pub mod outside;
pub mod run_folder;
pub mod control_plane;
pub mod object;
pub mod node;

pub use answer::{Answer, ErrorRecord, Outcome};
pub use connection::{Chunk, Connection};
pub use control_plane::ControlPlane;
pub use eventually::eventually;
pub use guest::Guest;
pub use node::TestNode;
pub use object::Object;
