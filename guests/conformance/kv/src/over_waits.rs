//! Transactions over waits as data: acts within, some of which wait, and how to end.
//!
//! An error of an act, or the text of `fails`, comes out of the closure, unless errors are caught.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use durabo::{Bytes, Context, Failure, Namespace, Stub, Transaction, timer};
use serde::{Deserialize, Serialize};

use crate::step::{Options, Outcome, Step};

/// One transaction.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OverWaits {
    #[serde(default)]
    acts: Vec<Act>,
    /// The value of the closure.
    #[serde(default)]
    value: u32,
    /// Makes it fail with this text.
    #[serde(default)]
    fails: Option<String>,
    /// Errors of acts are caught.
    #[serde(default)]
    catches: bool,
    /// Traps at its end.
    #[serde(default)]
    traps: bool,
}

/// What happens within.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    /// A call that knows nothing of the transaction.
    Step(Step),
    /// Reads a key by way of the transaction.
    Get(String),
    /// Waits for so many milliseconds.
    Wait(u64),
    Rollback,
    /// Rolls back the one around this one.
    RollbackOuter,
    Nested(OverWaits),
    /// Waits for what was written to be durable.
    Sync,
    /// Writes a key of the object of this name.
    Tell(String, String),
    /// Waits until the object of that name has the key.
    Until(String, String),
}

/// The value of a transaction and what its acts gave.
#[derive(Serialize)]
pub(crate) struct Told {
    value: u32,
    outcomes: Vec<Outcome>,
}

impl OverWaits {
    /// Runs it.
    pub(crate) async fn run(self, ctx: &Context) -> Result<Told, Failure> {
        let value = ctx.storage().transaction(async |txn| self.within(ctx, txn, None).await).await;
        let (value, outcomes) = value?;
        Ok(Told { value, outcomes })
    }

    async fn within(
        self,
        ctx: &Context,
        txn: &Transaction,
        outer: Option<&Transaction>,
    ) -> Result<(u32, Vec<Outcome>), Failure> {
        let outcomes = RefCell::new(Vec::new());
        for act in self.acts {
            match act.perform(ctx, txn, outer).await {
                Err(failure) if !self.catches => return Err(failure),
                outcome => outcomes.borrow_mut().push(outcome.unwrap_or_else(Outcome::from)),
            }
        }
        if self.traps {
            core::arch::wasm32::unreachable();
        }
        match self.fails {
            Some(text) => Err(Failure::new(text)),
            None => Ok((self.value, outcomes.into_inner())),
        }
    }
}

impl Act {
    async fn perform(
        self,
        ctx: &Context,
        txn: &Transaction,
        outer: Option<&Transaction>,
    ) -> Result<Outcome, Failure> {
        let none = |()| Outcome::Nothing(());
        match self {
            Self::Step(step) => step.run(ctx),
            Self::Get(key) => Ok(Outcome::Value(txn.kv()?.get(&key)?)),
            Self::Wait(ms) => {
                timer::sleep(Duration::from_millis(ms)).await;
                Ok(none(()))
            }
            Self::Rollback => txn.rollback().map(none),
            Self::RollbackOuter => match outer {
                Some(outer) => outer.rollback().map(none),
                None => Err(Failure::new("this is the outermost")),
            },
            Self::Nested(inner) => {
                let inner: Pin<Box<dyn Future<Output = _>>> =
                    Box::pin(txn.nested(async |nested| inner.within(ctx, nested, Some(txn)).await));
                inner.await.map(|(value, _)| Outcome::Count(value))
            }
            Self::Sync => ctx.storage().sync().await.map(none),
            Self::Tell(name, key) => {
                other(&name)?.call::<Vec<()>>("run", ([Step::Put(key, Bytes(Vec::new()))],)).await?;
                Ok(none(()))
            }
            Self::Until(name, key) => loop {
                let keys = [Step::Keys(Options::default())];
                let keys: Vec<Vec<String>> = other(&name)?.call("run", (keys,)).await?;
                if keys.concat().contains(&key) {
                    return Ok(none(()));
                }
                timer::sleep(Duration::from_millis(1)).await;
            },
        }
    }
}

fn other(name: &str) -> Result<Stub, Failure> {
    Namespace::new("Kv").get_by_name(name)
}
