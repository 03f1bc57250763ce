//! The smallest object: a number that survives everything.
//!
//! `increment` and `get` over RPC, the number as text over HTTP.

use durabo::{Context, Failure, Request, Response};

/// A counter.
pub struct Counter {
    ctx: Context,
}

/// A number that is kept for ever.
#[durabo::object]
impl Counter {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL)",
            (),
        )?;
        Ok(Self { ctx })
    }

    /// Adds one and returns the new count.
    pub fn increment(&mut self) -> Result<i64, Failure> {
        let n = self.ctx.sql().exec(
            "INSERT INTO counter (id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1 RETURNING n",
            (),
        )?.one()?;
        Ok(n)
    }

    /// Returns the count.
    pub fn get(&self) -> Result<i64, Failure> {
        Ok(self.ctx.sql().exec("SELECT n FROM counter", ())?.first()?.unwrap_or(0))
    }

    /// Answers with the count.
    pub fn fetch(&self, request: Request) -> Result<Response, Failure> {
        match request.method() {
            "GET" => Ok(Response::text(self.get()?.to_string())),
            _ => Ok(Response::new(405).with_header("allow", "GET")),
        }
    }
}

durabo::export!(Counter);
