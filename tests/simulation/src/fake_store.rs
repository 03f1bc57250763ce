//! What a fake guest keeps in its database: numbers, in tables that show holes and halves, and keys.
//!
//! `a` and `b` get the same numbers in one turn, `total` their sum, and the place in `a` grows by one with each
//! turn that wrote. Numbers outlive a wipe, after which they are written again; keys do not.

use std::collections::BTreeMap;
use std::fmt::Display;

use durabo_changelog::seeded::Seeded;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureKind};
use durabo_objects::event::Reply;
use durabo_storage::database::Database;
use durabo_storage::kv::{Encoding, KvValue, KvWriteOptions, ListOptions};
use durabo_storage::value::Value;

use crate::act::{Act, Shown};
use crate::fake_engine::Engine;

/// Makes the tables that are not there.
pub(crate) fn make_tables(engine: &Engine) -> Result<(), Failure> {
    let tables = "CREATE TABLE IF NOT EXISTS a(place INTEGER PRIMARY KEY, n INTEGER UNIQUE, fill BLOB);
         CREATE TABLE IF NOT EXISTS b(place INTEGER PRIMARY KEY, n INTEGER UNIQUE);
         CREATE TABLE IF NOT EXISTS total(id INTEGER PRIMARY KEY, sum INTEGER);
         CREATE TABLE IF NOT EXISTS on_alarm(id INTEGER PRIMARY KEY, acts BLOB);
         CREATE TABLE IF NOT EXISTS runs(run INTEGER PRIMARY KEY, scheduled INTEGER, retries INTEGER, at INTEGER,
             expected INTEGER);
         CREATE TABLE IF NOT EXISTS expected(id INTEGER PRIMARY KEY, time INTEGER, runs_before INTEGER);
         INSERT OR IGNORE INTO total VALUES (1, 0)";
    exec(engine, tables, &[]).map(drop)
}

/// Performs an act on keys, one that removes or makes everything, or one that reads.
pub(crate) fn perform(engine: &Engine, act: &Act) -> Result<(), Failure> {
    match act {
        Act::Put(key, value) => {
            let value = KvValue { encoding: Encoding::Bytes, data: value.to_le_bytes().to_vec() };
            let entry = [(key.to_string(), value)];
            on_database(engine, |database| database.kv_put(&entry, KvWriteOptions::default()))
        }
        Act::Delete(key) => {
            let keys = [key.to_string()];
            on_database(engine, |database| database.kv_delete(&keys, KvWriteOptions::default())).map(drop)
        }
        Act::Wipe => {
            let kept = integers(exec(engine, "SELECT n FROM a ORDER BY place", &[])?);
            on_database(engine, Database::delete_all)?;
            make_tables(engine)?;
            kept.into_iter().try_for_each(|number| write(engine, number as u64, 0))
        }
        Act::BeginToRead => {
            on_database(engine, |database| database.exec("SELECT n FROM a ORDER BY place", &[], 1)).map(drop)
        }
        Act::DeleteAll => on_database(engine, Database::delete_all),
        Act::MakeTables => make_tables(engine),
        other => unreachable!("{other:?} is not for the database"),
    }
}

fn keys(engine: &Engine) -> Result<BTreeMap<u64, u64>, Failure> {
    let listed = on_database(engine, |database| database.kv_list(&ListOptions::default()))?;
    let entry = |(key, value): (String, KvValue)| {
        let value = value.data.try_into().ok().map(u64::from_le_bytes);
        (key.parse().unwrap_or(u64::MAX), value.unwrap_or(u64::MAX))
    };
    Ok(listed.into_iter().map(entry).collect())
}

fn on_database<T, E: Display>(
    engine: &Engine,
    call: impl FnOnce(&mut Database) -> Result<T, E>,
) -> Result<T, Failure> {
    let result = engine.with_context(|context| call(context.database()));
    result.map_err(|error| Failure::new(ErrorCode::StorageFailed, error.to_string()))
}

/// Runs SQL; all values of its rows.
pub(crate) fn exec(engine: &Engine, query: &str, bindings: &[Value]) -> Result<Vec<Value>, Failure> {
    engine
        .with_context(|context| context.database().exec(query, bindings, u32::MAX))
        .map(|result| result.rows)
        .map_err(|error| Failure::new(ErrorCode::StorageFailed, error.message))
}

/// Writes a number, with so many bytes beside it.
pub(crate) fn write(engine: &Engine, number: u64, bytes: usize) -> Result<(), Failure> {
    let value = Value::Integer(number as i64);
    // Bytes that cannot be packed, so that the log grows by them.
    let mut random = Seeded::new(number);
    let fill = Value::Blob(std::iter::repeat_with(|| random.draw() as u8).take(bytes).collect());
    exec(engine, "INSERT INTO a(n, fill) VALUES (?, ?)", &[value.clone(), fill])?;
    exec(engine, "INSERT INTO b(n) VALUES (?)", std::slice::from_ref(&value))?;
    exec(engine, "UPDATE total SET sum = sum + ?", &[value])?;
    Ok(())
}

/// The answer with all numbers that the object holds.
pub(crate) fn read(engine: &Engine) -> Result<Reply, Failure> {
    Ok(Reply::Rpc(numbers(engine)?.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into()))
}

/// The answer with all numbers and keys.
pub(crate) fn show(engine: &Engine) -> Result<Reply, Failure> {
    let shown = Shown { numbers: numbers(engine)?, keys: keys(engine)? };
    Ok(Reply::Rpc(serde_json::to_vec(&shown).expect("numbers are data").into()))
}

/// Everything the object holds, checked for halves: the numbers in the order of their writing.
fn numbers(engine: &Engine) -> Result<Vec<u64>, Failure> {
    let broken =
        |text: String| Failure { kind: FailureKind::Application, ..Failure::new(ErrorCode::Internal, text) };
    let a = integers(exec(engine, "SELECT n FROM a ORDER BY place", &[])?);
    let places = integers(exec(engine, "SELECT place FROM a ORDER BY place", &[])?);
    let b = integers(exec(engine, "SELECT n FROM b ORDER BY place", &[])?);
    let sum = integers(exec(engine, "SELECT sum FROM total", &[])?);
    let check = exec(engine, "PRAGMA quick_check", &[])?;
    if a != b || sum != [a.iter().sum::<i64>()] {
        return Err(broken(format!("HALF: a {a:?} b {b:?} sum {sum:?}")));
    }
    if places.iter().enumerate().any(|(index, place)| *place != index as i64 + 1) {
        return Err(broken(format!("HOLE: places {places:?}")));
    }
    if check != [Value::Text("ok".to_owned())] {
        return Err(broken(format!("DAMAGED: {check:?}")));
    }
    Ok(a.into_iter().map(|n| n as u64).collect())
}

fn integers(values: Vec<Value>) -> Vec<i64> {
    values.iter().map(|v| if let Value::Integer(i) = v { *i } else { i64::MIN }).collect()
}
