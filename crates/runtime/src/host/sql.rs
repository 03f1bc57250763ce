//! `sql`: statements and cursors. Whatever uses time here counts against the event (SQ-33).
//!
//! Linked as functions that may wait, in which the guest keeps the store: a slow statement leaves the
//! thread without ending the turn.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_storage::database::Database;
use durabo_storage::sql_error::SqlError;
use durabo_storage::statement::Counts as StorageCounts;
use durabo_storage::value::Value as StorageValue;
use wasmtime::component::Resource;

use crate::bindings::OpenCursor;
use crate::bindings::object::sql::{Counts, Error, Host, HostCursor, ResultSet, Value};
use crate::ending::InstanceEnd;
use crate::state::GuestState;
use crate::statement_costs::{Run, TextKey};

// What one value of a call takes of what a call may carry (EM-9).
const _: () = assert!(size_of::<Value>() == 32);

impl Host for GuestState {
    async fn exec(
        &mut self,
        query: String,
        bindings: Vec<Value>,
        rows_max: u32,
    ) -> wasmtime::Result<Result<ResultSet, Error>> {
        self.wait_for_room().await?;
        let bindings: Vec<StorageValue> = bindings.into_iter().map(of_guest).collect();
        let text = TextKey::of(&query);
        let answer =
            self.on_database(text, move |database| database.exec(&query, &bindings, rows_max)).await?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error_to_guest(error))),
        };
        Ok(Ok(ResultSet {
            columns: answer.columns,
            rows: answer.rows.into_iter().map(to_guest).collect(),
            counts: counts_to_guest(answer.counts),
            rest: answer.rest.map(|id| self.table.push(OpenCursor { id, text })).transpose()?,
        }))
    }

    async fn exec_many(
        &mut self,
        query: String,
        groups: u32,
        bindings: Vec<Value>,
    ) -> wasmtime::Result<Result<Counts, Error>> {
        self.wait_for_room().await?;
        let (run, work) = many(query, groups, bindings);
        let answer = self.on_database(run, work).await?;
        Ok(answer.map(counts_to_guest).map_err(error_to_guest))
    }

    async fn database_size(&mut self) -> wasmtime::Result<u64> {
        // It fails only if storage has failed, and the contract has no error for that here.
        self.context
            .database()
            .database_size()
            .map_err(|error| InstanceEnd(Failure::new(ErrorCode::StorageFailed, error.message)).into())
    }
}

impl HostCursor for GuestState {
    async fn next(
        &mut self,
        cursor: Resource<OpenCursor>,
        rows_max: u32,
    ) -> wasmtime::Result<Result<Vec<Value>, Error>> {
        let OpenCursor { id, text } = *self.table.get(&cursor)?;
        let text = text.reading_on();
        let answer = self.on_database(text, move |database| database.cursor_next(id, rows_max)).await?;
        Ok(answer.map(|rows| rows.into_iter().map(to_guest).collect()).map_err(error_to_guest))
    }

    async fn next_packed(
        &mut self,
        cursor: Resource<OpenCursor>,
        rows_max: u32,
        bytes_max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let OpenCursor { id, text } = *self.table.get(&cursor)?;
        let next = move |database: &mut Database| database.cursor_next_packed(id, rows_max, bytes_max);
        let answer = self.on_database(text.reading_on(), next).await?;
        Ok(answer.map_err(error_to_guest))
    }

    async fn counts(&mut self, cursor: Resource<OpenCursor>) -> wasmtime::Result<Counts> {
        let cursor = self.table.get(&cursor)?.id;
        Ok(counts_to_guest(self.context.database().cursor_counts(cursor)))
    }

    async fn drop(&mut self, cursor: Resource<OpenCursor>) -> wasmtime::Result<()> {
        let cursor = self.table.delete(cursor)?.id;
        self.context.database().cursor_close(cursor);
        Ok(())
    }
}

/// A call with many groups of bindings: what is to be estimated of it, and its work.
fn many(
    query: String,
    groups: u32,
    bindings: Vec<Value>,
) -> (Run, impl FnOnce(&mut Database) -> Result<StorageCounts, SqlError> + Send + 'static) {
    let bindings: Vec<StorageValue> = bindings.into_iter().map(of_guest).collect();
    let run = Run::of_groups(&query, groups);
    (run, move |database: &mut Database| database.exec_many(&query, groups, &bindings))
}

fn of_guest(value: Value) -> StorageValue {
    match value {
        Value::Null => StorageValue::Null,
        Value::Integer(value) => StorageValue::Integer(value),
        Value::Real(value) => StorageValue::Real(value),
        Value::Text(text) => StorageValue::Text(text),
        Value::Blob(bytes) => StorageValue::Blob(bytes),
    }
}

fn to_guest(value: StorageValue) -> Value {
    match value {
        StorageValue::Null => Value::Null,
        StorageValue::Integer(value) => Value::Integer(value),
        StorageValue::Real(value) => Value::Real(value),
        StorageValue::Text(text) => Value::Text(text),
        StorageValue::Blob(bytes) => Value::Blob(bytes),
    }
}

fn counts_to_guest(counts: StorageCounts) -> Counts {
    Counts { rows_read: counts.rows_read, rows_written: counts.rows_written }
}

fn error_to_guest(error: SqlError) -> Error {
    Error { code: error.code, name: error.name, message: error.message, offset: error.offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement_costs::{Estimate, StatementCosts};

    #[test]
    fn values_pass_exactly_in_both_directions() {
        let values = [
            StorageValue::Null,
            StorageValue::Integer(i64::MIN),
            StorageValue::Real(0.1),
            StorageValue::Text("ä\0".to_owned()),
            StorageValue::Blob(vec![0, 255]),
        ];
        for value in values {
            assert_eq!(of_guest(to_guest(value.clone())), value);
        }
    }

    #[test]
    fn em_11_a_call_is_estimated_by_its_groups() {
        let costs = StatementCosts::default();
        let estimate = |groups| {
            let (run, _work) = many("INSERT INTO t VALUES (?)".to_owned(), groups, Vec::new());
            costs.learn(run, 100, false);
            costs.estimate(run)
        };
        let estimates = [1, 199, 200, 100_000].map(estimate);
        assert_eq!(estimates, [Estimate::Cheap, Estimate::Cheap, Estimate::Slow, Estimate::Slow]);
    }

    #[test]
    fn an_error_keeps_code_name_and_offset() {
        let error =
            SqlError { code: 1, name: "SQLITE_ERROR".into(), message: "near \"x\"".into(), offset: Some(3) };
        let guest = error_to_guest(error);
        assert_eq!((guest.code, guest.name.as_str(), guest.offset), (1, "SQLITE_ERROR", Some(3)));
    }
}
