//! Subject of the cases on turns and the output gate: writes, waits, and logs between them.
//!
//! `count` is one row; the methods differ in where they wait. `Sections` holds critical sections.

mod clocks;
mod latch;
mod gates;
mod sections;

use gates::Gates;
use sections::Sections;

durabo::export!(Gates, Sections);
