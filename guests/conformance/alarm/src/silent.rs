//! Class `Silent`: has no handler of an alarm or of named ones, and sets them all the same.
//!
//! In its constructor that is not refused (AL-2, SC-8).

use std::time::Duration;

use durabo::schedule::Trigger;
use durabo::{Context, Failure, Timestamp};

/// Cannot be woken.
pub struct Silent {
    ctx: Context,
    set_at_start: Option<Timestamp>,
}

#[durabo::object]
impl Silent {
    /// Sets the alarm at the first start, if the object's name asks for it.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec("CREATE TABLE IF NOT EXISTS starts (id INTEGER PRIMARY KEY)", ())?;
        let starts: i64 = ctx.sql().exec("SELECT count(*) FROM starts", ())?.one()?;
        ctx.sql().exec("INSERT INTO starts DEFAULT VALUES", ())?;
        let asks = ctx.identity().name.as_deref().is_some_and(|name| name.starts_with("sets-"));
        let set_at_start = if asks && starts == 0 { Some(ctx.alarm().set_in(Duration::ZERO)?) } else { None };
        let enters = ctx.identity().name.as_deref().is_some_and(|name| name.starts_with("enters-"));
        if enters && starts == 0 {
            ctx.schedule().set("once", &Trigger::At(Timestamp::now()), "")?;
            ctx.schedule().set("often", &Trigger::Every(Duration::from_secs(1)), "")?;
        }
        Ok(Self { ctx, set_at_start })
    }

    /// The time that the constructor set, if it did.
    pub fn set_at_start(&self) -> Option<Timestamp> {
        self.set_at_start
    }

    /// Sets the alarm; fails.
    pub fn set(&self) -> Result<(), Failure> {
        self.ctx.alarm().set(Timestamp::now())
    }

    /// Sets a named alarm; fails.
    pub fn enter(&self) -> Result<(), Failure> {
        self.ctx.schedule().set("a", &Trigger::At(Timestamp::now()), "")
    }

    /// Names of the named alarms, with the time of the next run of each.
    pub fn entries(&self) -> Result<Vec<(String, Timestamp)>, Failure> {
        let entries = self.ctx.schedule().list("", None, 10)?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.next)).collect())
    }

    /// The alarm's time.
    pub fn get(&self) -> Result<Option<Timestamp>, Failure> {
        self.ctx.alarm().get()
    }
}
