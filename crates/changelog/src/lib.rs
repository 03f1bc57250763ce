//! The node's shared change log: record codec, segments, recovery scan.
//!
//! Synchronous; starts no thread. One `SegmentLog` per node takes the encoded records of all objects
//! and makes them durable with one sync per batch; `LogScan` finds them again after a crash. Files are
//! reached through `disk::Disk` only, so that tests can run on a disk that forgets what was not
//! synced. Byte format: `docs/reference/change-log.md`. Modules stand bottom-up: each uses only those
//! above it.

pub mod disk;
pub mod mutation;
pub mod record;
#[cfg(any(test, feature = "simulation"))]
pub mod seeded;
#[cfg(any(test, feature = "simulation"))]
mod simulated_file;
#[cfg(any(test, feature = "simulation"))]
mod simulated_folder;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated_disk;
pub mod page;
pub mod frame;
pub mod codec_error;
mod payload;
pub mod codec;
#[cfg(test)]
mod samples;
pub mod error;
pub mod segment;
mod room;
pub mod segment_pool;
pub mod segment_log;
pub mod pins;
pub mod control;
mod frame_cursor;
pub mod history;
pub mod scan;
#[cfg(test)]
mod power_loss;
