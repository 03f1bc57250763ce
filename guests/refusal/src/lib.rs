//! A failure as the guests of the conformance suite answer with it: a value like any other outcome of a step.
//!
//! No guest itself, and so not among those in `conformance/`.

use durabo::Failure;
use serde::Serialize;

/// What of a failure the cases look at.
#[derive(Debug, Serialize)]
pub struct Refusal {
    code: String,
    name: String,
    message: String,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (code, name) = (failure.code().to_owned(), failure.name().to_owned());
        Self { code, name, message: failure.message().to_owned() }
    }
}
