//! Class `Kv`: calls in one turn, transactions, values of serde's own types, waiting for the disk.
//!
//! Driven over RPC by the conformance suite.

use std::time::Duration;

use durabo::storage::Savepoint;
use durabo::{Context, Failure, Namespace, State, timer};

use crate::over_waits::{OverWaits, Told};
use crate::step::{Outcome, Step};
use crate::transaction::Transaction;

/// Runs what it is told.
pub struct Kv {
    ctx: Context,
    hits: State<u32>,
}

#[durabo::object]
impl Kv {
    /// Makes nothing.
    pub fn new(ctx: Context) -> Self {
        Self { ctx, hits: State::new(0) }
    }

    /// Takes what key `asked` holds over into key `woken`.
    pub fn alarm(&self) -> Result<(), Failure> {
        let kv = self.ctx.kv();
        match kv.get::<u64>("asked")? {
            Some(asked) => kv.put("woken", &asked),
            None => Ok(()),
        }
    }

    /// Stores a number under key `asked` and sets the alarm so many milliseconds ahead, in one turn.
    pub fn ask(&self, number: u64, delay_ms: u64) -> Result<(), Failure> {
        self.ctx.kv().put("asked", &number)?;
        self.ctx.alarm().set_in(Duration::from_millis(delay_ms)).map(drop)
    }

    /// What the last run of the alarm has taken over.
    pub fn woken(&self) -> Result<Option<u64>, Failure> {
        self.ctx.kv().get("woken")
    }

    /// Makes all calls in one turn, whatever becomes of each.
    pub fn run(&self, steps: Vec<Step>) -> Vec<Outcome> {
        steps.into_iter().map(|step| step.run(&self.ctx).unwrap_or_else(Outcome::from)).collect()
    }

    /// Makes all calls in one turn and traps: nothing of it may be seen again.
    pub fn run_and_trap(&self, steps: Vec<Step>) {
        self.run(steps);
        core::arch::wasm32::unreachable()
    }

    /// Makes all calls in one turn and aborts.
    pub fn run_and_abort(&self, steps: Vec<Step>) {
        self.run(steps);
        self.ctx.abort(Failure::new("aborted after all calls"))
    }

    /// Makes calls, waits for one of the object of that name, makes further calls and aborts.
    pub async fn run_wait_run_and_abort(
        &self,
        before: Vec<Step>,
        other: String,
        after: Vec<Step>,
    ) -> Result<(), Failure> {
        self.run(before);
        Namespace::new("Kv").get_by_name(&other)?.call::<Vec<()>>("run", ([(); 0],)).await?;
        self.run_and_abort(after);
        Ok(())
    }

    /// Makes all calls, then waits until they are durable.
    pub async fn run_and_sync(&self, steps: Vec<Step>) -> Result<Vec<Outcome>, Failure> {
        let outcomes = self.run(steps);
        self.ctx.storage().sync().await?;
        Ok(outcomes)
    }

    /// Stores values of every type as CBOR and gives them back, and that of a key that does not exist.
    pub fn round_trip(
        &self,
        values: Vec<serde_json::Value>,
    ) -> Result<Vec<Option<serde_json::Value>>, Failure> {
        let keys: Vec<String> = (0..=values.len()).map(|number| number.to_string()).collect();
        self.ctx.kv().put_many(keys.iter().cloned().zip(&values))?;
        keys.iter().map(|key| self.ctx.kv().get(key)).collect()
    }

    /// Changes what was stored and what was read; what a third reading gives.
    pub fn copies(&self) -> Result<Option<Vec<u32>>, Failure> {
        let kv = self.ctx.kv();
        let mut list = vec![1];
        kv.put("k", &list)?;
        list.push(2);
        if let Some(mut read) = kv.get::<Vec<u32>>("k")? {
            read.push(3);
        }
        kv.get("k")
    }

    /// Makes calls, then a transaction, all in one turn; the value of its closure.
    pub fn transact(&self, before: Vec<Step>, transaction: Transaction) -> Result<String, Failure> {
        self.run(before);
        transaction.run(&self.ctx)
    }

    /// As `transact`, and aborts in the same turn.
    pub fn transact_and_abort(&self, transaction: Transaction) -> Result<(), Failure> {
        transaction.run(&self.ctx)?;
        self.ctx.abort(Failure::new("aborted after the transaction"))
    }

    /// How often this was called on this instance.
    pub fn hit(&self) -> u32 {
        self.hits.with(|hits| {
            *hits += 1;
            *hits
        })
    }

    /// Makes calls, then a transaction over waits, which begins in the same turn; the value of its closure and
    /// what each act within gave.
    pub async fn transact_over_waits(
        &self,
        before: Vec<Step>,
        transaction: OverWaits,
    ) -> Result<Told, Failure> {
        self.run(before);
        transaction.run(&self.ctx).await
    }

    /// Opens savepoints around each of the calls and lets the turn end; what releasing them says then.
    pub async fn leave_open(&self, steps: Vec<Step>) -> Result<Vec<String>, Failure> {
        let mut open: Vec<Savepoint> = Vec::new();
        for step in steps {
            open.push(self.ctx.storage().savepoint()?);
            step.run(&self.ctx)?;
        }
        timer::sleep(Duration::from_millis(1)).await;
        let ends = open.into_iter().rev().map(|savepoint| savepoint.release());
        Ok(ends
            .map(|end| end.map_or_else(|failure| failure.code().to_owned(), |()| "kept".to_owned()))
            .collect())
    }
}
