//! A node: configuration, wiring, start and shutdown.
//!
//! Composition only; nothing here decides how an object behaves. Modules stand bottom-up: each uses
//! only those above it.

mod system;
mod system_limits;
pub mod config;
mod heap;
mod control_group;
mod memory;
pub mod logging;
mod file_syncs;
mod alarm_timer;
mod log_threads;
mod open;
pub mod compile;
mod deployed;
mod loading;
mod upload;
mod control_plane;
mod token;
pub mod test_hooks;
pub mod node;

pub use config::{CompilerChoice, Durability, NodeConfig};
pub use logging::init_logging;
pub use node::Node;
pub use test_hooks::{AppendOutcome, CommitFault, ObjectHooks, TestHooks};
pub use token::read_token;
