//! The program as its users meet it: each test runs the binary, with nodes in processes of their own.
//!
//! Ports are free ones, folders fresh. What can be shown without a process belongs to the crate that does
//! it; here stand exit codes, texts, signals and what survives them.

mod waiting;
mod node_process;
mod small_disk;
mod help;
mod idle_clients;
mod demo;
mod session;
mod alarms;
mod sockets;
mod tail;
mod refusals;
mod compile;
mod faults;
mod guide;
mod kill_nine;
mod kill_nine_mixed;
mod kill_nine_alarms;
mod many_sockets;
mod outgoing_sockets;
mod full_disk;
