//! Class `Alarm`: does what its script says when its alarm or a named one is due, and writes down what it saw.
//!
//! Each run and each start has a row. A run's row is durable before its steps begin, so that it stays when they
//! trap.

use std::cell::Cell;

use durabo::{AlarmInfo, Context, Failure, ScheduleInfo, Timestamp};

use crate::script;
use crate::step::{Outcome, Step, note};
use crate::tables;

/// Does what it is told.
pub struct Alarm {
    ctx: Context,
    /// Number of this start, from 1.
    start: i64,
    /// A run has begun and has not come to its end.
    is_running: Cell<bool>,
}

#[durabo::object]
impl Alarm {
    /// Makes the tables, writes down what the alarm is, and does the steps of a start.
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        tables::prepare(&ctx)?;
        let alarm = ctx.alarm().get()?.map(time_of);
        let start = ctx.sql().exec("INSERT INTO starts (alarm) VALUES (?) RETURNING id", (alarm,))?.one()?;
        for step in script::of_start(&ctx)? {
            step.perform(&ctx).await?;
        }
        Ok(Self { ctx, start, is_running: Cell::new(false) })
    }

    /// Stores what the first runs of the alarm do, and what later ones do.
    pub fn script(&self, first: Vec<Vec<Step>>, later: Vec<Step>) -> Result<(), Failure> {
        script::store_runs(&self.ctx, &first, &later)
    }

    /// Stores what the constructor does from the next start on.
    pub fn script_start(&self, steps: Vec<Step>) -> Result<(), Failure> {
        script::store_start(&self.ctx, &steps)
    }

    /// Does the steps, whatever becomes of each; `Fail` fails the call.
    pub async fn run(&self, steps: Vec<Step>) -> Result<Vec<Outcome>, Failure> {
        self.perform(&steps).await
    }

    /// Whether no alarm is set, with a name or without, and none runs. While one runs it counts as not set.
    pub fn is_cleared(&self) -> Result<bool, Failure> {
        let is_set = self.ctx.alarm().get()?.is_some() || !self.ctx.schedule().list("", None, 1)?.is_empty();
        Ok(!self.is_running.get() && !is_set)
    }

    /// Adds a line to the journal.
    pub fn note(&self, text: String) -> Result<(), Failure> {
        note(&self.ctx, &text)
    }

    /// Whether the journal has that line.
    pub fn has_noted(&self, text: String) -> Result<bool, Failure> {
        let query = "SELECT id FROM journal WHERE text = ?";
        Ok(self.ctx.sql().exec(query, (text,))?.first::<i64>()?.is_some())
    }

    /// Writes the run down, then does its steps.
    pub async fn alarm(&self, info: AlarmInfo) -> Result<(), Failure> {
        let AlarmInfo { scheduled_time, retry_count, is_retry } = info;
        self.wake(ScheduleInfo {
            name: String::new(),
            payload: Vec::new(),
            scheduled_time,
            retry_count,
            is_retry,
        })
        .await
    }

    /// The same for a named alarm.
    pub async fn scheduled(&self, info: ScheduleInfo) -> Result<(), Failure> {
        self.wake(info).await
    }

    async fn wake(&self, info: ScheduleInfo) -> Result<(), Failure> {
        self.is_running.set(true);
        let end = self.run_steps(info).await;
        self.is_running.set(false);
        end
    }

    async fn run_steps(&self, info: ScheduleInfo) -> Result<(), Failure> {
        let sql = self.ctx.sql();
        let alarm = self.ctx.alarm().get()?.map(time_of);
        let entry = (!info.name.is_empty()).then_some(info.name);
        let payload = entry.as_ref().map(|_| String::from_utf8_lossy(&info.payload).into_owned());
        let before: i64 = sql.exec("SELECT count(*) FROM runs", ())?.one()?;
        let run: i64 = sql
            .exec(
                "INSERT INTO runs (at, scheduled, retries, is_retry, alarm, start, name, entry, payload)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    time_of(Timestamp::now()),
                    time_of(info.scheduled_time),
                    info.retry_count,
                    info.is_retry,
                    alarm,
                    self.start,
                    self.ctx.identity().name.clone(),
                    entry,
                    payload,
                ),
            )?
            .one()?;
        note(&self.ctx, "alarm began")?;
        self.ctx.storage().sync().await?;
        let outcomes = self.perform(&script::of_run(&self.ctx, before)?).await?;
        sql.exec("UPDATE runs SET outcomes = ? WHERE id = ?", (serde_json::to_string(&outcomes)?, run))?;
        note(&self.ctx, "alarm ended")
    }

    async fn perform(&self, steps: &[Step]) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        for step in steps {
            match step.perform(&self.ctx).await {
                Err(failure) if step.ends_the_list() => return Err(failure),
                outcome => outcomes.push(outcome.unwrap_or_else(Outcome::from)),
            }
        }
        Ok(outcomes)
    }
}

/// As a number that binds.
fn time_of(time: Timestamp) -> i64 {
    i64::try_from(time.millis()).unwrap_or(i64::MAX)
}
