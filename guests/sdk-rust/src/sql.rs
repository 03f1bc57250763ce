//! SQL on the object's own database (rules SQ).
//!
//! Calls do not wait and let no other event in: what one method writes between two `.await`s is one
//! transaction. Rows come typed by serde: `exec(…)?.one::<i64>()`, `.rows::<Item>()`.

use std::marker::PhantomData;
use std::vec::IntoIter;

use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::sql as wit;
pub use crate::sql_error::SqlError;
use crate::sql_params::Groups;
pub use crate::sql_params::Params;
use crate::sql_row::{self, Columns};
pub use crate::sql_value::Value;

/// Rows that come with the answer of `exec`: enough for the usual query in one crossing.
const FIRST_ROWS_MAX: u32 = 100;

/// Rows and bytes of a later batch: large enough that crossings cost nothing beside SQLite, small
/// enough to be no burden on the instance's memory.
const BATCH_ROWS_MAX: u32 = 4096;
const BATCH_BYTES_MAX: u32 = 64 * 1024;

/// The object's database.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    pub(crate) _by_context: (),
}

impl Sql {
    /// Runs all statements of `query`; `params` belong to the last one and must be as many as it has
    /// parameters (SQ-3). Errors of every statement appear here. Rows are read from the [`Cursor`] as
    /// they are needed.
    pub fn exec(&self, query: &str, params: impl Params) -> Result<Cursor, SqlError> {
        self.run(query, params, FIRST_ROWS_MAX, Batch::Packed)
    }

    /// As [`exec`](Self::exec), with `rows_max` rows a batch instead of as many as are convenient: a
    /// cursor that is mostly left unread, or counts that grow with what was taken (SQ-15).
    pub fn exec_in_batches(
        &self,
        query: &str,
        params: impl Params,
        rows_max: u32,
    ) -> Result<Cursor, SqlError> {
        self.run(query, params, rows_max, Batch::Rows(rows_max.max(1)))
    }

    /// Runs one statement that writes once for each of `groups`, in order: all or nothing, and in one crossing of
    /// the sandbox. If a group fails, nothing is written, and the message names the group (EM-4). Rows of
    /// `RETURNING` are dropped. All groups have as many values as the statement has parameters, which must be one
    /// at least.
    ///
    /// The groups are collected in memory first. A call carries 64 MiB at most, in which a value counts 32 bytes
    /// and its text or blob; more is refused with `limit-exceeded`, since several calls would not be all or
    /// nothing.
    pub fn exec_many<P: Params>(
        &self,
        query: &str,
        groups: impl IntoIterator<Item = P>,
    ) -> Result<Counts, SqlError> {
        let Groups { count, values } = Groups::of(query, groups)?;
        wit::exec_many(query, count, &values).map(Counts::from_host).map_err(SqlError::from_host)
    }

    /// Bytes that the database occupies, with what this turn has written (SQ-26).
    pub fn database_size(&self) -> u64 {
        wit::database_size()
    }

