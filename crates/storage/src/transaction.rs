//! Transactions over waits: the outermost is SQLite's transaction, those within it are savepoints (TX-5 to TX-12).
//!
//! While one is open the ends of turns commit nothing, and what is written belongs to it. Who may begin one, and
//! that it does not outlive its critical section, is the object's to see to.

use rusqlite::ffi;
use thiserror::Error;

use crate::database::Database;
use crate::sql_error::SqlError;
use crate::turn::TurnCommit;

pub use crate::database::TransactionId;

const BEGIN_NESTED: &str = "SAVEPOINT _cf_transaction";
const RELEASE: &str = "RELEASE _cf_transaction";
const ROLLBACK_TO: &str = "ROLLBACK TO _cf_transaction";

/// Why a transaction could not be begun or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// It was ended: committed or rolled back.
    #[error("the transaction is not open any more")]
    NotOpen,
    /// Another one was begun within it and is open (TX-10).
    #[error("Cannot {0} an outer transaction while a nested transaction is still running.")]
    NestedOpen(&'static str),
    /// A savepoint is open, which ends with its turn and must not go with it unseen.
    #[error("Cannot {0} a transaction while a savepoint is open; end that first")]
    SavepointOpen(&'static str),
    /// SQLite's transaction is gone (OG-10, TX-12).
    #[error("Cannot commit transaction due to an earlier SQL critical error: {0}")]
    Poisoned(SqlError),
    /// It was rolled back, since constraints were violated still.
    #[error("the transaction was rolled back because constraints were violated: {0}")]
    Constraint(SqlError),
    /// SQLite failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Database {
    /// Whether a transaction over waits is open.
    pub fn is_in_transaction(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// Whether this one is open.
    pub fn is_transaction_open(&self, id: TransactionId) -> bool {
        self.transactions.contains(&id)
    }

    /// Whether [`transaction_begin`](Self::transaction_begin) would be refused.
    pub fn check_transaction_begin(&self) -> Result<(), TransactionError> {
        self.check_poison()?;
        if self.savepoints.is_empty() { Ok(()) } else { Err(TransactionError::SavepointOpen("begin")) }
    }

    /// Begins one, within the innermost that is open. If none is, the turn must have been ended.
    pub fn transaction_begin(&mut self) -> Result<TransactionId, TransactionError> {
        self.check_transaction_begin()?;
        let is_nested = self.is_in_transaction();
        assert!(is_nested || !self.turn_open, "BUG: a transaction in the midst of a turn that has written");
        self.within_memory(|database| match is_nested {
            true => database.host_run(BEGIN_NESTED),
            false => database.begin_turn(),
        })?;
        let id = TransactionId(self.next_transaction);
        self.next_transaction += 1;
        self.transactions.push(id);
        Ok(id)
    }

    /// Ends the innermost one and keeps what it wrote: with the outermost, cursors are settled and all is
    /// committed (TX-10). `None` if that changed nothing or it is nested. If constraints are violated still, all
    /// is undone and nothing else.
    pub fn transaction_commit(&mut self, id: TransactionId) -> Result<Option<TurnCommit>, TransactionError> {
        if let Some(poison) = &self.poison {
            return Err(TransactionError::Poisoned(poison.clone()));
        }
        self.check_innermost_transaction(id, "commit")?;
        if !self.savepoints.is_empty() {
            return Err(TransactionError::SavepointOpen("commit"));
        }
        if self.transactions.len() > 1 {
            self.within_memory(|database| database.host_run(RELEASE))?;
            self.transactions.pop();
            return Ok(None);
        }
        self.settle_statements()?;
        assert!(!self.connection.is_busy(), "BUG: a statement is active while a transaction is committed");
        self.transactions.pop();
        match self.commit() {
            Err(error) if error.primary() == ffi::SQLITE_CONSTRAINT => {
                self.undo_outermost();
                Err(TransactionError::Constraint(error))
            }
            Err(error) => {
                self.poison.get_or_insert(error.clone());
                self.abandon();
                Err(TransactionError::Sql(error))
            }
            Ok(commit) => Ok(commit),
        }
    }

    /// Ends the innermost one and undoes what was written since it was begun, with savepoints that are open.
    /// Cursors go on, or say `cursor-closed`. A failure of SQLite poisons the database.
    pub fn transaction_rollback(&mut self, id: TransactionId) -> Result<(), TransactionError> {
        self.check_innermost_transaction(id, "roll back")?;
        self.roll_back_innermost_transaction();
        Ok(self.check_poison()?)
    }

    /// Rolls one back whose owner or section has gone, if it is open, with those within it.
    pub fn transaction_drop(&mut self, id: TransactionId) {
        while self.transactions.contains(&id) {
            self.roll_back_innermost_transaction();
        }
    }

    fn roll_back_innermost_transaction(&mut self) {
        if self.transactions.len() == 1 {
            return self.undo_outermost();
        }
        self.transactions.pop();
        self.savepoints.clear();
        self.forget_tables();
        let undone = self.within_memory(|database| {
            database.host_run(ROLLBACK_TO)?;
            database.host_run(RELEASE)
        });
        self.unless_undone(undone);
    }

    fn undo_outermost(&mut self) {
        match self.within_memory(|database| database.connection.run("ROLLBACK", &[])) {
            Ok(()) => self.transaction_is_over(),
            failed => self.unless_undone(failed),
        }
    }

    /// What was to be undone must not be committed.
    fn unless_undone(&mut self, undone: Result<(), SqlError>) {
        if let Err(error) = undone {
            self.poison.get_or_insert(error);
            self.abandon();
        }
    }

    fn check_innermost_transaction(
        &self,
        id: TransactionId,
        verb: &'static str,
    ) -> Result<(), TransactionError> {
        match self.transactions.last() {
            Some(innermost) if *innermost == id => Ok(()),
            _ if self.transactions.contains(&id) => Err(TransactionError::NestedOpen(verb)),
            _ => Err(TransactionError::NotOpen),
        }
    }
}
