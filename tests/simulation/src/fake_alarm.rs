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

/// Notes that the handler runs; what it is told to do.
pub(crate) fn begin(engine: &Engine, info: AlarmInfo) -> Result<Vec<Act>, Failure> {
    let now = engine.with_context(|context| context.clock().now());
    let noted = [
        Value::Integer(info.scheduled_time.0 as i64),
        Value::Integer(i64::from(info.retry_count)),
        Value::Integer(now.0 as i64),
    ];
    exec(engine, "INSERT INTO runs(scheduled, retries, at) VALUES (?, ?, ?)", &noted)?;
    match exec(engine, "SELECT acts FROM on_alarm", &[])?.as_slice() {
        [Value::Blob(acts)] => Ok(of_kept(acts)),
        _ => Ok(Vec::new()),
    }
}

/// Performs an act on the alarm.
pub(crate) fn perform(engine: &Engine, act: &Act) -> Result<(), Failure> {
    match act {
        Act::SetAlarm(in_ms) => set(engine, *in_ms),
        Act::DeleteAlarm => {
            let deleted =
                engine.with_context(|context| context.database().delete_alarm(KvWriteOptions::default()));
            deleted.map(drop).map_err(failed)
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
    })
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
