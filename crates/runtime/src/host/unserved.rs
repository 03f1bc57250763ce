//! Answers of functions that this node does not serve yet.
//!
//! No such answer invents a value; each names the function.

use crate::bindings::object::types;
use crate::failure_record;

/// Answer of a function that may fail with a failure.
pub fn failure<T>(function: &str) -> wasmtime::Result<Result<T, types::Failure>> {
    Ok(Err(failure_record::to_guest(failure_record::unsupported(function))))
}
