//! A node: configuration, wiring, start and shutdown.
//!
//! Composition only; nothing here decides how an object behaves. Modules stand bottom-up.

mod system;
pub mod config;
pub mod logging;
mod log_threads;
mod open;
mod control_plane;
pub mod node;

pub use config::{Durability, NodeConfig};
pub use logging::init_logging;
pub use node::{Node, read_token};
