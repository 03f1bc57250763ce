//! Running a guest's SQL: statement after statement, the last one's rows out (SQ-1 to SQ-5).
//!
//! Statements that write run to their end here, so that none is active over a turn's end; the last
//! one may stay open as a cursor only if it reads.

use durabo_model::limits::{CURSORS_OPEN_MAX, ROWS_BATCH_BYTES_MAX, SQL_RETURNING_BYTES_MAX};

use crate::cursor::{Cursor, Running};
use crate::database::{CursorId, Database};
use crate::sql_error::{LIMIT_EXCEEDED, NO_STATEMENT, SqlError, WRONG_BINDINGS};
use crate::statement::{Counts, Statement};
use crate::value::Value;

/// What SQLite takes for white space.
const WHITE_SPACE: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

const SAVEPOINT: &str = "SAVEPOINT _cf_statement";
const RELEASE: &str = "RELEASE _cf_statement";
const ROLLBACK_TO: &str = "ROLLBACK TO _cf_statement";

/// Names in the schema that only the host may give, and foreign keys to its tables (SQ-17). A guest may have a table
/// of the function's name, but none in the schema of temporary ones.
const RESERVED_COUNT: &str = "SELECT (SELECT count(*) FROM sqlite_schema \
        WHERE substr(name, 1, 4) = '_cf_' COLLATE NOCASE OR substr(tbl_name, 1, 4) = '_cf_' COLLATE NOCASE) \
    + (SELECT count(*) FROM sqlite_schema AS s, temp.pragma_foreign_key_list(s.name) AS f \
        WHERE s.type = 'table' AND substr(f.\"table\", 1, 4) = '_cf_' COLLATE NOCASE)";

/// Answer to [`Database::exec`].
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSet {
    /// Column names in order, duplicates kept; empty for a statement without result (SQ-11).
    pub columns: Vec<String>,
    /// First rows, row after row: `columns` values each.
    pub rows: Vec<Value>,
    /// Counts so far (SQ-15).
    pub counts: Counts,
    /// The rest of the rows; `None` if these were all.
    pub rest: Option<CursorId>,
}

/// Rows of a statement that ran to its end.
struct Finished {
    columns: Vec<String>,
    rows: Vec<Value>,
    counts: Counts,
}

