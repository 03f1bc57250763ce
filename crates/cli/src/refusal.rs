//! What distinguishes a refusal from a fault: the node, or a look at the input, said no.
//!
//! Commands return `anyhow` errors; `main` exits with 1 if a [`Refusal`] is among the causes, else with 2.

use std::fmt;

/// A no with its reason.
#[derive(Debug)]
pub struct Refusal {
    /// Code of the node's list, or empty if the refusal was made here.
    pub code: String,
    /// For people, with the way out.
    pub message: String,
}

impl Refusal {
    /// A refusal that this program makes itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: String::new(), message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
