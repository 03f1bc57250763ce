//! Errors by which host functions end an instance; each knows the failure that callers get.
//!
//! A host function returns them as the engine's error; `reset_reason` finds them again after the
//! trap.

use std::fmt;

use durabo_model::failure::Failure;

/// The instance must not go on, with this failure for its events.
#[derive(Debug)]
pub struct InstanceEnd(pub Failure);

impl fmt::Display for InstanceEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InstanceEnd {}

/// The event's CPU budget is used up (LC-14).
#[derive(Debug)]
pub struct CpuExhausted;

impl fmt::Display for CpuExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CPU budget of the event is used up")
    }
}

impl std::error::Error for CpuExhausted {}
