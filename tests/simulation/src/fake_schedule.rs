//! What a fake guest does about its named alarms, and what it keeps of their runs.
//!
//! Beside each entry it keeps in the same turn when it must run next, as `schedule_model` says; the first turn of a
//! run notes what was expected of it, and the last one what follows. What shows to be wrong at once is noted too.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::event::{AlarmInfo, ScheduledEntry};
use durabo_storage::kv::KvWriteOptions;
use durabo_storage::value::Value;

use crate::act::Act;
use crate::fake_engine::Engine;
use crate::fake_store::exec;
use crate::schedule_model::When;

/// The row stays, so that the next setting has another number.
const FORGET: &str =
    "UPDATE entries SET what = NULL, rule = NULL, payload = NULL, time = NULL WHERE name = ?1";

/// An entry that runs.
pub(crate) struct RunningEntry {
    name: u64,
    /// Which of its settings.
    setting: i64,
    when: When,
    scheduled: u64,
}

/// What an object expects of an entry.
struct Expected {
    setting: i64,
    when: When,
    rule: String,
    payload: Vec<u8>,
}

/// Notes that the handler runs.
pub(crate) fn begin(
    engine: &Engine,
    info: &AlarmInfo,
    entry: &ScheduledEntry,
) -> Result<Option<RunningEntry>, Failure> {
    make_tables(engine)?;
    let name = entry.name.parse().unwrap_or(u64::MAX);
    let expected = expected(engine, name)?;
    let kind = expected.as_ref().map_or(Value::Null, |expected| match expected.when {
        When::In(_) => Value::Integer(0),
        When::Every(_) => Value::Integer(1),
        When::Minutes(..) => Value::Integer(2),
    });
    let noted = [
        Value::Integer(name as i64),
        kind,
        Value::Integer(info.scheduled_time.0 as i64),
        Value::Integer(i64::from(info.retry_count)),
        Value::Integer(now(engine) as i64),
    ];
    let insert = "INSERT INTO entry_runs(name, kind, scheduled, retries, at, expected) \
                  VALUES (?1, ?2, ?3, ?4, ?5, (SELECT time FROM entries WHERE name = ?1))";
    exec(engine, insert, &noted)?;
    let Some(Expected { setting, when, payload, .. }) = expected else { return Ok(None) };
    if payload != entry.payload {
        wrong(engine, name, "it was handed another payload than it was set with")?;
    }
    Ok(Some(RunningEntry { name, setting, when, scheduled: info.scheduled_time.0 }))
}

/// Notes in the handler's last turn what is to follow, unless the entry was set anew or deleted.
pub(crate) fn end(engine: &Engine, running: &RunningEntry) -> Result<(), Failure> {
    let this = [Value::Integer(running.name as i64), Value::Integer(running.setting)];
    match running.when.next(running.scheduled, now(engine)) {
        None => exec(engine, &format!("{FORGET} AND setting = ?2"), &this),
        Some(next) => {
            let [name, setting] = this;
            let update = "UPDATE entries SET time = ?3 WHERE name = ?1 AND setting = ?2 AND what IS NOT NULL";
            exec(engine, update, &[name, setting, Value::Integer(next as i64)])
        }
    }
    .map(drop)
}

/// Performs an act on a named alarm, in the handler of `running` if it is one.
pub(crate) fn perform(engine: &Engine, act: &Act, running: Option<&RunningEntry>) -> Result<(), Failure> {
    make_tables(engine)?;
    match act {
        Act::SetEntry { name, when, payload } => {
            let running = running.filter(|running| running.name == *name);
            set(engine, *name, when, vec![*payload], running)
        }
        Act::DeleteEntry(name) => {
            let deleted = engine.with_context(|context| {
                context.database().delete_schedule(&name.to_string(), KvWriteOptions::default())
            });
            if deleted.map_err(failed)? != expected(engine, *name)?.is_some() {
                wrong(engine, *name, "it was there, and should not be, or the other way round")?;
            }
            exec(engine, FORGET, &[Value::Integer(*name as i64)]).map(drop)
        }
        other => unreachable!("{other:?} does not concern named alarms"),
    }
}

