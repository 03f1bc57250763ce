//! The components that the suite deploys, one constant each.
//!
//! The build script makes them and refuses a guest that this file does not name, so that no guest is
//! kept which no test uses.

use std::fs;

use durabo_model::object_id::NamespaceKey;

/// A built component and the app under which a prepared node serves it.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// Name of the app.
    pub app: &'static str,
    /// The component's file.
    pub path: &'static str,
    /// A description for a component that has none.
    pub description: &'static str,
}

/// Statements as data.
pub const SQL: Guest = Guest { app: "sql", path: env!("GUEST_CONFORMANCE_SQL"), description: "" };
/// Start, memory, errors, traps, `abort`.
pub const LIFECYCLE: Guest =
    Guest { app: "lifecycle", path: env!("GUEST_CONFORMANCE_LIFECYCLE"), description: "" };
/// Keys, values and savepoints as data.
pub const KV: Guest = Guest { app: "kv", path: env!("GUEST_CONFORMANCE_KV"), description: "" };
/// Alarms, and what their runs see.
pub const ALARM: Guest = Guest { app: "alarm", path: env!("GUEST_CONFORMANCE_ALARM"), description: "" };
/// Every way of going wrong.
pub const FAULTS: Guest = Guest { app: "faults", path: env!("GUEST_CONFORMANCE_FAULTS"), description: "" };
/// Writes and waits at chosen places.
pub const GATES: Guest = Guest { app: "gates", path: env!("GUEST_CONFORMANCE_GATES"), description: "" };
/// Bodies in pieces, and odd requests.
pub const HTTP: Guest = Guest { app: "http", path: env!("GUEST_CONFORMANCE_HTTP"), description: "" };
/// Objects that call one another.
pub const STUB: Guest = Guest { app: "stub", path: env!("GUEST_CONFORMANCE_STUB"), description: "" };
/// A guest that cannot suspend.
pub const BLOCKING: Guest = Guest {
    app: "blocking",
    path: env!("GUEST_CONFORMANCE_BLOCKING"),
    description: r#"{"durabo":1,"class":"Blocking","handlers":["rpc"]}"#,
};
/// Sockets that do what they are told.
pub const WEBSOCKET: Guest =
    Guest { app: "websocket", path: env!("GUEST_CONFORMANCE_WEBSOCKET"), description: "" };
/// The example `counter`.
pub const COUNTER: Guest = Guest { app: "counter", path: env!("GUEST_EXAMPLE_COUNTER"), description: "" };
/// The example `todo`.
pub const TODO: Guest = Guest { app: "todo", path: env!("GUEST_EXAMPLE_TODO"), description: "" };
/// The example `bank`.
pub const BANK: Guest = Guest { app: "bank", path: env!("GUEST_EXAMPLE_BANK"), description: "" };
/// The example `chat`.
pub const CHAT: Guest = Guest { app: "chat", path: env!("GUEST_EXAMPLE_CHAT"), description: "" };
/// The example `presence`.
pub const PRESENCE: Guest = Guest { app: "presence", path: env!("GUEST_EXAMPLE_PRESENCE"), description: "" };

/// What a prepared node has deployed.
pub const ALL: [Guest; 15] = [
    SQL, KV, ALARM, LIFECYCLE, FAULTS, GATES, HTTP, STUB, BLOCKING, WEBSOCKET, COUNTER, TODO, BANK, CHAT,
    PRESENCE,
];

impl Guest {
    /// The id that a class has for a name: the key of its namespace is `{app}-{Class}`.
    pub fn id(self, class: &str, name: &str) -> String {
        NamespaceKey::new(&format!("{}-{class}", self.app)).id_from_name(name).to_string()
    }

    /// The component.
    pub fn bytes(self) -> Vec<u8> {
        let bytes = fs::read(self.path);
        let mut bytes = bytes.unwrap_or_else(|error| panic!("reading the guest `{}`: {error}", self.path));
        if !self.description.is_empty() {
            append_section(&mut bytes, b"durabo.describe", self.description.as_bytes());
        }
        bytes
    }

    /// The same component with another text in its data: other code with the same classes. Both texts
    /// have to be equally long, and the first has to be there.
    pub fn bytes_with(self, text: &str, replacement: &str) -> Vec<u8> {
        assert_eq!(text.len(), replacement.len(), "the texts have to be equally long");
        let mut bytes = self.bytes();
        let places: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, w)| *w == text.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "the guest `{}` does not hold the text `{text}`", self.path);
        for at in places {
            bytes[at..at + text.len()].copy_from_slice(replacement.as_bytes());
        }
        bytes
    }

    /// The same component with a custom section at its end: other bytes with the same code.
    pub fn bytes_marked(self, mark: u8) -> Vec<u8> {
        let mut bytes = self.bytes();
        append_section(&mut bytes, b"mark", &[mark]);
        bytes
    }
}

/// Appends a custom section: its size, the size of its name, the name, the contents.
fn append_section(bytes: &mut Vec<u8>, name: &[u8], contents: &[u8]) {
    const CUSTOM_SECTION: u8 = 0;
    let small = |size: usize| u8::try_from(size).ok().filter(|size| *size < 0x80).expect("a short section");
    bytes.extend([CUSTOM_SECTION, small(1 + name.len() + contents.len()), small(name.len())]);
    bytes.extend(name);
    bytes.extend(contents);
}
