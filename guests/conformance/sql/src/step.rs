//! The wire forms of the SQL subject: statements in, results and errors out.
//!
//! Serde forms of the JSON that the conformance suite sends.

use durabo::sql::{Counts, Cursor, SqlError, Value};
use serde::{Deserialize, Serialize};

/// One statement to run.
#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) bindings: Vec<Value>,
    /// In place of `bindings`: it is run once for each group.
    #[serde(default)]
    pub(crate) groups: Option<Vec<Vec<Value>>>,
    /// Rows to take at most; all without it.
    #[serde(default)]
    pub(crate) rows: Option<usize>,
    /// Rows that the host is asked for at a time; a convenient number without it.
    #[serde(default)]
    pub(crate) batch: Option<u32>,
}

/// What became of it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Rows { columns: Vec<String>, rows: Vec<Vec<Value>>, counts: Cost },
    Failed { error: Refusal },
}

/// Cost of a statement so far.
#[derive(Serialize)]
pub(crate) struct Cost {
    rows_read: u64,
    rows_written: u64,
}

impl From<Counts> for Cost {
    fn from(counts: Counts) -> Self {
        Self { rows_read: counts.rows_read, rows_written: counts.rows_written }
    }
}

/// Why a statement failed.
#[derive(Serialize)]
pub(crate) struct Refusal {
    code: i32,
    name: String,
    message: String,
    offset: Option<u32>,
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        Self { code: error.code, name: error.name, message: error.message, offset: error.offset }
    }
}

impl From<SqlError> for Outcome {
    fn from(error: SqlError) -> Self {
        Self::Failed { error: error.into() }
    }
}

/// What many groups of bindings gave.
pub(crate) fn written(counts: Result<Counts, SqlError>) -> Outcome {
    match counts {
        Ok(counts) => Outcome::Rows { columns: Vec::new(), rows: Vec::new(), counts: counts.into() },
        Err(error) => error.into(),
    }
}

/// Takes up to `rows_max` rows and tells the cost after them.
pub(crate) fn take(cursor: &mut Cursor, rows_max: usize) -> Outcome {
    match cursor.raw().take(rows_max).collect::<Result<Vec<_>, _>>() {
        Ok(rows) => {
            Outcome::Rows { columns: cursor.columns().to_vec(), rows, counts: cursor.counts().into() }
        }
        Err(error) => error.into(),
    }
}
