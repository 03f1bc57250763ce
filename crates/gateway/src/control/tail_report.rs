//! Records of what happens in objects, one a line of a stream that goes on as long as its reader.
//!
//! Field names are contract. Which fields a record has depends on its `what`.

use std::sync::Arc;

use durabo_objects::tail::{EventKind, Happened, Told, Watched};
use serde::Serialize;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TailReport {
    /// When it happened, in ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// Class of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name, if it was ever reached by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    /// A handler has returned, or was ended with its instance.
    Event {
        /// Number of the event, in hex digits.
        event: String,
        /// Which handler.
        handler: &'static str,
        /// Method and path of a request, name of a method, name of a named alarm.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Of which socket.
        #[serde(skip_serializing_if = "Option::is_none")]
        socket: Option<String>,
        /// Length of the message.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<usize>,
        /// How long it took, in microseconds.
        took_us: u64,
        /// `ok` or `failed`.
        outcome: &'static str,
        /// Code of the failure, which may be empty.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// What it says.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A client has joined a socket.
    SocketOpened {
        /// Number of the socket.
        socket: String,
        /// Its tags.
        tags: Vec<String>,
        /// Sub-protocol; null for none.
        protocol: Option<String>,
    },
    /// The connection of a socket has ended.
    SocketClosed {
        /// Number of the socket.
        socket: String,
        /// The client's code; 1005 for none, 1006 if no closing frame came.
        code: u16,
        /// The client's reason.
        reason: String,
        /// Whether a closing frame came.
        was_clean: bool,
    },
    /// The connection of a socket has failed.
    SocketFailed {
        /// Number of the socket.
        socket: String,
        /// How.
        error: String,
    },
    /// The node has broken a socket off.
    SocketCut {
        /// Number of the socket.
        socket: String,
        /// For what.
        why: String,
    },
    /// Lines were left out between the one before and the next, since the reader did not keep up.
    LeftOut {
        /// How many.
        count: u64,
    },
}

impl From<Watched> for TailReport {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Told(told) => Self::from(Arc::unwrap_or_clone(told)),
            Watched::LeftOut(count) => {
                Self { at_ms: None, class: None, id: None, name: None, what: What::LeftOut { count } }
            }
        }
    }
}

impl From<Told> for TailReport {
    fn from(told: Told) -> Self {
        Self {
            at_ms: Some(told.at.0),
            class: Some(told.class.as_str().to_owned()),
            id: Some(told.object.id.to_string()),
            name: told.name,
            what: what(told.what),
        }
    }
}

fn what(happened: Happened) -> What {
    match happened {
        Happened::Handled { event, kind, took, failure } => {
            let Kind { handler, detail, socket, bytes } = kind.into();
            let outcome = if failure.is_some() { "failed" } else { "ok" };
            let (code, error) = failure.unzip();
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let event = event.to_string();
            What::Event { event, handler, detail, socket, bytes, took_us, outcome, code, error }
        }
        Happened::SocketOpened { socket, tags, protocol } => What::SocketOpened {
            socket: socket.0.to_string(),
            tags,
            protocol: Some(protocol).filter(|protocol| !protocol.is_empty()),
        },
        Happened::SocketClosed { socket, code, reason, was_clean } => {
            What::SocketClosed { socket: socket.0.to_string(), code, reason, was_clean }
        }
        Happened::SocketFailed { socket, error } => {
            What::SocketFailed { socket: socket.0.to_string(), error }
        }
        Happened::SocketCut { socket, why } => What::SocketCut { socket: socket.0.to_string(), why },
    }
}

#[derive(Default)]
struct Kind {
    handler: &'static str,
    detail: Option<String>,
    socket: Option<String>,
    bytes: Option<usize>,
}

