//! Guests on wasmtime: engine, compiled components, instances and what they import.
//!
//! Implements the traits of `objects` and decides nothing about objects: rules stand there. Modules
//! stand bottom-up: each uses only those above it.

pub mod error;
pub mod component_facts;
mod memory_limit;
mod outside_access;
mod cpu_time;
mod hog_permits;
mod statement_costs;
mod statement_pool;
mod log_quota;
mod log_lines;
pub mod engine;
mod bindings;
pub mod env_bindings;
mod event_tasks;
mod ending;
mod state;
mod statement_run;
mod failure_record;
mod open_body;
mod body_in;
mod body_out;
mod collect;
mod http_exchange;
mod outgoing;
mod host;
mod linker;
mod code_file;
mod code_folder;
pub mod compiler;
pub mod compiled_component;
pub mod component_cache;
pub mod deployed;
mod reset_reason;
mod calls;
pub mod guest;
