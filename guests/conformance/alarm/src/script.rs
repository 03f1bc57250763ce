//! Steps that are stored with the object until a run of the alarm or a constructor does them.
//!
//! A run is found by the number of those before it.

use durabo::{Context, Failure};

use crate::step::Step;

/// In place of a run's number: every run without steps of its own.
const ANY_RUN: i64 = -1;
/// In place of a run's number: every constructor but the first.
const START: i64 = -2;

/// Stores what the first runs do, in order, and what later ones do.
pub(crate) fn store_runs(ctx: &Context, first: &[Vec<Step>], later: &[Step]) -> Result<(), Failure> {
    for (number, steps) in (0..).zip(first) {
        store(ctx, number, steps)?;
    }
    store(ctx, ANY_RUN, later)
}

/// Stores what later constructors do.
pub(crate) fn store_start(ctx: &Context, steps: &[Step]) -> Result<(), Failure> {
    store(ctx, START, steps)
}

/// What the run of that number does.
pub(crate) fn of_run(ctx: &Context, number: i64) -> Result<Vec<Step>, Failure> {
    Ok(match load(ctx, number)? {
        Some(steps) => steps,
        None => load(ctx, ANY_RUN)?.unwrap_or_default(),
    })
}

/// What a constructor does.
pub(crate) fn of_start(ctx: &Context) -> Result<Vec<Step>, Failure> {
    Ok(load(ctx, START)?.unwrap_or_default())
}

fn store(ctx: &Context, number: i64, steps: &[Step]) -> Result<(), Failure> {
    let steps = serde_json::to_string(steps)?;
    ctx.sql().exec("INSERT OR REPLACE INTO script VALUES (?, ?)", (number, steps))?;
    Ok(())
}

fn load(ctx: &Context, number: i64) -> Result<Option<Vec<Step>>, Failure> {
    let stored = ctx.sql().exec("SELECT steps FROM script WHERE run = ?", (number,))?.first::<String>()?;
    Ok(stored.map(|steps| serde_json::from_str(&steps)).transpose()?)
}
