//! What an object can be told to do, by a call, in its constructor, or in a run of its alarm.
//!
//! Steps of one list are one turn, save where a step waits.

use std::hint::black_box;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance_refusal::Refusal;
use durabo::{Context, Failure, Namespace, Timestamp, timer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::named::NamedStep;
use crate::tables;

/// One step. Times are milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// The alarm's time.
    Get,
    Set(u64),
    /// Gives the time that it sets.
    SetIn(u64),
    /// By a date, a little after the millisecond; may be before the epoch.
    SetDate(i64),
    SetUnconfirmed(u64),
    Delete,
    Named(NamedStep),
    /// The clock that the object sees.
    Now,
    /// Sets the alarm so far ahead if none is set.
    SetInIfNone(u64),
    /// Sets the alarm to the present if it is due.
    RearmIfDue,
    Sql(String),
    Put(String),
    Has(String),
    Note(String),
    /// Empties the storage, and makes the tables again.
    DeleteAll,
    /// These steps in a transaction that fails.
    Undone(Vec<Step>),
    /// Sets the alarm in a transaction, waits so long, gives the alarm, and rolls back.
    SetAndRollBack(u64, u64),
    /// These steps in a transaction that waits so long and is rolled back.
    RolledBackAfter(u64, Vec<Step>),
    /// Ends the turn.
    Wait(u64),
    /// Waits until the key is there, which another event puts.
    Until(String),
    /// Sets the alarm to the present in a critical section, between two notes. Tells the object of that name so, and
    /// stays until that has noted `go`.
    DueInSection(String),
    /// Notes a text in another object of this class.
    Tell(String, String),
    /// Calls the object itself, which notes a text.
    TellSelf(String),
    Fail(String),
    Trap,
    Abort(String),
    Abandon(String),
    /// Takes memory until there is none.
    Exhaust,
}

/// What a step gave.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Nothing(()),
    Time(Option<Timestamp>),
    Has(bool),
    Integers(Vec<i64>),
    Named(Value),
    Failed { error: Refusal },
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed { error: failure.into() }
    }
}

impl Step {
    /// Whether its error is the error of the whole list.
    pub(crate) fn ends_the_list(&self) -> bool {
        matches!(self, Self::Fail(_))
    }

