//! Class `Fetchless`: RPC only.
//!
//! Driven over HTTP by the conformance suite (LC-18).

use durabo::Context;

/// A class that answers no HTTP.
pub struct Fetchless;

#[durabo::object]
impl Fetchless {
    /// Keeps nothing.
    pub fn new(_ctx: Context) -> Self {
        Self
    }

    /// Says that it is there.
    pub fn ping(&self) -> String {
        "pong".to_owned()
    }
}
