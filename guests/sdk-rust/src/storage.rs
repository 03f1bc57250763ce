//! The database as a whole: parts of a turn that can be undone, waiting until writes are durable, removing all.
//!
//! SQL, keys and values belong to both alike.

use crate::bindings::durabo::object::storage as wit;
use crate::failure::Failure;

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
