//! Class `Blocking`: its exports are lifted synchronously, so that it is busy until an event returns.
//!
//! Written over the bindings alone, as another language would do; the suite adds the description.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package durabo:blocking;
        world guest {
            import durabo:object/stub@0.1.0;
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

use ciborium::Value;
use durabo::object::stub::Stub;
use durabo::object::types::{Failure, FailureFlags, FailureKind};
use durabo::object::{context, timer};
use exports::durabo::object::rpc_handler::Guest;

struct Component;

export!(Component);

impl Guest for Component {
    /// `ping()`, `sleep(ms)`, `sleep_by_wasi(ms)`, which stops the whole instance meanwhile, and
    /// `through(names)`: calls `through` with the rest of the names on the object of the first, and answers
    /// what that answers.
    fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let args: Vec<Value> = ciborium::from_reader(&args[..]).map_err(failed)?;
        match (method.as_str(), &args[..]) {
            ("sleep", [Value::Integer(ms)]) => {
                timer::sleep(u64::try_from(*ms).map_err(failed)?);
                encode(&Value::Text("slept".to_owned()))
            }
            ("sleep_by_wasi", [Value::Integer(ms)]) => {
                std::thread::sleep(std::time::Duration::from_millis(u64::try_from(*ms).map_err(failed)?));
                encode(&Value::Text("slept".to_owned()))
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
