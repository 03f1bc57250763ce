//! Subject of the cases on turns and the output gate: writes, waits, and logs between them.
//!
//! `count` is one row; the methods differ in where they wait.

mod gates;

use gates::Gates;

durabo::export!(Gates);
