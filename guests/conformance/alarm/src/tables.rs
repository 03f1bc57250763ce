//! The tables of the subject: its script, and what it saw.
//!
//! Made by each constructor, and again after everything was removed.

use durabo::{Context, Failure};

/// Makes the tables.
pub(crate) fn prepare(ctx: &Context) -> Result<(), Failure> {
    ctx.sql().exec(
        "CREATE TABLE IF NOT EXISTS script (run INTEGER PRIMARY KEY, steps TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS starts (id INTEGER PRIMARY KEY, alarm INTEGER);
         CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, scheduled INTEGER NOT NULL,
             retries INTEGER NOT NULL, is_retry INTEGER NOT NULL, alarm INTEGER, start INTEGER NOT NULL, name TEXT,
             entry TEXT, payload TEXT, outcomes TEXT)",
        (),
    )?;
    Ok(())
}
