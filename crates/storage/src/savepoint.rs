//! Parts of a turn that can be undone: a stack of SQLite's savepoints in the turn's transaction (TX-1 to TX-4).
//!
//! All have the same name, by which SQLite means the innermost one. Those that are open when the turn ends are
//! rolled back; what is released joins the turn.

use durabo_model::limits::SAVEPOINTS_NESTED_MAX;
use thiserror::Error;

use crate::database::Database;
use crate::sql_error::SqlError;

pub use crate::database::SavepointId;

const BEGIN: &str = "SAVEPOINT _cf_savepoint";
const RELEASE: &str = "RELEASE _cf_savepoint";
const ROLLBACK_TO: &str = "ROLLBACK TO _cf_savepoint";

/// Why a savepoint could not be opened or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SavepointError {
    /// Too many are open.
    #[error(
        "{SAVEPOINTS_NESTED_MAX} savepoints are open, which is the limit; end some before more are opened"
    )]
    TooDeep,
    /// It was ended, or rolled back at the end of its turn.
    #[error("the savepoint is not open any more: it was ended, or rolled back when its turn ended")]
    NotOpen,
    /// Another one was opened within it and is open.
    #[error("the savepoint holds another one that is still open; end that first")]
    NotInnermost,
    /// The turn's transaction is gone (OG-10, TX-12).
    #[error("Cannot commit transaction due to an earlier SQL critical error: {0}")]
    Poisoned(SqlError),
    /// SQLite failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Database {
    /// Opens a savepoint, within the innermost one that is open.
    pub fn savepoint_begin(&mut self) -> Result<SavepointId, SavepointError> {
        self.check_poison()?;
        if self.savepoints.len() >= SAVEPOINTS_NESTED_MAX {
            return Err(SavepointError::TooDeep);
        }
        self.within_memory(|database| {
            database.begin_turn()?;
            database.host_run(BEGIN)
        })?;
        let id = SavepointId(self.next_savepoint);
        self.next_savepoint += 1;
        self.savepoints.push(id);
        Ok(id)
    }

    /// Ends the innermost savepoint and keeps what was written within it: it joins what is around it (TX-4).
    pub fn savepoint_release(&mut self, id: SavepointId) -> Result<(), SavepointError> {
        if let Some(poison) = &self.poison {
            return Err(SavepointError::Poisoned(poison.clone()));
        }
        self.check_innermost(id)?;
        self.within_memory(|database| database.host_run(RELEASE))?;
        self.savepoints.pop();
        Ok(())
    }

    /// Ends the innermost savepoint and undoes what was written since it was opened.
    pub fn savepoint_rollback(&mut self, id: SavepointId) -> Result<(), SavepointError> {
        self.check_poison()?;
        self.check_innermost(id)?;
        Ok(self.roll_back_innermost()?)
    }

    /// Forgets a savepoint whose owner has gone. If it is open it is rolled back, with those within it; a failure
    /// poisons the database.
    pub fn savepoint_drop(&mut self, id: SavepointId) {
        let Some(place) = self.savepoints.iter().position(|open| *open == id) else { return };
        self.roll_back_from(place);
    }

    /// Rolls back all savepoints that are open, at the end of a turn or of a run. If that fails the database is
    /// poisoned.
    pub fn roll_back_savepoints(&mut self) {
        self.roll_back_from(0);
    }

    fn roll_back_from(&mut self, place: usize) {
        while self.savepoints.len() > place {
            if let Err(error) = self.roll_back_innermost() {
                // The turn must not be committed with what was to be undone.
                self.poison.get_or_insert(error);
                self.abandon();
            }
        }
    }

    fn roll_back_innermost(&mut self) -> Result<(), SqlError> {
        self.within_memory(|database| {
            database.host_run(ROLLBACK_TO)?;
            database.host_run(RELEASE)
        })?;
        self.savepoints.pop();
        self.forget_tables();
        Ok(())
    }

    fn check_innermost(&self, id: SavepointId) -> Result<(), SavepointError> {
        match self.savepoints.last() {
            Some(innermost) if *innermost == id => Ok(()),
            _ if self.savepoints.contains(&id) => Err(SavepointError::NotInnermost),
            _ => Err(SavepointError::NotOpen),
        }
    }
}
