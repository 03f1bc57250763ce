//! Why an instance cannot go on, in words for its callers: abort, limits, traps, panics (LC-7, LC-8).
//!
//! Callers get one text with the cause and what the guest said last; the log gets the engine's
//! whole account.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::event::EventId;
use wasmtime::{AsContextMut, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::ending::{CpuExhausted, InstanceEnd};
use crate::state::GuestState;

/// Frames of Rust's runtime between a panic and the code that panicked; not worth naming.
const RUNTIME_FRAMES: [&str; 10] =
    ["abort", "__rust", "rust_", "std::", "<std::", "core::", "<core::", "alloc::", "<alloc::", "dlmalloc"];

/// Rust's hint at the end of a panic; of no use to who cannot set the variable.
const RUST_HINT: &str = "note: run with `RUST_BACKTRACE=1`";

/// The failure that the instance's events get, after `error` ended it. Logs what callers do not see.
pub fn reset_reason(store: &mut Store<GuestState>, error: &wasmtime::Error) -> Failure {
    let event = trapping_event(store);
    let state = store.data();
    state.stderr.finish();
    let failure = explain(state, error);
    let identity = state.context.identity();
    let event = event.map(|event| event.to_string());
    tracing::warn!(
        target: "guest",
        class = identity.class.as_str(),
        object = %identity.key.id,
        event,
        code = failure.code,
        error = %format!("{error:#}"),
        "instance ended: {}", failure.message
    );
    failure.of_object(identity.key.id)
}

/// The failure that an instance's events get which was to be reset for `failure`: a commit that was interrupted
/// because the budget is used up fails as a commit, but the cause is the budget. Any other failure is the cause
/// itself, whatever is left of the budget.
pub fn true_cause(state: &GuestState, failure: Failure) -> Failure {
    match is_of_budget(&failure, is_cut(state)) {
        true => cpu_exhausted(state).of_object(state.context.identity().key.id),
        false => failure,
    }
}

fn is_of_budget(failure: &Failure, is_cut: bool) -> bool {
    is_cut && failure.listed_code() == Some(ErrorCode::StorageFailed)
}

/// Whether the database was interrupted because the budget is used up.
fn is_cut(state: &GuestState) -> bool {
    state.meter.is_exhausted() && state.context.has_database() && state.context.was_interrupted()
}

/// Failure of an event whose CPU budget is used up.
fn cpu_exhausted(state: &GuestState) -> Failure {
    let seconds = state.context.limits().cpu_per_event.as_secs_f64();
    let text = format!(
        "the event used more than {seconds} s of CPU time, SQL included; the object was reset; split the work \
         over several events"
    );
    Failure::new(ErrorCode::CpuLimitExceeded, text)
}

/// Names the event in whose code the instance ended: the engine still knows the task right after.
fn trapping_event(store: &mut Store<GuestState>) -> Option<EventId> {
    let task = store.as_context_mut().async_call_stack().ok()?.last()?;
    store.data().tasks.event(task)
}

fn explain(state: &GuestState, error: &wasmtime::Error) -> Failure {
    if let Some(reason) = state.context.abort_reason() {
        return reason.clone();
    }
    if let Some(InstanceEnd(failure)) = error.downcast_ref::<InstanceEnd>() {
        return failure.clone();
    }
    if error.is::<CpuExhausted>() || is_cut(state) {
        return cpu_exhausted(state);
    }
    if state.memory.was_refused() {
        let mebibytes = state.memory.bytes_max() >> 20;
        let text =
            format!("the instance asked for more than {mebibytes} MiB of memory; the object was reset");
        return Failure::new(ErrorCode::MemoryLimitExceeded, with_stderr(text, &state.stderr.tail()));
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        let text = format!("the guest called `exit` with status {status}; the object was reset");
        return Failure::new(ErrorCode::GuestTrapped, with_stderr(text, &state.stderr.tail()));
    }
    let tail = state.stderr.tail();
    if let Some(panic) = panic_text(&tail) {
        return Failure::new(ErrorCode::GuestTrapped, panic);
    }
    let place = error.downcast_ref::<WasmBacktrace>().and_then(guest_function);
    Failure::new(ErrorCode::GuestTrapped, with_stderr(trap_text(&cause(error), place.as_deref()), &tail))
}

fn cause(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    }
}

