//! Reminders: any number of them on the one alarm of an object, which is always set for the next.
//!
//! The alarm wakes the object, whether it is in memory or not. A run that comes twice does no harm: it looks
//! only for what is not done yet.

use std::time::Duration;

use durabo::{Context, Failure, Timestamp, log};

/// A list of reminders.
pub struct Reminders {
    ctx: Context,
}

/// Texts that are to come up at their times.
#[durabo::object]
impl Reminders {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS reminders (
                id INTEGER PRIMARY KEY, due_ms INTEGER NOT NULL, text TEXT NOT NULL, done_ms INTEGER)",
            (),
        )?;
        Ok(Self { ctx })
    }

    /// Adds a reminder that is due after so many milliseconds, and returns its time.
    pub fn remind_in(&mut self, ms: u64, text: String) -> Result<Timestamp, Failure> {
        let due = Timestamp::now() + Duration::from_millis(ms);
        let query = "INSERT INTO reminders (due_ms, text) VALUES (?, ?)";
        self.ctx.sql().exec(query, (i64::try_from(due.millis())?, text))?;
        self.set_alarm()?;
        Ok(due)
    }

    /// Texts that are still to come, the next first.
    pub fn pending(&self) -> Result<Vec<String>, Failure> {
        self.texts("SELECT text FROM reminders WHERE done_ms IS NULL ORDER BY due_ms, id")
    }

    /// Texts that have come up, in their order.
    pub fn done(&self) -> Result<Vec<String>, Failure> {
        self.texts("SELECT text FROM reminders WHERE done_ms IS NOT NULL ORDER BY done_ms, due_ms, id")
    }

    /// Brings up what is due, and sets the alarm for what comes next.
    pub fn alarm(&mut self) -> Result<(), Failure> {
        let now = i64::try_from(Timestamp::now().millis())?;
        let query = "UPDATE reminders SET done_ms = ?1 WHERE done_ms IS NULL AND due_ms <= ?1 RETURNING text";
        for text in self.ctx.sql().exec(query, (now,))?.all::<String>()? {
            log::info("a reminder is due", &[("text", &text)]);
        }
        self.set_alarm()
    }

    fn set_alarm(&self) -> Result<(), Failure> {
        let next: Option<u64> =
            self.ctx.sql().exec("SELECT min(due_ms) FROM reminders WHERE done_ms IS NULL", ())?.one()?;
        next.map_or(Ok(()), |ms| self.ctx.alarm().set(Timestamp::from_millis(ms)))
    }

    fn texts(&self, query: &str) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec(query, ())?.all()?)
    }
}

durabo::export!(Reminders);
