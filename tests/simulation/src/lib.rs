//! The simulation: objects, storage and change log on a disk, a clock and a guest that tests control.
//!
//! One thread, one seed: the same seed gives the same run. Everything of the product that decides
//! what is durable runs unchanged; only wasmtime, HTTP and the two log threads are left out, and the
//! steps of those threads are taken one by one between other things. Add here what must hold under
//! failure; what one file promises is tested in that file.

pub mod clock;
pub mod seeds;
pub mod schedule_model;
pub mod act;
pub mod address;
pub mod fake_engine;
mod fake_store;
mod fake_schedule;
mod fake_alarm;
pub mod fake_socket;
pub mod fake_guest;
pub mod world;
pub mod model;
pub mod keys_model;
mod socket_model;
pub mod program;
pub mod stage;
pub mod scenario;
pub mod entry_checks;
pub mod alarm_scenario;
pub mod socket_scenario;
pub mod full_disk;
pub mod lost_commits;
