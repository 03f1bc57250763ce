//! What makes an object an object: mailbox, gates, tickets, lifecycle, calls, sockets, alarms, and what `tail`
//! tells of it.
//!
//! Knows nothing of WebAssembly or HTTP: a guest is whatever implements the traits in [`guest`]. Two
//! loops, [`committer`] and [`upkeep`], want a thread each, which the composition gives them.
//! Modules stand bottom-up: each uses only those above it.

mod blocking;
pub mod index_handle;
mod cron_fields;
pub mod trigger;
mod lendable;
mod retry;
mod wakers;
mod byte_budget;
pub mod room;
pub mod wal_memory;
pub mod client;
pub mod body;
pub mod unfinished;
pub mod input_gate;
pub mod import;
mod event_id;
pub mod address;
pub mod scope;
pub mod call_chain;
pub mod socket;
pub mod counters;
pub mod event;
pub mod outside;
pub mod tail;
pub mod append_outcome;
pub mod output_gate;
pub mod commit_faults;
mod round_robin;
pub mod mailbox;
pub mod life;
pub mod control;
pub mod outbound;
pub mod sockets;
pub mod committer;
pub mod log_holders;
pub mod alarm_runs;
pub mod alarm_schedule;
pub mod upkeep;
pub mod node;
mod history;
mod back_off;
pub mod context;
pub mod guest;
mod idle_timer;
pub mod event_loop;
pub mod placement;
mod registry;
mod object;
pub mod directory;
pub mod alarm_timer;
pub mod alarms;
#[cfg(any(test, feature = "simulation"))]
pub mod loose_socket;
pub mod open_sockets;
pub mod test_hooks;
