//! Subject of the cases on keys and values, on savepoints and transactions, and on waiting for the disk.
//!
//! Driven over RPC by the suite, which sends the calls as data and sees what each gave.

mod step;
mod transaction;
mod over_waits;
mod subject;

use subject::Kv;

durabo::export!(Kv);
