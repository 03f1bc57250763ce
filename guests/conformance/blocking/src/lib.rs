//! Class `Blocking`: its exports are lifted synchronously, so that it is busy until an event returns.
//!
//! Written over the bindings alone, as another language would do; the suite adds the description.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package durabo:blocking;
        world guest {
            import durabo:object/stub@0.1.0;
            import durabo:object/sql@0.1.0;
            import durabo:object/timer@0.1.0;
            import durabo:object/context@0.1.0;
            export durabo:object/rpc-handler@0.1.0;
        }
    ",
    path: "../../../wit",
    world: "durabo:blocking/guest",
    generate_all,
    async: false,
});

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ciborium::Value;
use durabo::object::stub::Stub;
use durabo::object::types::{Failure, FailureFlags, FailureKind};
use durabo::object::{context, sql, timer};
use exports::durabo::object::rpc_handler::Guest;

struct Component;

export!(Component);

impl Guest for Component {
    /// `ping()`, `sleep(ms)` and `sleep_by_wasi(ms)`, which answer how many events were in the instance at
    /// once, `spin(ms)`, `spin_log_and_sleep(ms, line)`, which never ends, `note_wait_and_trap(way)`, `notes()`, and
    /// `through(names)`: calls `through` with the rest of the names on the object of the first, and answers what that
    /// answers.
    fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let args: Vec<Value> = ciborium::from_reader(&args[..]).map_err(failed)?;
        match (method.as_str(), &args[..]) {
            ("sleep", [Value::Integer(ms)]) => {
                let ms = u64::try_from(*ms).map_err(failed)?;
                encode(&Value::Integer(inside(|| timer::sleep(ms)).into()))
            }
            ("sleep_by_wasi", [Value::Integer(ms)]) => {
                let time = Duration::from_millis(u64::try_from(*ms).map_err(failed)?);
                encode(&Value::Integer(inside(|| std::thread::sleep(time)).into()))
            }
            ("spin", [Value::Integer(ms)]) => {
                spin(Duration::from_millis(u64::try_from(*ms).map_err(failed)?));
                encode(&Value::Text("spun".to_owned()))
            }
            ("spin_log_and_sleep", [Value::Integer(ms), Value::Text(line)]) => {
                spin(Duration::from_millis(u64::try_from(*ms).map_err(failed)?));
                println!("{line}");
                loop {
                    std::thread::sleep(Duration::from_secs(3600));
                }
            }
            ("note_wait_and_trap", [Value::Text(way)]) => {
                exec("CREATE TABLE before (a)")?;
                match way.as_str() {
                    "timer" => timer::sleep(0),
                    "wasi 0.2" => std::thread::sleep(Duration::from_nanos(1)),
                    _ => {}
                }
                exec("CREATE TABLE after (a)")?;
                core::arch::wasm32::unreachable()
            }
            ("notes", []) => {
                let names = exec("SELECT name FROM sqlite_schema WHERE name IN ('before', 'after')")?;
                let text = |value| if let sql::Value::Text(text) = value { text } else { String::new() };
                encode(&Value::Array(names.into_iter().map(|name| Value::Text(text(name))).collect()))
            }
            ("through", [Value::Array(names)]) => match names.split_first() {
                Some((Value::Text(next), rest)) => {
                    let stub = Stub::get_by_name("Blocking", next)?;
                    stub.call("through", &encode(&Value::Array(vec![Value::Array(rest.to_vec())]))?)
                }
                _ => encode(&Value::Text("the end".to_owned())),
            },
            ("in_section", []) => {
                let section = context::CriticalSection::enter(None)?;
                timer::sleep(10);
                section.leave();
                encode(&Value::Text("left".to_owned()))
            }
            _ => encode(&Value::Text("pong".to_owned())),
        }
    }
}

/// Runs `work` and tells how many events were in it at once, this one included.
fn inside(work: impl FnOnce()) -> u32 {
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    let count = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
    work();
    INSIDE.fetch_sub(1, Ordering::Relaxed);
    count
}

/// Computes for so long, without a wait.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        for turn in 0..1000 {
            let _ = black_box(turn);
        }
    }
}

/// Runs SQL; the first rows.
fn exec(query: &str) -> Result<Vec<sql::Value>, Failure> {
    sql::exec(query, &[], 10).map(|answer| answer.rows).map_err(|error| failed(error.message))
}

fn encode(value: &Value) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure {
        kind: FailureKind::Application,
        code: String::new(),
        name: "Error".to_owned(),
        message: error.to_string(),
        details: None,
        flags: FailureFlags::empty(),
        object: None,
    }
}
