//! Class `Silent`: has no handler of an alarm, and sets one all the same.
//!
//! In its constructor that is not refused (AL-2).

use std::time::Duration;

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

    /// The alarm's time.
    pub fn get(&self) -> Result<Option<Timestamp>, Failure> {
        self.ctx.alarm().get()
    }
}