    fn run(&self, query: &str, params: impl Params, rows_max: u32, batch: Batch) -> Result<Cursor, SqlError> {
        let set = wit::exec(query, &params.into_values(), rows_max).map_err(SqlError::from_host)?;
        Ok(Cursor {
            columns: Columns::new(set.columns),
            buffered: set.rows.into_iter(),
            rest: set.rest,
            counts: Counts::from_host(set.counts),
            batch,
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Batch {
    Packed,
    Rows(u32),
}

/// Cost of a statement so far (SQ-15). For accounting, not exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that were visited.
    pub rows_read: u64,
    /// Rows that were inserted, updated or deleted.
    pub rows_written: u64,
}

impl Counts {
    fn from_host(counts: wit::Counts) -> Self {
        Self { rows_read: counts.rows_read, rows_written: counts.rows_written }
    }
}

/// The rows of a statement, from the first one not read yet. All ways of reading share one position.
///
/// It may be kept in a field over events, but is no snapshot, and reading on fails with code
/// `cursor-closed` if more than 1 MiB was left when the turn ended (SQ-14).
#[derive(Debug)]
pub struct Cursor {
    columns: Columns,
    buffered: IntoIter<Value>,
    rest: Option<wit::Cursor>,
    counts: Counts,
    batch: Batch,
}

impl Cursor {
    /// Names of the columns in order, duplicates kept; empty for a statement without result (SQ-11).
    pub fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// Cost so far; readable after the end.
    pub fn counts(&self) -> Counts {
        self.rest.as_ref().map_or(self.counts, |rest| Counts::from_host(rest.counts()))
    }

    /// The remaining rows as `T`, one after another: a struct or map by column names, a tuple by
    /// position, a plain value for a single column.
    pub fn rows<T: DeserializeOwned>(&mut self) -> Rows<'_, T> {
        Rows { cursor: self, failed: false, row: PhantomData }
    }

    /// The remaining rows as a list.
    pub fn all<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, SqlError> {
        self.rows().collect()
    }

    /// The only row; an error if there is none or more than one (SQ-9).
    pub fn one<T: DeserializeOwned>(&mut self) -> Result<T, SqlError> {
        let refused = |what| {
            SqlError::refused(
                "not-exactly-one-row",
                format!("Expected exactly one result from SQL query, but got {what} results."),
            )
        };
        let row = self.next_row()?.ok_or_else(|| refused("no"))?;
        if self.next_row()?.is_some() {
            self.close();
            return Err(refused("multiple"));
        }
        sql_row::read(&self.columns, row)
    }

    /// The next row, if there is one.
    pub fn first<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SqlError> {
        self.next_row()?.map(|row| sql_row::read(&self.columns, row)).transpose()
    }

    /// The remaining rows as lists of values in column order.
    pub fn raw(&mut self) -> Raw<'_> {
        Raw { cursor: self, failed: false }
    }

    fn next_row(&mut self) -> Result<Option<Vec<Value>>, SqlError> {
        let width = self.columns.names.len();
        if self.buffered.len() == 0 {
            self.refill()?;
        }
        if self.buffered.len() == 0 || width == 0 {
            return Ok(None);
        }
        let row: Vec<Value> = self.buffered.by_ref().take(width).collect();
        if row.len() < width {
            return Err(SqlError::refused("rows-damaged", "the host's answer ends within a row"));
        }
        Ok(Some(row))
    }

    /// Fetches the next batch. After an error the statement stays as it is, so that the next attempt
    /// reports the error again and not an end.
    fn refill(&mut self) -> Result<(), SqlError> {
        let Some(rest) = &self.rest else { return Ok(()) };
        let rows = match self.batch {
            Batch::Rows(rows_max) => rest.next(rows_max).map_err(SqlError::from_host)?,
            Batch::Packed => {
                let block = rest.next_packed(BATCH_ROWS_MAX, BATCH_BYTES_MAX).map_err(SqlError::from_host)?;
                unpack(&block)
                    .ok_or_else(|| SqlError::refused("rows-damaged", "a packed row cannot be read"))?
            }
        };
        if rows.is_empty() {
            self.counts = Counts::from_host(rest.counts());
            self.rest = None;
        }
        self.buffered = rows.into_iter();
        Ok(())
    }

    fn close(&mut self) {
        self.counts = self.counts();
        self.rest = None;
        self.buffered = Vec::new().into_iter();
    }
}

/// Iterator over typed rows; ends after the first error.
#[derive(Debug)]
pub struct Rows<'a, T> {
    cursor: &'a mut Cursor,
    failed: bool,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Rows<'_, T> {
    type Item = Result<T, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.cursor.first();
        self.failed = row.is_err();
        row.transpose()
    }
}

/// Iterator over rows as lists of values; ends after the first error.
#[derive(Debug)]
pub struct Raw<'a> {
    cursor: &'a mut Cursor,
    failed: bool,
}

