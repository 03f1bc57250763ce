//! Class `SlowStart`: its constructor writes, waits 100 ms and writes again.
//!
//! Driven over RPC and HTTP by the conformance suite (LC-1, LC-2). The suite makes other versions of it by
//! replacing [`VERSION`] in the component.

use std::time::Duration;

use durabo::{Context, Failure, Request, Response, timer};

/// Which version of the code this is.
const VERSION: &str = "slow start, version 00";

/// A class whose start takes time.
pub struct SlowStart {
    ctx: Context,
}

#[durabo::object]
impl SlowStart {
    /// Counts its runs before the wait and after it.
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, what TEXT NOT NULL)", ())?;
        ctx.sql().exec("INSERT INTO log (what) VALUES ('starting')", ())?;
        timer::sleep(Duration::from_millis(100)).await;
        ctx.sql().exec("INSERT INTO log (what) VALUES ('started')", ())?;
        Ok(Self { ctx })
    }

    /// Notes an event and returns all that was noted, in order.
    pub fn note(&self, what: String) -> Result<Vec<String>, Failure> {
        self.ctx.sql().exec("INSERT INTO log (what) VALUES (?)", (what,))?;
        Ok(self.ctx.sql().exec("SELECT what FROM log ORDER BY id", ())?.all()?)
    }

    /// The version that answers.
    pub fn version(&self) -> String {
        VERSION.to_owned()
    }

    /// As [`note`](Self::note), of the request's method.
    pub fn fetch(&self, request: Request) -> Result<Response, Failure> {
        Response::json(&self.note(request.method().to_owned())?)
    }
}
