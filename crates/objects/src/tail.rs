//! What happens in the objects of a node, told to operators who watch.
//!
//! While nobody watches, who would tell looks at one number and does nothing else; what nobody sees is not made. A
//! watcher has a bounded queue: what does not fit is left out and counted, so that watching holds no object up, and the
//! number stands where the lines are missing.

use std::cell::LazyCell;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{TAIL_EVENTS_WAITING_MAX, TAIL_TEXT_BYTES_MAX, TAILS_MAX};
use durabo_model::name::ClassName;
use durabo_model::object::ObjectKey;
use durabo_model::time::Timestamp;
use futures::stream::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::event::{Event, EventId};
use crate::scope::Scope;
use crate::socket::{Incident, SocketId};

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// When, by the clock of the node.
    pub at: Timestamp,
    /// The object.
    pub object: ObjectKey,
    /// Its class.
    pub class: ClassName,
    /// Its name, if it was ever reached by one.
    pub name: Option<String>,
    /// What happened.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A handler has returned, or its instance was reset.
    Handled {
        /// Number of the event.
        event: EventId,
        /// Which handler, and for what.
        kind: EventKind,
        /// From its beginning to its end.
        took: Duration,
        /// Code and message of its failure, if it failed.
        failure: Option<(String, String)>,
    },
    /// A client has joined a socket.
    SocketOpened {
        /// Which.
        socket: SocketId,
        /// As the object has given them.
        tags: Vec<String>,
        /// Sub-protocol; empty for none.
        protocol: String,
    },
    /// The connection of a socket has ended; the object has yet to hear of it.
    SocketClosed {
        /// Which.
        socket: SocketId,
        /// The client's code; 1005 for none, 1006 if no closing frame came.
        code: u16,
        /// The client's reason.
        reason: String,
        /// Whether a closing frame came.
        was_clean: bool,
    },
    /// The connection of a socket has failed; the object has yet to hear of it.
    SocketFailed {
        /// Which.
        socket: SocketId,
        /// How.
        error: String,
    },
    /// The node has broken a socket off, and the object does not hear of it.
    SocketCut {
        /// Which.
        socket: SocketId,
        /// For what.
        why: String,
    },
}

/// What a handler is called for; nothing of what is carried is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A request.
    Fetch {
        /// Its method.
        method: String,
        /// Its path, without the query.
        path: String,
    },
    /// A call.
    Rpc {
        /// Name of the method.
        method: String,
    },
    /// The alarm is due.
    Alarm {
        /// Name of the named alarm that it is.
        schedule: Option<String>,
    },
    /// A message came.
    SocketMessage {
        /// On which socket.
        socket: SocketId,
        /// Its length.
        bytes: usize,
    },
    /// The connection of a socket has ended.
    SocketClose {
        /// Which.
        socket: SocketId,
    },
    /// The connection of a socket has failed.
    SocketError {
        /// Which.
        socket: SocketId,
    },
}

impl From<&Event> for EventKind {
    fn from(event: &Event) -> Self {
        match event {
            Event::Fetch(request) => {
                // Absolute: what follows the host, up to the query.
                let rest = request.url.split_once("://").map_or("", |(_, rest)| rest);
                let place = rest.split('?').next().unwrap_or_default();
                let path = place.find('/').map_or("/", |at| &place[at..]);
                Self::Fetch { method: short(&request.method), path: short(path) }
            }
            Event::Rpc { method, .. } => Self::Rpc { method: short(method) },
            Event::Alarm(info) => {
                Self::Alarm { schedule: info.entry.as_ref().map(|entry| entry.name.clone()) }
            }
            Event::Socket(socket, incident) => {
                let socket = *socket;
                match incident {
                    Incident::Message(message) => Self::SocketMessage { socket, bytes: message.bytes() },
                    Incident::Close { .. } => Self::SocketClose { socket },
                    Incident::Error(_) => Self::SocketError { socket },
                }
            }
        }
    }
}

/// An event that began while somebody watched.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    kind: EventKind,
    at: Instant,
}

impl Begun {
    /// The event begins now.
    pub fn now(event: &Event) -> Self {
        Self { kind: event.into(), at: Instant::now() }
    }

    /// The event ends now.
    pub fn ended(self, event: EventId, failure: Option<&Failure>) -> Happened {
        let failure = failure.map(|failure| (failure.code.clone(), short(&failure.message)));
        Happened::Handled { event, kind: self.kind, took: self.at.elapsed(), failure }
    }
}

/// As much of a text as is told.
pub(crate) fn short(text: &str) -> String {
    let end = text.floor_char_boundary(TAIL_TEXT_BYTES_MAX);
    text[..end].to_owned()
}

/// Whom to tell. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// As many as there are watchers.
    count: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Another list whenever one comes or goes, so that who tells has the lock only while it takes the list.
    watchers: Arc<[Arc<Watcher>]>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    of: Scope,
    queue: mpsc::Sender<Line>,
    left_out: LeftOut,
}

