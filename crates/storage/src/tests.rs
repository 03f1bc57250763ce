//! Behaviour of a database as its instance sees it, over the real and the simulated disk.
//!
//! Each file holds one group; single functions are tested beside their code.

use std::path::Path;
use std::sync::Arc;

use durabo_changelog::disk::{Disk, RealDisk};
use durabo_model::sequence::Sequence;

use crate::database::{Database, DatabaseOptions};
use crate::exec::ResultSet;
use crate::object_file::ObjectFile;
use crate::sql_error::SqlError;
use crate::turn::TurnCommit;
use crate::value::Value;

mod alarm;
mod counts;
mod cursors;
mod durability;
mod exec_many;
mod footprint;
#[cfg(target_os = "linux")]
mod refused_memory;
mod full_disk;
mod kv;
mod kv_model;
mod limits;
mod opening;
mod refusals;
mod renewal;
mod savepoints;
mod schedule;
mod statements;
mod transactions;
mod turns;
mod undo;
mod wipe;

/// A database over a folder of its own.
struct Fixture {
    database: Database,
    file: ObjectFile,
    options: DatabaseOptions,
    _temp: tempfile::TempDir,
}

fn fixture() -> Fixture {
    fixture_with(DatabaseOptions::default())
}

fn fixture_with(options: DatabaseOptions) -> Fixture {
    let temp = tempfile::tempdir().expect("temp");
    let file = object_file(Arc::new(RealDisk), &temp.path().join("1/ab/x.sqlite"));
    let database = Database::of(&file, &options);
    Fixture { database, file, options, _temp: temp }
}

fn object_file(disk: Arc<dyn Disk>, path: &Path) -> ObjectFile {
    ObjectFile::open(disk, path.to_owned()).expect("object file")
}

impl Fixture {
    fn exec(&mut self, query: &str) -> ResultSet {
        self.exec_with(query, &[])
    }

    fn exec_with(&mut self, query: &str, bindings: &[Value]) -> ResultSet {
        let result = self.database.exec(query, bindings, 1000);
        result.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    fn rows(&mut self, query: &str) -> Vec<Value> {
        self.exec(query).rows
    }

    fn integer(&mut self, query: &str) -> i64 {
        match self.rows(query).as_slice() {
            [Value::Integer(value)] => *value,
            other => panic!("{query}: {other:?}"),
        }
    }

    fn error(&mut self, query: &str) -> SqlError {
        self.error_with(query, &[])
    }

    fn error_with(&mut self, query: &str, bindings: &[Value]) -> SqlError {
        match self.database.exec(query, bindings, 1000) {
            Ok(result) => panic!("{query}: {result:?}"),
            Err(error) => error,
        }
    }

    fn assert_fails(&mut self, query: &str, text: &str) {
        let error = self.error(query);
        assert!(error.message.contains(text), "{query}: {error}");
    }

    fn end_turn(&mut self) -> Option<TurnCommit> {
        self.database.end_turn().expect("end of turn")
    }

    fn checkpoint(&mut self) {
        self.database.copy_wal_to_file(Sequence(1), Sequence(1)).expect("checkpoint");
    }

    /// As after a reset: a new connection, which sees what is committed.
    fn reset(&mut self) {
        self.database.discard_turn().expect("discard");
        self.checkpoint();
        self.database = Database::of(&self.file, &self.options);
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn integers(values: &[i64]) -> Vec<Value> {
    values.iter().copied().map(Value::Integer).collect()
}