impl From<EventKind> for Kind {
    fn from(kind: EventKind) -> Self {
        let of_handler = |handler| Self { handler, ..Self::default() };
        match kind {
            EventKind::Fetch { method, path } => {
                Self { detail: Some(format!("{method} {path}")), ..of_handler("fetch") }
            }
            EventKind::Rpc { method } => Self { detail: Some(method), ..of_handler("rpc") },
            EventKind::Alarm { schedule: None } => of_handler("alarm"),
            EventKind::Alarm { schedule } => Self { detail: schedule, ..of_handler("scheduled") },
            EventKind::SocketMessage { socket, bytes } => {
                let socket = Some(socket.0.to_string());
                Self { socket, bytes: Some(bytes), ..of_handler("websocketMessage") }
            }
            EventKind::SocketClose { socket } => {
                Self { socket: Some(socket.0.to_string()), ..of_handler("websocketClose") }
            }
            EventKind::SocketError { socket } => {
                Self { socket: Some(socket.0.to_string()), ..of_handler("websocketError") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use durabo_model::object::{NamespaceNumber, ObjectKey};
    use durabo_model::object_id::ObjectId;
    use durabo_model::time::Timestamp;
    use durabo_objects::event::EventId;
    use durabo_objects::socket::SocketId;
    use serde_json::{Value, json};

    use super::*;

    fn line(what: Happened) -> Value {
        let object = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([1; 32]) };
        let class = "Room".to_owned().try_into().expect("class");
        let told = Told { at: Timestamp(5), object, class, name: Some("a".to_owned()), what };
        serde_json::to_value(TailReport::from(Watched::Told(Arc::new(told)))).expect("JSON")
    }

    /// A line of the object with these fields.
    fn expected(fields: Value) -> Value {
        let mut line = json!({"atMs": 5, "class": "Room", "id": "01".repeat(32), "name": "a"});
        line.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        line
    }

    #[test]
    fn events_are_told_with_handler_time_and_outcome() {
        let handled = |kind: EventKind, failure: Option<(&str, &str)>| {
            let failure = failure.map(|(code, error)| (code.to_owned(), error.to_owned()));
            let took = Duration::from_micros(1500);
            line(Happened::Handled { event: EventId(255), kind, took, failure })
        };
        let event = |fields: Value| {
            let mut all =
                json!({"what": "event", "event": "00000000000000ff", "tookUs": 1500, "outcome": "ok"});
            all.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
            expected(all)
        };
        let fetch = EventKind::Fetch { method: "GET".to_owned(), path: "/x".to_owned() };
        assert_eq!(handled(fetch, None), event(json!({"handler": "fetch", "detail": "GET /x"})));
        let rpc = EventKind::Rpc { method: "get".to_owned() };
        let failed =
            json!({"handler": "rpc", "detail": "get", "outcome": "failed", "code": "c", "error": "no"});
        assert_eq!(handled(rpc, Some(("c", "no"))), event(failed));
        let alarm = EventKind::Alarm { schedule: None };
        assert_eq!(handled(alarm, None), event(json!({"handler": "alarm"})));
        let named = EventKind::Alarm { schedule: Some("daily".to_owned()) };
        assert_eq!(handled(named, None), event(json!({"handler": "scheduled", "detail": "daily"})));
        let socket = SocketId(1 << 60);
        let number = "1152921504606846976";
        let message = EventKind::SocketMessage { socket, bytes: 3 };
        let told = json!({"handler": "websocketMessage", "socket": number, "bytes": 3});
        assert_eq!(handled(message, None), event(told));
        let close = handled(EventKind::SocketClose { socket }, None);
        assert_eq!(close, event(json!({"handler": "websocketClose", "socket": number})));
        let error = handled(EventKind::SocketError { socket }, None);
        assert_eq!(error, event(json!({"handler": "websocketError", "socket": number})));
    }

    #[test]
    fn the_life_of_a_socket_is_told_and_what_was_left_out() {
        let socket = SocketId(7);
        let opened = Happened::SocketOpened { socket, tags: vec!["t".to_owned()], protocol: String::new() };
        let told = json!({"what": "socketOpened", "socket": "7", "tags": ["t"], "protocol": null});
        assert_eq!(line(opened), expected(told));
        let reason = "bye".to_owned();
        let closed = Happened::SocketClosed { socket, code: 4000, reason, was_clean: true };
        let told =
            json!({"what": "socketClosed", "socket": "7", "code": 4000, "reason": "bye", "wasClean": true});
        assert_eq!(line(closed), expected(told));
        let failed = Happened::SocketFailed { socket, error: "no frame".to_owned() };
        let told = json!({"what": "socketFailed", "socket": "7", "error": "no frame"});
        assert_eq!(line(failed), expected(told));
        let cut = Happened::SocketCut { socket, why: "aborted".to_owned() };
        assert_eq!(line(cut), expected(json!({"what": "socketCut", "socket": "7", "why": "aborted"})));
        let left_out = serde_json::to_value(TailReport::from(Watched::LeftOut(3))).expect("JSON");
        assert_eq!(left_out, json!({"what": "leftOut", "count": 3}));
    }
}