/// What waits for a watcher.
#[derive(Debug)]
struct Line {
    /// How many were left out right before it.
    left_out: u64,
    told: Arc<Told>,
}

/// How many were left out since the last line that found a place.
#[derive(Debug, Clone, Default)]
struct LeftOut(Arc<Mutex<u64>>);

impl LeftOut {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.lock().expect("BUG: the number's lock is never held over a panic")
    }
}

impl Watcher {
    fn tell(&self, told: impl FnOnce() -> Arc<Told>) {
        let Ok(place) = self.queue.try_reserve() else {
            // Or the watcher has gone, and is about to be removed.
            *self.left_out.lock() += 1;
            return;
        };
        let told = told();
        // Under the lock, so that no line from after the gap overtakes the one that tells of it.
        let mut left_out = self.left_out.lock();
        place.send(Line { left_out: mem::take(&mut *left_out), told });
    }
}

impl Tail {
    /// Begins to watch. `overloaded` if too many do, `stopping` if the node does.
    pub fn watch(&self, of: Scope) -> Result<Watch, Failure> {
        let mut state = self.change();
        if state.is_closed {
            return Err(Failure::new(ErrorCode::Stopping, "the node is stopping; try again later"));
        }
        if state.watchers.len() >= TAILS_MAX {
            let text =
                format!("{TAILS_MAX} operators watch already, which is as many as may; end one of them");
            return Err(Failure::new(ErrorCode::Overloaded, text));
        }
        let (queue, lines) = mpsc::channel(TAIL_EVENTS_WAITING_MAX);
        let left_out = LeftOut::default();
        let number = state.next;
        state.next += 1;
        let watcher = Arc::new(Watcher { number, of, queue, left_out: left_out.clone() });
        let watchers = state.watchers.iter().cloned().chain([watcher]).collect();
        self.replace(&mut state, watchers);
        Ok(Watch { tail: self.clone(), number, lines, left_out, next: None })
    }

    /// Whether anybody watches the object.
    pub(crate) fn is_watched(&self, object: &ObjectKey) -> bool {
        self.watchers().is_some_and(|watchers| watchers.iter().any(|watcher| watcher.of.holds(object)))
    }

    /// Tells all who watch the object. What is told is made only if one of them has a place for it.
    pub(crate) fn tell(&self, object: &ObjectKey, told: impl FnOnce() -> Told) {
        let Some(watchers) = self.watchers() else { return };
        let told = LazyCell::new(|| Arc::new(told()));
        for watcher in watchers.iter().filter(|watcher| watcher.of.holds(object)) {
            watcher.tell(|| Arc::clone(&told));
        }
    }

    /// Ends all watching, and lets nobody begin: the node stops.
    pub fn close(&self) {
        let mut state = self.change();
        state.is_closed = true;
        self.replace(&mut state, Arc::default());
    }

    /// Those who watch, if anybody does.
    fn watchers(&self) -> Option<Arc<[Arc<Watcher>]>> {
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = self.0.state.read().expect("BUG: the lock is never held over a panic");
        Some(state.watchers.clone())
    }

    fn replace(&self, state: &mut State, watchers: Arc<[Arc<Watcher>]>) {
        self.0.count.store(watchers.len(), Ordering::Relaxed);
        state.watchers = watchers;
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().expect("BUG: the lock is never held over a panic")
    }
}

/// What a watcher sees next.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// It happened.
    Told(Arc<Told>),
    /// So many were left out between what came before and what comes next, since the watcher did not keep up.
    LeftOut(u64),
}

/// One watcher; ends when it is dropped, or the node stops.
#[derive(Debug)]
pub struct Watch {
    tail: Tail,
    number: u64,
    lines: mpsc::Receiver<Line>,
    left_out: LeftOut,
    /// Comes behind the number that was just told.
    next: Option<Arc<Told>>,
}

impl Stream for Watch {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        let watch = &mut *self;
        if let Some(told) = watch.next.take() {
            return Poll::Ready(Some(Watched::Told(told)));
        }
        let mut left_out = watch.left_out.lock();
        let nothing = match watch.lines.poll_recv(cx) {
            Poll::Ready(Some(Line { left_out: 0, told })) => return Poll::Ready(Some(Watched::Told(told))),
            Poll::Ready(Some(Line { left_out, told })) => {
                watch.next = Some(told);
                return Poll::Ready(Some(Watched::LeftOut(left_out)));
            }
            // The task has to make way for others and comes back: what was left out lies behind these lines.
            Poll::Pending if !watch.lines.is_empty() => return Poll::Pending,
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
        };
        match mem::take(&mut *left_out) {
            0 => nothing,
            count => Poll::Ready(Some(Watched::LeftOut(count))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.tail.change();
        let others = state.watchers.iter().filter(|watcher| watcher.number != self.number).cloned().collect();
        self.tail.replace(&mut state, others);
    }
}

#[cfg(test)]
mod tests;