    /// Does it.
    pub(crate) async fn perform(&self, ctx: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Wait(ms) => timer::sleep(Duration::from_millis(*ms)).await,
            Self::Until(key) => {
                until(async || ctx.kv().get::<String>(key).map(|value| value.is_some())).await?;
            }
            Self::DueInSection(latch) => {
                let section = ctx.enter_section().await?;
                note(ctx, "section began")?;
                ctx.alarm().set_in(Duration::ZERO)?;
                let latch = Namespace::new("Alarm").get_by_name(latch)?;
                latch.call::<()>("note", ("the alarm is due",)).await?;
                until(async || latch.call::<bool>("has_noted", ("go",)).await).await?;
                note(ctx, "section ended")?;
                section.leave();
            }
            Self::SetAndRollBack(time, ms) => {
                let storage = ctx.storage();
                let transaction = storage.transaction(async |transaction| {
                    ctx.alarm().set(Timestamp::from_millis(*time))?;
                    timer::sleep(Duration::from_millis(*ms)).await;
                    let inside = ctx.alarm().get()?;
                    transaction.rollback()?;
                    Ok(inside)
                });
                return Ok(Outcome::Time(transaction.await?));
            }
            Self::RolledBackAfter(ms, steps) => {
                let storage = ctx.storage();
                let transaction = storage.transaction(async |transaction| {
                    steps.iter().try_for_each(|step| step.perform_at_once(ctx).map(drop))?;
                    timer::sleep(Duration::from_millis(*ms)).await;
                    transaction.rollback()
                });
                transaction.await?;
            }
            Self::Tell(name, text) => {
                Namespace::new("Alarm").get_by_name(name)?.call::<()>("note", (text,)).await?;
            }
            Self::TellSelf(text) => {
                let own = Namespace::new("Alarm").get(&ctx.identity().id)?;
                own.call::<()>("note", (text,)).await?;
            }
            _ => return self.perform_at_once(ctx),
        }
        Ok(Outcome::Nothing(()))
    }

    fn perform_at_once(&self, ctx: &Context) -> Result<Outcome, Failure> {
        let alarm = ctx.alarm();
        Ok(match self {
            Self::Get => Outcome::Time(alarm.get()?),
            Self::Set(time) => Outcome::Nothing(alarm.set(Timestamp::from_millis(*time))?),
            Self::SetIn(ms) => Outcome::Time(Some(alarm.set_in(Duration::from_millis(*ms))?)),
            Self::SetDate(time) => Outcome::Nothing(alarm.set(date(*time))?),
            Self::SetUnconfirmed(time) => {
                Outcome::Nothing(alarm.unconfirmed().set(Timestamp::from_millis(*time))?)
            }
            Self::Delete => Outcome::Nothing(alarm.delete()?),
            Self::Named(step) => Outcome::Named(step.perform(ctx)?),
            Self::Now => Outcome::Time(Some(Timestamp::now())),
            Self::SetInIfNone(ms) => Outcome::Time(match alarm.get()? {
                None => Some(alarm.set_in(Duration::from_millis(*ms))?),
                Some(_) => None,
            }),
            Self::RearmIfDue => Outcome::Time(match alarm.get()? {
                Some(time) if time <= Timestamp::now() => Some(alarm.set_in(Duration::ZERO)?),
                _ => None,
            }),
            Self::Sql(query) => Outcome::Integers(ctx.sql().exec(query, ())?.all()?),
            Self::Put(key) => Outcome::Nothing(ctx.kv().put(key, key)?),
            Self::Has(key) => Outcome::Has(ctx.kv().get::<String>(key)?.is_some()),
            Self::DeleteAll => {
                ctx.storage().delete_all()?;
                Outcome::Nothing(tables::prepare(ctx)?)
            }
            Self::Note(text) => Outcome::Nothing(note(ctx, text)?),
            Self::Undone(steps) => ctx.storage().transaction_sync(|| {
                steps.iter().try_for_each(|step| step.perform_at_once(ctx).map(drop))?;
                Err(Failure::new("no"))
            })?,
            Self::Fail(text) => return Err(Failure::new(text)),
            Self::Trap => core::arch::wasm32::unreachable(),
            Self::Abort(reason) => ctx.abort(Failure::new(reason)),
            Self::Abandon(reason) => ctx.abort_and_abandon_alarm(Failure::new(reason)),
            Self::Exhaust => exhaust(),
            Self::Wait(_)
            | Self::SetAndRollBack(..)
            | Self::RolledBackAfter(..)
            | Self::Until(_)
            | Self::DueInSection(_)
            | Self::Tell(..)
            | Self::TellSelf(_) => {
                return Err(Failure::new("a transaction cannot wait"));
            }
        })
    }
}

/// Waits until something is so; fails after ten seconds, so that a case that has failed leaves nothing behind.
async fn until(is_so: impl AsyncFn() -> Result<bool, Failure>) -> Result<(), Failure> {
    for _ in 0..2000 {
        if is_so().await? {
            return Ok(());
        }
        timer::sleep(Duration::from_millis(5)).await;
    }
    Err(Failure::new("what this waits for did not come"))
}

/// Adds a line to the journal.
pub(crate) fn note(ctx: &Context, text: &str) -> Result<(), Failure> {
    ctx.sql().exec("INSERT INTO journal (text) VALUES (?)", (text,))?;
    Ok(())
}

fn date(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    match millis < 0 {
        true => UNIX_EPOCH - distance,
        false => UNIX_EPOCH + distance + Duration::from_micros(999),
    }
}

fn exhaust() -> ! {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(black_box(vec![1; 1024 * 1024]));
    }
}
