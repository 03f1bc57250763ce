//! Class `SlowStart`: its constructor writes, waits 100 ms and writes again.
//!
//! Driven over RPC by the conformance suite (LC-1).

use std::time::Duration;

use durabo::{Context, Failure, timer};

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
}
