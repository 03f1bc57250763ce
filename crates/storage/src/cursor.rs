//! Rows of a statement that were not read yet: from the running statement, or kept in memory.
//!
//! Used by `exec`; settled at the end of each turn, so that none holds a statement over it.

use std::vec;

use durabo_model::limits::CURSOR_READ_AHEAD_BYTES_MAX;

use crate::sql_error::SqlError;
use crate::statement::{Counts, Statement};
use crate::value::Value;

/// Names an open cursor of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId(pub u32);

/// A reading statement and the text by which it is cached, if it may be.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) statement: Statement,
    pub(crate) text: Option<String>,
}

#[derive(Debug)]
enum State {
    /// The statement stands on a row that was not taken.
    Running(Running),
    /// The rest is here; then perhaps an error.
    Kept(vec::IntoIter<Value>, Option<SqlError>),
    /// Reading fails.
    Failed(SqlError),
}

/// What became of the statement while rows were taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The statement, reset, once it has ended.
    pub(crate) ended: Option<Running>,
    /// The error it ended with.
    pub(crate) error: Option<SqlError>,
}

/// A cursor.
#[derive(Debug)]
pub(crate) struct Cursor {
    state: State,
    columns: usize,
    returned: u64,
    counts: Counts,
    /// Bytes of the rows that are here.
    kept_bytes: usize,
}

impl Cursor {
    /// A cursor of a statement that stands on its first row.
    pub(crate) fn running(mut running: Running) -> Self {
        let columns = running.statement.columns();
        let counts = Counts { rows_read: running.statement.rows_read(1), rows_written: 0 };
        Self { state: State::Running(running), columns, returned: 1, counts, kept_bytes: 0 }
    }

    /// A cursor of rows that are all here.
    pub(crate) fn kept(rows: Vec<Value>, columns: usize, counts: Counts) -> Self {
        let kept_bytes = rows.iter().map(Value::size_bytes).sum();
        Self { state: State::Kept(rows.into_iter(), None), columns, returned: 0, counts, kept_bytes }
    }

    /// Counts so far, rows that were read ahead included.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Operations of SQLite's machine in the whole run so far, also if it has just ended with `taken`;
    /// none for rows that are in memory.
    pub(crate) fn cost(&mut self, taken: &mut Taken) -> u64 {
        match (&mut taken.ended, &mut self.state) {
            (Some(running), _) | (None, State::Running(running)) => running.statement.cost(),
            _ => 0,
        }
    }

    /// Whether the statement has not ended.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Bytes of rows that it keeps in memory.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Whether no row is left.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(&self.state, State::Kept(rows, None) if rows.len() == 0)
    }

    /// Appends up to `rows_max` rows, and no further one once they have `bytes_max` bytes. An error
    /// that comes after rows is kept for the next call.
    pub(crate) fn take(
        &mut self,
        rows_max: u32,
        bytes_max: usize,
        rows: &mut Vec<Value>,
    ) -> Result<Taken, SqlError> {
        let mut taken = Taken::default();
        let (mut count, mut bytes) = (0, 0);
        while count < rows_max && (count == 0 || bytes < bytes_max) {
            match &mut self.state {
                State::Running(running) => {
                    bytes += running.statement.row(rows);
                    taken = self.advance();
                    count += 1;
                    if taken.ended.is_some() {
                        break;
                    }
                }
                State::Kept(kept, _) if kept.len() > 0 => {
                    for value in kept.take(self.columns) {
                        bytes += value.size_bytes();
                        self.kept_bytes = self.kept_bytes.saturating_sub(value.size_bytes());
                        rows.push(value);
                    }
                    count += 1;
                }
                State::Kept(_, None) => break,
                State::Kept(_, Some(_)) if count > 0 => break,
                State::Kept(_, Some(error)) | State::Failed(error) => return Err(error.clone()),
            }
        }
        Ok(taken)
    }

    fn advance(&mut self) -> Taken {
        let State::Running(running) = &mut self.state else { return Taken::default() };
        let step = running.statement.step();
        if matches!(step, Ok(true)) {
            self.returned += 1;
        }
        self.counts.rows_read = running.statement.rows_read(self.returned);
        match step {
            Ok(true) => Taken::default(),
            Ok(false) => self.end(None),
            // Rows that a roll-back of the schema took from under it (SQ-14).
            Err(error) if error.code == rusqlite::ffi::SQLITE_ABORT_ROLLBACK => {
                self.end(Some(SqlError::cursor_closed()))
            }
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<SqlError>) -> Taken {
        let state = State::Kept(Vec::new().into_iter(), error.clone());
        let State::Running(mut running) = std::mem::replace(&mut self.state, state) else {
            return Taken::default();
        };
        running.statement.reset();
        Taken { ended: Some(running), error }
    }

    /// Reads ahead what is left, so that the statement is over; if that is too much, or more than
    /// `room` bytes, gives it up.
    pub(crate) fn settle(&mut self, room: usize) -> Taken {
        if !matches!(self.state, State::Running(_)) {
            return Taken::default();
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        loop {
            let State::Running(running) = &mut self.state else { return Taken::default() };
            bytes += running.statement.row(&mut rows);
            if bytes > CURSOR_READ_AHEAD_BYTES_MAX.min(room) {
                return self.close();
            }
            let taken = self.advance();
            if taken.ended.is_some() {
                self.state = State::Kept(rows.into_iter(), taken.error.clone());
                self.kept_bytes = bytes;
                return taken;
            }
        }
    }

    /// Gives the rest up: reading on fails with `cursor-closed`.
    pub(crate) fn close(&mut self) -> Taken {
        let taken = self.end(None);
        self.state = State::Failed(SqlError::cursor_closed());
        self.kept_bytes = 0;
        taken
    }
}