fn set(
    engine: &Engine,
    name: u64,
    when: &When,
    payload: Vec<u8>,
    running: Option<&RunningEntry>,
) -> Result<(), Failure> {
    let known = expected(engine, name)?;
    let now = now(engine);
    let trigger = when.trigger(now);
    let (before, after) = engine.with_context(|context| {
        let text = name.to_string();
        let before = context.database().schedule(&text).map_err(failed)?;
        let entry = context.new_schedule(text.clone(), &trigger, payload.clone(), true)?;
        context.database().set_schedule(entry, KvWriteOptions::default()).map_err(failed)?;
        let after = context.database().schedule(&text).map_err(failed)?;
        Ok::<_, Failure>((before, after))
    })?;
    let Some(after) = after else { return wrong(engine, name, "it is not there after it was set") };
    let rule = trigger.text();
    let is_same = known.as_ref().is_some_and(|known| known.rule == rule && known.payload == payload);
    if before.is_some_and(|before| before.run.serial == after.run.serial) {
        // One that runs once and runs now counts as gone (SC-12).
        let counts_as_gone = known.is_some_and(|known| {
            matches!(known.when, When::In(_))
                && running.is_some_and(|running| running.setting == known.setting)
        });
        return match is_same && !counts_as_gone {
            true => Ok(()),
            false => wrong(engine, name, "what was set is not taken"),
        };
    }
    if is_same && !matches!(when, When::In(_)) {
        wrong(engine, name, "it begins anew although it was set as it stood")?;
    }
    let first = when.first(now);
    if after.run.time.0 != first {
        wrong(engine, name, "its first run is at another time than it should be")?;
    }
    let insert = "INSERT OR REPLACE INTO entries(name, setting, what, rule, payload, time) VALUES (?1, \
                  (SELECT count(*) + total(setting) FROM entries WHERE name = ?1), ?2, ?3, ?4, ?5)";
    let what = serde_json::to_string(when).expect("numbers are data");
    let row = [
        Value::Integer(name as i64),
        Value::Text(what),
        Value::Text(rule),
        Value::Blob(payload),
        Value::Integer(first as i64),
    ];
    exec(engine, insert, &row).map(drop)
}

fn expected(engine: &Engine, name: u64) -> Result<Option<Expected>, Failure> {
    let select = "SELECT setting, what, rule, payload FROM entries WHERE name = ?";
    let row = exec(engine, select, &[Value::Integer(name as i64)])?;
    let [Value::Integer(setting), Value::Text(what), Value::Text(rule), Value::Blob(payload)] = &row[..]
    else {
        return Ok(None);
    };
    let when = serde_json::from_str(what).expect("as it was written");
    Ok(Some(Expected { setting: *setting, when, rule: rule.clone(), payload: payload.clone() }))
}

fn wrong(engine: &Engine, name: u64, what: &str) -> Result<(), Failure> {
    let noted = [Value::Integer(name as i64), Value::Text(what.to_owned())];
    exec(engine, "INSERT INTO entry_runs(name, wrong) VALUES (?, ?)", &noted).map(drop)
}

/// Made by what needs them and not by the constructor: other runs are to have small databases.
fn make_tables(engine: &Engine) -> Result<(), Failure> {
    let tables = "CREATE TABLE IF NOT EXISTS entries(name INTEGER PRIMARY KEY, setting INTEGER, what TEXT, rule TEXT,
             payload BLOB, time INTEGER);
         CREATE TABLE IF NOT EXISTS entry_runs(run INTEGER PRIMARY KEY, name INTEGER, kind INTEGER, scheduled INTEGER,
             retries INTEGER, at INTEGER, expected INTEGER, wrong TEXT)";
    exec(engine, tables, &[]).map(drop)
}

fn now(engine: &Engine) -> u64 {
    engine.with_context(|context| context.clock().now().0)
}

fn failed(error: impl ToString) -> Failure {
    Failure::new(ErrorCode::StorageFailed, error.to_string())
}
