//! The classes of the examples `counter`, `todo`, `bank`, `reminders`, `chat` and `presence` in one component:
//! `durabo demo` deploys it.
//!
//! An app runs one component, and each example is a component of its own, so that it can be read and
//! built alone. The build script takes their classes over as they stand, one module each.

include!(concat!(env!("OUT_DIR"), "/classes.rs"));

durabo::export!(
    counter::Counter,
    todo::Todo,
    bank::Bank,
    reminders::Reminders,
    chat::Chat,
    presence::Presence
);
