//! Transactions that may span waits: a closure in a critical section, all or nothing (TX-5 to TX-13).
//!
//! Begun by [`Storage::transaction`](crate::storage::Storage::transaction); the closure gets a [`Transaction`].

use std::cell::Cell;

use crate::bindings::durabo::object::context::CriticalSection;
use crate::bindings::durabo::object::storage as wit;
use crate::bindings::durabo::object::types::WriteFlags;
use crate::failure::{Failure, FailureKind};
use crate::kv::Kv;
use crate::sql::Sql;

/// An open transaction, as its closure has it. Whatever the object writes meanwhile belongs to it (TX-6); it is
/// here to be rolled back, and for one within it.
#[derive(Debug)]
pub struct Transaction {
    // Goes before its section.
    handle: wit::Transaction,
    section: CriticalSection,
    is_rolled_back: Cell<bool>,
}

impl Transaction {
    /// Undoes what was written and ends the transaction, though the closure goes on; its value is returned all the
    /// same (TX-7). A second time: nothing. Fails while one within it is open (TX-10).
    pub fn rollback(&self) -> Result<(), Failure> {
        self.handle.rollback().map_err(Failure::from_host)?;
        self.is_rolled_back.set(true);
        Ok(())
    }

    /// The object's database, if this is still open.
    pub fn sql(&self) -> Result<Sql, Failure> {
        self.check("sql")?;
        Ok(Sql { _by_context: () })
    }

    /// The object's keys and values, if this is still open.
    pub fn kv(&self) -> Result<Kv, Failure> {
        self.check("kv")?;
        Ok(Kv { flags: WriteFlags::empty() })
    }

    /// Runs `work` in a transaction within this one: if it fails, its part alone is undone; if it succeeds, its
    /// part becomes final with this one (TX-10). 64 deep at most.
    pub async fn nested<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.check("nested")?;
        run(Some(&self.section), work).await
    }

    fn check(&self, call: &str) -> Result<(), Failure> {
        if !self.is_rolled_back.get() {
            return Ok(());
        }
        let failure = Failure::new(format!("Cannot use `{call}` on rolled back transaction"));
        Err(failure.with_kind(FailureKind::InvalidState).with_code("transaction-ended"))
    }
}

pub(crate) async fn run<T>(
    within: Option<&CriticalSection>,
    work: impl AsyncFnOnce(&Transaction) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let section = CriticalSection::enter(within).await.map_err(Failure::from_host)?;
    let handle = wit::Transaction::begin(&section).map_err(Failure::from_host)?;
    let transaction = Transaction { handle, section, is_rolled_back: Cell::new(false) };
    let value = work(&transaction).await?;
    if !transaction.is_rolled_back.get() {
        transaction.handle.commit().map_err(Failure::from_host)?;
    }
    Ok(value)
}