fn trap_text(cause: &str, place: Option<&str>) -> String {
    match place {
        Some(place) => format!("the guest trapped in `{place}`: {cause}; the object was reset"),
        None => format!("the guest trapped: {cause}; the object was reset"),
    }
}

/// What a Rust guest wrote before it trapped, if that was a panic: place and message.
fn panic_text(tail: &str) -> Option<String> {
    let (_, panic) = tail.rsplit_once("panicked at ")?;
    let (place, message) = without_hint(panic).split_once(":\n")?;
    Some(format!("the guest panicked at `{place}`: {}; the object was reset", message.trim()))
}

/// What other guests wrote last often says more than the trap.
fn with_stderr(text: String, tail: &str) -> String {
    let tail = without_hint(tail);
    if tail.is_empty() { text } else { format!("{text}; its standard error ended with: {tail}") }
}

fn without_hint(text: &str) -> &str {
    text.split_once(RUST_HINT).map_or(text, |(text, _)| text).trim()
}

/// The innermost function that is the author's own, if names were left in the component.
fn guest_function(backtrace: &WasmBacktrace) -> Option<String> {
    // Only the printed form is without the compiler's mangling.
    let text = backtrace.to_string();
    let names: Vec<String> = text.lines().filter_map(frame_name).collect();
    let own = names.iter().find(|name| !RUNTIME_FRAMES.iter().any(|prefix| name.starts_with(prefix)));
    own.or(names.first()).cloned()
}

/// Function of a line such as `    0:   0x1a2b - module.wasm!my_app[1f]::divide`, without hashes.
fn frame_name(line: &str) -> Option<String> {
    let (_, frame) = line.split_once(" - ")?;
    let name = frame.split_once('!').map_or(frame, |(_, name)| name).trim();
    let is_unnamed = name.is_empty() || name.starts_with("<wasm function");
    (!is_unnamed).then(|| without_hashes(name))
}

/// Rust marks crates by a hash in brackets, and in the older scheme functions by a last part `h…`.
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if is_hash(hash) => name,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                text.push_str(rest);
            }
            _ => {
                text.push('[');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_storage_that_was_cut_at_the_budget_is_put_down_to_it() {
        let failure = |code| Failure::new(code, "why");
        assert!(is_of_budget(&failure(ErrorCode::StorageFailed), true));
        assert!(!is_of_budget(&failure(ErrorCode::StorageFailed), false));
        for code in [ErrorCode::CodeUpdated, ErrorCode::Stopping, ErrorCode::SectionTimeout] {
            assert!(!is_of_budget(&failure(code), true), "{code:?}");
        }
    }

    #[test]
    fn the_function_of_a_frame_is_read_without_hashes() {
        let name = |line: &str| frame_name(line);
        assert_eq!(name("    0:   0x1a2b - app.wasm!my_app::divide").as_deref(), Some("my_app::divide"));
        assert_eq!(
            name("  3: 0x1 - app!<T as a::B>::c::h0c14abe1f33791e0").as_deref(),
            Some("<T as a::B>::c")
        );
        assert_eq!(
            name("  1: 0x1 - a!std[d123b7a1a2ed1472]::process::abort").as_deref(),
            Some("std::process::abort")
        );
        assert_eq!(name("  2: 0x1 - a![async-lift]x#y").as_deref(), Some("[async-lift]x#y"));
        assert_eq!(name("  3: 0x1 - <unknown>!<wasm function 7>"), None);
        assert_eq!(name("error while executing at wasm backtrace:"), None);
    }

    #[test]
    fn a_rust_panic_is_told_by_its_place_and_message() {
        let tail = "thread '<unnamed>' (1) panicked at src/lib.rs:66:9:\nout of tea\nand milk\n\
            note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let text = panic_text(tail).expect("a panic");
        assert_eq!(
            text,
            "the guest panicked at `src/lib.rs:66:9`: out of tea\nand milk; the object was reset"
        );
        assert_eq!(panic_text("something else"), None);
    }

    #[test]
    fn a_trap_names_cause_place_and_last_words() {
        let text = with_stderr(trap_text("integer divide by zero", Some("app::f")), "attempt to divide");
        assert_eq!(
            text,
            "the guest trapped in `app::f`: integer divide by zero; the object was reset; its standard error \
             ended with: attempt to divide"
        );
        let text = with_stderr(trap_text("call stack exhausted", None), "");
        assert_eq!(text, "the guest trapped: call stack exhausted; the object was reset");
    }
}
