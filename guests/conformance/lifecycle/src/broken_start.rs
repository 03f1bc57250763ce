//! Class `BrokenStart`: its constructor migrates a schema and fails on the way, as its name says.
//!
//! Driven over RPC by the conformance suite (B-07, B-10).

use std::thread;
use std::time::Duration;

use durabo::{Context, Failure, timer};

const HOUR: Duration = Duration::from_secs(3600);

/// A class whose objects never start. One called `waiting-…` or `sleeping-…` waits first, in the latter as a whole
/// instance, one called `pragma-…` or `late-…` keeps its schema number in a PRAGMA, one called `wrapped-…` wraps the
/// error of its broken statement, all others pass it on.
pub struct BrokenStart;

#[durabo::object]
impl BrokenStart {
    /// Makes a table, and then breaks.
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        let name = ctx.identity().name.clone().unwrap_or_default();
        let kind = name.split('-').next().unwrap_or_default();
        match kind {
            "waiting" => timer::sleep(HOUR).await,
            "sleeping" => thread::sleep(HOUR),
            _ => {}
        }
        if kind == "pragma" {
            let version: i64 = ctx.sql().exec("PRAGMA user_version", ())?.one()?;
            if version == 0 {
                ctx.sql().exec("CREATE TABLE m (id); PRAGMA user_version = 1", ())?;
            }
        }
        if kind == "late" {
            ctx.sql().exec("CREATE TABLE m (id); PRAGMA user_version = 1", ())?;
        }
        ctx.sql().exec("CREATE TABLE m (id)", ())?;
        match ctx.sql().exec("CREATE TABEL z (id)", ()) {
            Ok(_) => Ok(Self),
            Err(error) if kind == "wrapped" => Err(Failure::new(format!("migrate 0003: {error}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that it is there.
    pub fn ping(&self) -> String {
        "pong".to_owned()
    }
}
