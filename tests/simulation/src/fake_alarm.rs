//! What a fake guest does about its alarm, and what it keeps of runs: each is noted in the handler's first turn.
//!
//! What the handler does is kept in the database, so that an object that was woken by its alarm finds it.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::event::AlarmInfo;
use durabo_storage::alarm::StoredAlarm;
use durabo_storage::kv::KvWriteOptions;
use durabo_storage::value::Value;

use crate::act::{Act, kept, of_kept};
use crate::fake_engine::Engine;
use crate::fake_store::{exec, write};

/// Notes that the alarm runs.
pub(crate) fn begin(engine: &Engine, info: &AlarmInfo) -> Result<(), Failure> {
    let now = engine.with_context(|context| context.clock().now());
    let noted = [
        Value::Integer(info.scheduled_time.0 as i64),
        Value::Integer(i64::from(info.retry_count)),
        Value::Integer(now.0 as i64),
    ];
    let insert = "INSERT INTO runs(scheduled, retries, at, expected) \
                  VALUES (?, ?, ?, (SELECT time FROM expected))";
    exec(engine, insert, &noted).map(drop)
}

/// What a handler of alarms is told to do, with a name or without.
pub(crate) fn handler(engine: &Engine, info: &AlarmInfo) -> Result<Vec<Act>, Failure> {
    match exec(engine, "SELECT acts FROM on_alarm", &[])?.as_slice() {
        [Value::Blob(acts)] => {
            Ok(of_kept(acts).into_iter().filter_map(|act| at_first(act, info.retry_count)).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// What an act comes to that differs from try to try.
fn at_first(act: Act, retry_count: u32) -> Option<Act> {
    match act {
        Act::FailAtFirst | Act::TrapAtFirst if retry_count >= 2 => None,
        Act::FailAtFirst => Some(Act::Fail),
        Act::TrapAtFirst => Some(Act::Trap),
        other => Some(other),
    }
}

/// Performs an act on the alarm.
pub(crate) fn perform(engine: &Engine, act: &Act) -> Result<(), Failure> {
    match act {
        Act::SetAlarm(in_ms) => set(engine, *in_ms),
        Act::DeleteAlarm => {
            let deleted =
                engine.with_context(|context| context.database().delete_alarm(KvWriteOptions::default()));
            deleted.map_err(failed)?;
            expect(engine, Value::Null)
        }
        Act::NoteAlarm => write(engine, visible(engine)?.map_or(0, |alarm| alarm.time.0), 10),
        Act::OnAlarm(acts) => {
            let kept = Value::Blob(kept(acts));
            exec(engine, "INSERT OR REPLACE INTO on_alarm VALUES (1, ?)", &[kept]).map(drop)
        }
        other => unreachable!("{other:?} does not concern the alarm"),
    }
}

fn set(engine: &Engine, in_ms: i64) -> Result<(), Failure> {
    engine.with_context(|context| {
        let time = context.clock().now().0.saturating_add_signed(in_ms);
        let new = context.new_alarm(time, true)?;
        context.database().set_alarm(new, KvWriteOptions::default()).map_err(failed)
    })?;
    expect(engine, visible(engine)?.map_or(Value::Null, |alarm| Value::Integer(alarm.time.0 as i64)))
}

/// Notes in the same turn what the object expects of its alarm.
fn expect(engine: &Engine, time: Value) -> Result<(), Failure> {
    let note = "INSERT OR REPLACE INTO expected VALUES (1, ?, (SELECT count(*) FROM runs))";
    exec(engine, note, &[time]).map(drop)
}

/// The alarm that the guest sees.
fn visible(engine: &Engine) -> Result<Option<StoredAlarm>, Failure> {
    engine.with_context(|context| {
        let running = context.running_alarm();
        let stored = context.database().alarm().map_err(failed)?;
        Ok(stored.filter(|alarm| Some(alarm.serial) != running))
    })
}

fn failed(error: impl ToString) -> Failure {
    Failure::new(ErrorCode::StorageFailed, error.to_string())
}
