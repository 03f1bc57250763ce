//! Class `RequestOnly`: HTTP only.
//!
//! Driven over HTTP and RPC by the conformance suite (B-48).

use durabo::{Context, Request, Response};

/// A class that has no methods.
pub struct RequestOnly;

#[durabo::object]
impl RequestOnly {
    /// Keeps nothing.
    pub fn new(_ctx: Context) -> Self {
        Self
    }

    /// Says that it is there.
    pub fn fetch(&self, _request: Request) -> Response {
        Response::text("pong")
    }
}
