//! Transactions over waits: each lives in a critical section and ends with it at the latest (TX-5, T9).
//!
//! What leaves the object meanwhile waits for what was committed before the transaction and never for the
//! transaction itself, which goes on only when the object hears from outside (TX-13).

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_storage::transaction::{TransactionError, TransactionId};

use super::ObjectContext;
use crate::blocking::blocking;
use crate::input_gate::Section;

/// Bytes of the WAL from which a commit may take so long that the thread's other tasks are handed over.
const LONG_COMMIT_BYTES: usize = 1024 * 1024;

/// A transaction of a guest, open or ended.
#[derive(Debug)]
pub struct Transaction {
    id: TransactionId,
    is_committed: bool,
}

/// Why a transaction was not begun or ended.
#[derive(Debug)]
pub enum TransactionFailure {
    /// The guest is told.
    Refused(Failure),
    /// The instance has to be reset.
    Fatal(Failure),
}

impl ObjectContext {
    /// Commits what the turn wrote and begins a transaction, in a section that the guest has entered and not
    /// left; within the one that is open in a section around that one, if any (TX-10). Only after
    /// [`poll_room`](Self::poll_room).
    pub fn begin_transaction(&mut self, section: &Section) -> Result<Transaction, TransactionFailure> {
        self.forget_ended_transactions();
        self.check_section(section).map_err(TransactionFailure::Refused)?;
        self.database.check_transaction_begin().map_err(|error| self.refused("begin", false, error))?;
        if !self.database.is_in_transaction() {
            self.end_turn().map_err(TransactionFailure::Fatal)?;
        }
        let begun = self.database.transaction_begin();
        let id = begun.map_err(|error| self.refused("begin", false, error))?;
        self.instance.transactions.push((section.serial(), id));
        Ok(Transaction { id, is_committed: false })
    }

    /// Ends it and keeps what it wrote. With the outermost all of it is handed to the log, and what leaves the
    /// object later waits for that (TX-10, TX-13).
    pub fn commit_transaction(&mut self, transaction: &mut Transaction) -> Result<(), TransactionFailure> {
        // Behind a broken gate nothing more is committed (invariant 6).
        let durable = self.gate.durable_unless_broken().map_err(TransactionFailure::Fatal)?;
        let id = transaction.id;
        let takes_long =
            self.database.has_rows_to_read_ahead() || self.database.wal_bytes() > LONG_COMMIT_BYTES;
        let committed = match takes_long {
            true => blocking(|| self.database.transaction_commit(id)),
            false => self.database.transaction_commit(id),
        };
        // Also one that was undone for a constraint has ended.
        self.forget_ended_transactions();
        let commit = committed.map_err(|error| self.refused("commit", transaction.is_committed, error))?;
        transaction.is_committed = true;
        match commit {
            Some(commit) => self.push_commit(commit, durable).map_err(TransactionFailure::Fatal),
            None => Ok(()),
        }
    }

    /// Ends it and undoes what it wrote; does nothing if that was done (TX-7).
    pub fn roll_back_transaction(&mut self, transaction: &Transaction) -> Result<(), TransactionFailure> {
        let undone = self.database.transaction_rollback(transaction.id);
        self.forget_ended_transactions();
        match undone {
            Err(TransactionError::NotOpen) if !transaction.is_committed => Ok(()),
            undone => undone.map_err(|error| self.refused("rollback", transaction.is_committed, error)),
        }
    }

    /// Forgets a transaction; if it is open it is rolled back.
    pub fn drop_transaction(&mut self, transaction: &Transaction) {
        self.database.transaction_drop(transaction.id);
        self.forget_ended_transactions();
    }

    /// Leaves a section, whereupon a transaction that lives in it and is open is rolled back (TX-5). Only the
    /// first time has an effect.
    pub fn leave_section(&mut self, section: &Section) {
        if !is_planted(Mutation::KeepTransactionOfLeftSection) {
            self.end_transactions_of(section);
        }
        section.leave();
    }

    /// Rolls back what is open when there is no instance any more.
    pub(crate) fn end_transactions(&mut self) {
        if let Some((_, outermost)) = self.instance.transactions.first() {
            self.database.transaction_drop(*outermost);
            self.forget_ended_transactions();
        }
        self.instance.transactions.clear();
    }

    fn end_transactions_of(&mut self, section: &Section) {
        let serial = section.serial();
        if let Some((_, id)) = self.instance.transactions.iter().find(|(of, _)| *of == serial) {
            self.database.transaction_drop(*id);
            self.forget_ended_transactions();
        }
    }

    fn forget_ended_transactions(&mut self) {
        let count_before = self.instance.transactions.len();
        let database = &self.database;
        self.instance.transactions.retain(|(_, id)| database.is_transaction_open(*id));
        if self.instance.transactions.len() < count_before {
            // What it had spilled was counted at the ends of turns. If it is undone that is gone, and there may
            // come neither a commit nor a checkpoint that would say so.
            self.count_wal();
        }
    }

    fn check_section(&self, section: &Section) -> Result<(), Failure> {
        if !section.is_entered() {
            let text = "the critical section in which a transaction was to begin has been left";
            return Err(Failure::new(ErrorCode::SectionLeft, text));
        }
        let text = if !section.is_innermost() {
            "a critical section within the one in which a transaction was to begin is open; begin it there"
        } else if self.instance.transactions.iter().any(|(of, _)| *of == section.serial()) {
            "a transaction is open in this critical section; enter one within it for a nested transaction"
        } else {
            return Ok(());
        };
        Err(Failure::new(ErrorCode::TransactionOpen, text))
    }

    fn refused(&self, call: &str, was_committed: bool, error: TransactionError) -> TransactionFailure {
        let text = error.to_string();
        TransactionFailure::Refused(match error {
            TransactionError::NotOpen if was_committed => {
                let text = format!(
                    "Cannot call {call} on transaction that has already committed: did you move `txn` outside \
                     of the closure?"
                );
                Failure::new(ErrorCode::TransactionEnded, text)
            }
            TransactionError::NotOpen => {
                let text = format!("Cannot {call} on rolled back transaction");
                Failure::new(ErrorCode::TransactionEnded, text)
            }
            TransactionError::NestedOpen(_) | TransactionError::SavepointOpen(_) => {
                Failure::new(ErrorCode::TransactionOpen, text)
            }
            TransactionError::Poisoned(cause) | TransactionError::Sql(cause) if cause.is_out_of_memory() => {
                Failure::new(ErrorCode::MemoryLimitExceeded, text)
            }
            TransactionError::Poisoned(_) | TransactionError::Constraint(_) | TransactionError::Sql(_) => {
                Failure::new(ErrorCode::StorageFailed, text)
            }
        })
    }
}
