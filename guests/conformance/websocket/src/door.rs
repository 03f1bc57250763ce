//! Class `Door`, which passes requests on to a `Room`, and class `Silent`, which accepts and has no handlers.
//!
//! Driven over HTTP by the conformance suite.

use durabo::{Context, Failure, Namespace, Request, Response};

/// Decides who may join.
pub struct Door;

#[durabo::object]
impl Door {
    /// Needs nothing.
    pub fn new(_ctx: Context) -> Self {
        Self
    }

    /// Passes the request on to the room that the query names, unless the guest list says otherwise, and does with
    /// the answer what the query says then.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        let room = request.query("room").unwrap_or_default();
        if room == "closed" {
            return Ok(Response::text("not you").with_status(403));
        }
        let then = request.query("then").unwrap_or_default();
        let response = Namespace::new("Room").get_by_name(&room)?.fetch(request).await?;
        match then.as_str() {
            "stamp" => Ok(response.with_header("x-door", "open")),
            "forget" => Ok(Response::text("on second thoughts, no").with_status(403)),
            "trap" => core::arch::wasm32::unreachable(),
            _ => Ok(response),
        }
    }
}

/// Accepts and listens to nothing.
pub struct Silent {
    ctx: Context,
}

#[durabo::object]
impl Silent {
    /// Needs nothing.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// Accepts.
    pub fn fetch(&self, _request: Request) -> Result<Response, Failure> {
        Ok(self.ctx.sockets().accept(&[])?.1)
    }

    /// How many sockets are listed.
    pub fn sockets(&self) -> usize {
        self.ctx.sockets().all().len()
    }
}
