//! The database as a whole: what can be undone within a turn and over waits, waiting until writes are durable,
//! removing all.
//!
//! SQL, keys and values belong to all of it alike.

use crate::bindings::durabo::object::storage as wit;
use crate::failure::Failure;
use crate::transaction::{self, Transaction};

/// The object's database as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    pub(crate) _by_context: (),
}

impl Storage {
    /// Runs `work`; if it fails, everything that it wrote is undone and its error is returned (TX-1). They nest
    /// (TX-2), 64 deep at most. What it wrote is not durable at its end: it joins the turn's writes (TX-4).
    ///
    /// ```no_run
    /// # fn example(ctx: durabo::Context) -> Result<(), durabo::Failure> {
    /// ctx.storage().transaction_sync(|| {
    ///     ctx.sql().exec("UPDATE account SET balance = balance - 5 WHERE id = 1", ())?;
    ///     ctx.kv().put("last", "withdrawal")
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn transaction_sync<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let savepoint = self.savepoint()?;
        let value = work()?;
        savepoint.release()?;
        Ok(value)
    }

    /// Runs `work` in a transaction of its own that may span waits, as a critical section: no other event of the
    /// object runs meanwhile (TX-5). What the turn wrote before is committed first. If `work` succeeds, everything
    /// that it wrote is committed together; if it fails, all of it is undone and its error is returned, and the
    /// object goes on.
    ///
    /// ```no_run
    /// # use durabo::{Context, Failure, Stub};
    /// # async fn example(ctx: Context, bank: Stub) -> Result<(), Failure> {
    /// ctx.storage()
    ///     .transaction(async |_txn| {
    ///         ctx.sql().exec("INSERT INTO booking VALUES (7)", ())?;
    ///         bank.call::<()>("withdraw", (5,)).await?;
    ///         ctx.kv().put("last", "booked")
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// SQL, keys and values are all part of it, however they are reached (TX-6). A call from within leaves before
    /// the commit and is not undone (TX-13). Longer than 30 s it resets the object, as a section does (IG-9).
    /// Inside of `work` use [`Transaction::nested`] and never this: it would wait for itself. Fails also if the
    /// commit fails, for instance since constraints are violated still; then everything is undone.
    pub async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        transaction::run(None, work).await
    }

    /// Opens a savepoint. If it is dropped, or open when the turn ends, it is rolled back.
    pub fn savepoint(&self) -> Result<Savepoint, Failure> {
        Ok(Savepoint { handle: wit::Savepoint::begin().map_err(Failure::from_host)? })
    }

    /// Waits until everything that was written before is durable (OG-9). Ends the turn.
    pub async fn sync(&self) -> Result<(), Failure> {
        wit::sync().await.map_err(Failure::from_host)
    }

    /// Removes everything, at once: tables, keys, the alarm (KV-15, KV-16). What the turn wrote before goes with it,
    /// and open cursors end; what it writes afterwards stays. Fails within a savepoint or a transaction (TX-9).
    pub fn delete_all(&self) -> Result<(), Failure> {
        wit::delete_all().map_err(Failure::from_host)
    }
}

/// A part of a turn that can be undone. Only the innermost one may be ended.
#[derive(Debug)]
#[must_use = "what is written is undone when this is dropped"]
pub struct Savepoint {
    handle: wit::Savepoint,
}

impl Savepoint {
    /// Keeps what was written since.
    pub fn release(self) -> Result<(), Failure> {
        self.handle.release().map_err(Failure::from_host)
    }

    /// Undoes what was written since.
    pub fn rollback(self) -> Result<(), Failure> {
        self.handle.rollback().map_err(Failure::from_host)
    }
}
