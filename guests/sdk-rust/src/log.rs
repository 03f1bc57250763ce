//! Log lines with fields; they carry class, object and event by themselves.
//!
//! A line is written at once: the output gate does not hold it back (OG-4), a reset does not undo it.
//! `println!` and `eprintln!` end in the same log, without fields.
//!
//! ```no_run
//! durabo::log::info("stored", &[("key", &"cart"), ("size_bytes", &120)]);
//! ```

use std::fmt::Display;

use crate::bindings::durabo::object::log as wit;
use wit::Level;

/// A field: its name and its value.
pub type Field<'a> = (&'a str, &'a dyn Display);

/// Writes a line for whoever looks for a fault. Text and fields together: 16 KiB, then cut.
pub fn debug(message: &str, fields: &[Field<'_>]) {
    write(Level::Debug, message, fields);
}

/// Writes a line about the normal course of things.
pub fn info(message: &str, fields: &[Field<'_>]) {
    write(Level::Info, message, fields);
}

/// Writes a line about something that should not go on.
pub fn warn(message: &str, fields: &[Field<'_>]) {
    write(Level::Warn, message, fields);
}

/// Writes a line about something that failed.
pub fn error(message: &str, fields: &[Field<'_>]) {
    write(Level::Error, message, fields);
}

fn write(level: Level, message: &str, fields: &[Field<'_>]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    wit::write(level, message, &fields);
}