impl Iterator for Raw<'_> {
    type Item = Result<Vec<Value>, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.cursor.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}

/// Reads the block of `cursor.next-packed`; `None` if it is not one.
fn unpack(mut block: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let Some((case, rest)) = block.split_first() {
        block = rest;
        values.push(match *case {
            0 => Value::Null,
            1 => Value::Integer(i64::from_le_bytes(*take(&mut block)?)),
            2 => Value::Real(f64::from_le_bytes(*take(&mut block)?)),
            3 => Value::Text(String::from_utf8(sized(&mut block)?.to_vec()).ok()?),
            4 => Value::Blob(sized(&mut block)?.to_vec()),
            _ => return None,
        });
    }
    Some(values)
}

fn take<'a, const N: usize>(block: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = block.split_first_chunk()?;
    *block = rest;
    Some(taken)
}

fn sized<'a>(block: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = usize::try_from(u32::from_le_bytes(*take(block)?)).ok()?;
    let (taken, rest) = block.split_at_checked(size)?;
    *block = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(names: &[&str], rows: Vec<Value>) -> Cursor {
        Cursor {
            columns: Columns::new(names.iter().map(|name| (*name).to_owned()).collect()),
            buffered: rows.into_iter(),
            rest: None,
            counts: Counts::default(),
            batch: Batch::Packed,
        }
    }

    fn integers(count: i64) -> Vec<Value> {
        (1..=count).map(Value::Integer).collect()
    }

    #[test]
    fn c_126_one_refuses_no_row_and_more_than_one() {
        let text = |count| cursor(&["n"], integers(count)).one::<i64>().map_err(|error| error.message);
        assert_eq!(text(1), Ok(1));
        assert_eq!(
            text(0),
            Err("Expected exactly one result from SQL query, but got no results.".to_owned())
        );
        assert_eq!(
            text(2),
            Err("Expected exactly one result from SQL query, but got multiple results.".to_owned())
        );
    }

    #[test]
    fn c_127_after_one_the_cursor_is_at_its_end() {
        for count in [1, 3] {
            let mut cursor = cursor(&["n"], integers(count));
            let _ = cursor.one::<i64>();
            assert_eq!(cursor.first::<i64>(), Ok(None));
        }
    }

    #[test]
    fn all_ways_of_reading_share_one_position() {
        let mut cursor = cursor(&["n"], integers(4));
        assert_eq!(cursor.first::<i64>(), Ok(Some(1)));
        assert_eq!(cursor.raw().next(), Some(Ok(vec![Value::Integer(2)])));
        assert_eq!(cursor.all::<i64>(), Ok(vec![3, 4]));
        assert_eq!(cursor.all::<i64>(), Ok(vec![]));
    }

    #[test]
    fn rows_end_after_the_first_error() {
        let mut cursor = cursor(&["n"], vec![Value::Text("x".into()), Value::Integer(1)]);
        let mut rows = cursor.rows::<i64>();
        assert!(matches!(rows.next(), Some(Err(_))));
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn a_packed_block_gives_the_values_that_went_in() {
        let mut block = vec![0, 1];
        block.extend((-5_i64).to_le_bytes());
        block.push(2);
        block.extend(0.5_f64.to_le_bytes());
        block.extend([3, 2, 0, 0, 0, b'h', b'i', 4, 1, 0, 0, 0, 255]);
        assert_eq!(
            unpack(&block),
            Some(vec![
                Value::Null,
                Value::Integer(-5),
                Value::Real(0.5),
                Value::Text("hi".into()),
                Value::Blob(vec![255])
            ])
        );
        assert_eq!(unpack(&[]), Some(vec![]));
    }

    #[test]
    fn a_damaged_block_is_refused_and_never_panics() {
        for block in
            [&[9_u8][..], &[1, 0], &[3, 255, 255, 255, 255, b'x'], &[3, 1, 0, 0, 0, 0xff], &[4, 1, 0]]
        {
            assert_eq!(unpack(block), None, "{block:?}");
        }
    }
}
