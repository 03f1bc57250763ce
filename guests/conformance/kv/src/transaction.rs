//! Transactions as data: what to write inside, what to nest, and how to end.
//!
//! An error of a step, or the text of `fails`, comes out of the closure.

use durabo::{Context, Failure};
use serde::Deserialize;

use crate::step::Step;

/// One transaction.
#[derive(Deserialize)]
pub(crate) struct Transaction {
    #[serde(default)]
    steps: Vec<Step>,
    /// One within it, whose failure is caught.
    #[serde(default)]
    inner: Option<Box<Transaction>>,
    /// Steps after the inner one.
    #[serde(default)]
    after: Vec<Step>,
    /// Makes it fail with this text.
    #[serde(default)]
    fails: Option<String>,
    /// Errors of steps are caught.
    #[serde(default)]
    catches: bool,
}

impl Transaction {
    /// Runs it; the value of the closure is `v`.
    pub(crate) fn run(self, ctx: &Context) -> Result<String, Failure> {
        ctx.storage().transaction_sync(|| {
            run_all(self.steps, self.catches, ctx)?;
            if let Some(inner) = self.inner {
                inner.run(ctx).ok();
            }
            run_all(self.after, self.catches, ctx)?;
            self.fails.map_or_else(|| Ok("v".to_owned()), |text| Err(Failure::new(text)))
        })
    }
}

fn run_all(steps: Vec<Step>, catches: bool, ctx: &Context) -> Result<(), Failure> {
    for step in steps {
        let outcome = step.run(ctx);
        if !catches {
            outcome?;
        }
    }
    Ok(())
}
