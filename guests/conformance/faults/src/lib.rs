//! A guest that misbehaves on request: loops, allocates, recurses, panics, traps, answers garbage.
//!
//! Its exports are written by hand, since the SDK cannot answer what is no CBOR; all but `garbage` goes
//! the usual way.

mod faults;
mod exports;
