//! Answers of functions that this node does not serve yet.
//!
//! No such answer invents a value; each names the function.

use durabo_model::failure::Failure;

use crate::bindings::object::types;
use crate::ending::InstanceEnd;
use crate::failure_record;

/// Answer of a function that may fail with a failure.
pub fn failure<T>(function: &str) -> wasmtime::Result<Result<T, types::Failure>> {
    Ok(Err(failure_record::to_guest(failure_record::unsupported(function))))
}

/// Answer of a function that cannot say so: the instance ends rather than get an invented value.
pub fn trap<T>(function: &str) -> wasmtime::Result<T> {
    let mut failure: Failure = failure_record::unsupported(function);
    failure.flags.object_reset = true;
    Err(InstanceEnd(failure).into())
}
