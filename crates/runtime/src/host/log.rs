//! `log`: lines with class, object and event.
//!
//! Written at once: not held back by the output gate (OG-4), not undone by a reset.

use std::fmt::Write as _;

use durabo_model::failure::cut;
use durabo_model::limits;
use wasmtime::component::HasSelf;

use crate::bindings::object::log::{Host, HostWithStore, Level};
use crate::state::{GuestState, HostAccess, calling_event};

impl Host for GuestState {}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    fn write(
        mut host: HostAccess<'_>,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        // What nobody reads costs nothing of the quota.
        if level == Level::Debug && !tracing::enabled!(target: "guest", tracing::Level::DEBUG) {
            return Ok(());
        }
        let event = calling_event(&mut host)?.map(|event| event.to_string());
        let state = host.get();
        let identity = state.context.identity();
        let (class, object) = (identity.class.as_str(), identity.key.id);
        let (message, fields) = bounded(message, fields);
        if !state.log_quota.admits(message.len() + fields.as_ref().map_or(0, String::len)) {
            return Ok(());
        }
        match level {
            Level::Debug => tracing::debug!(target: "guest", class, %object, event, fields, "{message}"),
            Level::Info => tracing::info!(target: "guest", class, %object, event, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", class, %object, event, fields, "{message}"),
            Level::Error => tracing::error!(target: "guest", class, %object, event, fields, "{message}"),
        }
        Ok(())
    }
}

/// Message and fields within the length of a line. Names of fields are the guest's and thus not
/// known when the node is built: they go into one field as text.
fn bounded(message: String, fields: Vec<(String, String)>) -> (String, Option<String>) {
    let message = cut(message, limits::LOG_LINE_BYTES_MAX);
    if fields.is_empty() {
        return (message, None);
    }
    let mut text = String::new();
    for (name, value) in fields {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(text, "{space}{name}={value:?}");
        if text.len() > limits::LOG_LINE_BYTES_MAX {
            break;
        }
    }
    let room = limits::LOG_LINE_BYTES_MAX - message.len();
    (message, Some(cut(text, room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_fields_share_the_length_of_a_line() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (message, fields) = bounded("hi".to_owned(), vec![field("a", "1"), field("b", "x \"y\"")]);
        assert_eq!((message.as_str(), fields.as_deref()), ("hi", Some(r#"a="1" b="x \"y\"""#)));
        let (message, fields) = bounded("m".repeat(10_000), vec![field("a", &"v".repeat(100_000))]);
        assert_eq!(message.len() + fields.expect("fields").len(), limits::LOG_LINE_BYTES_MAX);
    }
}