impl Database {
    /// Runs all statements of `query`; bindings and result are the last one's. Gives up to `rows_max`
    /// rows, about 1 MiB at most. What ran before a failing statement stays in effect.
    pub fn exec(&mut self, query: &str, bindings: &[Value], rows_max: u32) -> Result<ResultSet, SqlError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(|database| database.exec_all(query, bindings, rows_max))
            .map_err(|error| self.explained(error))
    }

    fn exec_all(&mut self, query: &str, bindings: &[Value], rows_max: u32) -> Result<ResultSet, SqlError> {
        if let Some((text, statement)) = self.cache.take(query) {
            return self.run_last(Running { statement, text: Some(text) }, bindings, rows_max);
        }
        let mut at = 0;
        loop {
            let prepared = self.connection.prepare(&query[at..], at);
            let prepared = prepared.map_err(|error| self.noticed(error))?;
            let Some((mut statement, used)) = prepared else {
                return Err(no_statement());
            };
            let rest = behind(query, at + used);
            if rest.is_empty() {
                let text = (at == 0 && !statement.seen.pragma()).then(|| query.to_owned());
                return self.run_last(Running { statement, text }, bindings, rows_max);
            }
            if statement.parameters() > 0 {
                let text = "When executing multiple SQL statements in a single call, only the last \
                            statement can have parameters.";
                return Err(SqlError::host(WRONG_BINDINGS, text));
            }
            self.run_to_end(&mut statement, None)?;
            at = query.len() - rest.len();
        }
    }

    fn run_last(
        &mut self,
        mut running: Running,
        bindings: &[Value],
        rows_max: u32,
    ) -> Result<ResultSet, SqlError> {
        running.statement.bind(bindings)?;
        if running.statement.is_read_only() {
            return self.open_cursor(running, rows_max);
        }
        let rows_bytes_max = SQL_RETURNING_BYTES_MAX.min(self.room_for_rows());
        let result = self.run_to_end(&mut running.statement, Some(rows_bytes_max));
        self.put_back(Some(running));
        let Finished { columns, rows, counts } = result?;
        let mut cursor = Cursor::kept(rows, columns.len(), counts);
        let mut first = Vec::new();
        cursor.take(rows_max, ROWS_BATCH_BYTES_MAX, &mut first)?;
        let rest = self.keep_cursor(cursor)?;
        Ok(ResultSet { columns, rows: first, counts, rest })
    }

    /// Steps a reading statement to its first row and takes what was asked for.
    fn open_cursor(&mut self, mut running: Running, rows_max: u32) -> Result<ResultSet, SqlError> {
        if running.statement.seen.defer() {
            self.begin_confirmed_turn()?;
        }
        running.statement.clear_counters();
        let step = running.statement.step();
        let columns = running.statement.column_names();
        if !matches!(step, Ok(true)) {
            let counts = Counts { rows_read: running.statement.rows_read(0), rows_written: 0 };
            self.cost += running.statement.cost();
            running.statement.reset();
            self.put_back(Some(running));
            step.map_err(|error| self.noticed(error))?;
            return Ok(ResultSet { columns, rows: Vec::new(), counts, rest: None });
        }
        let mut cursor = Cursor::running(running);
        let mut rows = Vec::new();
        let mut taken = cursor.take(rows_max, ROWS_BATCH_BYTES_MAX, &mut rows)?;
        self.cost += cursor.cost(&mut taken);
        if let Some(error) = self.absorb(taken).filter(|_| self.poison.is_some()) {
            return Err(error);
        }
        let counts = cursor.counts();
        let rest = self.keep_cursor(cursor)?;
        Ok(ResultSet { columns, rows, counts, rest })
    }

    fn keep_cursor(&mut self, mut cursor: Cursor) -> Result<Option<CursorId>, SqlError> {
        if cursor.is_at_end() {
            return Ok(None);
        }
        if self.cursors.len() >= CURSORS_OPEN_MAX {
            let taken = cursor.close();
            self.put_back(taken.ended);
            let text = format!(
                "{CURSORS_OPEN_MAX} cursors are open, which is the limit; read them to their end or drop them"
            );
            return Err(SqlError::host(LIMIT_EXCEEDED, text));
        }
        let id = CursorId(self.next_cursor);
        self.next_cursor = self.next_cursor.wrapping_add(1);
        self.cursors.insert(id, cursor);
        Ok(Some(id))
    }

    /// Runs a statement to its end. Its rows are kept up to `rows_bytes_max` bytes, beyond which it is
    /// undone; `None` drops them.
    fn run_to_end(
        &mut self,
        statement: &mut Statement,
        rows_bytes_max: Option<usize>,
    ) -> Result<Finished, SqlError> {
        let writes = !statement.is_read_only();
        if writes || statement.seen.defer() {
            self.begin_confirmed_turn()?;
        }
        // Only these may have to be undone although SQLite sees no error.
        let keeps_rows = rows_bytes_max.is_some() && statement.columns() > 0;
        let may_name_hosts = statement.may_name_hosts;
        if !(writes && (keeps_rows || may_name_hosts)) {
            return self.step_to_end(statement, rows_bytes_max);
        }
        self.all_or_nothing(may_name_hosts, |database| database.step_to_end(statement, rows_bytes_max))
    }

    /// Runs `work` and undoes what it wrote if it fails. One that `may_name_hosts` tables also fails if it did
    /// (SQ-17). The turn must be open.
    pub(crate) fn all_or_nothing<T>(
        &mut self,
        may_name_hosts: bool,
        work: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let reserved = if may_name_hosts { Some(self.host_query::<i64>(RESERVED_COUNT)?) } else { None };
        self.host_run(SAVEPOINT)?;
        let mut result = work(self);
        self.check_poison()?;
        if let (Ok(_), Some(before)) = (&result, reserved) {
            match self.host_query::<i64>(RESERVED_COUNT) {
                Ok(after) if after <= before => {}
                Ok(_) => result = Err(SqlError::not_authorized()),
                // What it did is not known, so it is undone.
                Err(error) => result = Err(error),
            }
            self.check_poison()?;
        }
        if result.is_err() {
            self.host_run(ROLLBACK_TO)?;
        }
        self.host_run(RELEASE)?;
        result
    }

    fn step_to_end(
        &mut self,
        statement: &mut Statement,
        rows_bytes_max: Option<usize>,
    ) -> Result<Finished, SqlError> {
        let ((columns, rows, rows_read), rows_written) = self.counting_writes(|database| {
            statement.clear_counters();
            let (mut rows, mut bytes, mut returned) = (Vec::new(), 0, 0);
            let outcome = loop {
                match statement.step() {
                    Ok(true) => returned += 1,
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                }
                let Some(bytes_max) = rows_bytes_max else { continue };
                bytes += statement.row(&mut rows);
                if bytes > bytes_max {
                    break Err(returns_too_much(bytes_max));
                }
            };
            let columns = statement.column_names();
            database.cost += statement.cost();
            let returned = if statement.is_read_only() { returned } else { 0 };
            let rows_read = statement.rows_read(returned);
            statement.reset();
            outcome.map_err(|error| database.noticed(error))?;
            Ok((columns, rows, rows_read))
        })?;
        Ok(Finished { columns, rows, counts: Counts { rows_read, rows_written } })
    }

    /// Runs `work`, which may write, and counts the rows that it wrote. While the turn may not begin to write,
    /// it fails as on a full disk if it changed something; and always if it ended the turn's transaction.
    pub(crate) fn counting_writes<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<(T, u64), SqlError> {
        let is_first_write = self.turn_open && !self.turn_wrote;
        let schema =
            if is_first_write && self.refuses_writes() { Some(self.schema_version()?) } else { None };
        let changes = self.connection.total_changes();
        let answer = work(self)?;
        let rows_written = self.connection.total_changes() - changes;
        if let Some(schema) = schema {
            // What changes nothing, such as `CREATE TABLE IF NOT EXISTS`, needs no space.
            if rows_written > 0 || self.schema_version()? != schema {
                return Err(self.refuse_write());
            }
        } else {
            self.turn_wrote = self.turn_open;
        }
        if self.turn_open && self.connection.is_autocommit() {
            let text = "the statement ended the turn's transaction";
            return Err(self.noticed(SqlError::sqlite(rusqlite::ffi::SQLITE_ABORT, text, None)));
        }
        Ok((answer, rows_written))
    }

    fn schema_version(&mut self) -> Result<i64, SqlError> {
        self.host_query("PRAGMA schema_version")
    }
}

fn returns_too_much(bytes_max: usize) -> SqlError {
    let text = format!(
        "the rows of RETURNING are over {bytes_max} bytes, which is the limit; return fewer columns, write fewer \
         rows at once or read open cursors to their end"
    );
    SqlError::host(LIMIT_EXCEEDED, text)
}

/// What stands behind a statement, without the white space that may.
pub(crate) fn behind(query: &str, used: usize) -> &str {
    query[used..].trim_start_matches(WHITE_SPACE)
}

/// Why a text without a statement is refused (SQ-5).
pub(crate) fn no_statement() -> SqlError {
    SqlError::host(NO_STATEMENT, "SQL code did not contain a statement.")
}
