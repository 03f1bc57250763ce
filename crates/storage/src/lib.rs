//! One object's SQLite database: VFS, turns, SQL, checkpoint; and the files around it.
//!
//! Synchronous; starts no thread. A turn's writes come out of [`turn`] as pages for the change log and
//! reach the object's file only through [`checkpoint`] or [`recovery`]. Modules stand bottom-up: each
//! uses only those above it.

pub mod sql_error;
mod kv_error;
mod kv_range;
pub mod write_room;
pub mod error;
pub mod value;
pub mod folder;
pub mod object_file;
mod frame_store;
mod wal_frames;
pub mod vfs_files;
mod index_blocks;
mod sql_memory;
mod vfs;
mod search;
mod functions;
mod authorizer;
pub mod statement;
mod sqlite_setup;
mod connection;
mod statement_cache;
mod cursor;
pub mod database;
pub mod savepoint;
pub mod turn;
pub mod transaction;
pub mod undo;
pub mod exec;
mod exec_many;
pub mod kv;
pub mod wipe;
pub mod alarm;
pub mod schedule;
pub mod checkpoint;
pub mod object_index;
mod redo;
pub mod recovery;
#[cfg(test)]
mod tests;
