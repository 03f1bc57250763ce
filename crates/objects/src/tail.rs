//! What happens in the objects of a node, told to operators who watch.
//!
//! While nobody watches, who would tell looks at one number and does nothing else. A watcher has a bounded queue: what
//! does not fit is left out and counted, so that watching holds no object up.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
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
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watchers: Vec<Watcher>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    of: Scope,
    queue: mpsc::Sender<Told>,
    left_out: Arc<AtomicU64>,
}

impl Tail {
    /// Begins to watch. `overloaded` if too many do, `stopping` if the node does.
    pub fn watch(&self, of: Scope) -> Result<Watch, Failure> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Failure::new(ErrorCode::Stopping, "the node is stopping; try again later"));
        }
        if state.watchers.len() >= TAILS_MAX {
            let text =
                format!("{TAILS_MAX} operators watch already, which is as many as may; end one of them");
            return Err(Failure::new(ErrorCode::Overloaded, text));
        }
        let (queue, told) = mpsc::channel(TAIL_EVENTS_WAITING_MAX);
        let left_out = Arc::new(AtomicU64::new(0));
        let number = state.next;
        state.next += 1;
        state.watchers.push(Watcher { number, of, queue, left_out: left_out.clone() });
        self.0.count.store(state.watchers.len(), Ordering::Relaxed);
        Ok(Watch { tail: self.clone(), number, told, left_out })
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) > 0
    }

    /// Tells all who watch the object.
    pub(crate) fn tell(&self, told: &Told) {
        for watcher in self.lock().watchers.iter().filter(|watcher| watcher.of.holds(&told.object)) {
            // One that has gone is about to be removed.
            if watcher.queue.try_send(told.clone()).is_err() {
                watcher.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends all watching, and lets nobody begin: the node stops.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.watchers.clear();
        self.0.count.store(0, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("BUG: the lock is never held over a panic")
    }
}

/// What a watcher sees next.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// It happened.
    Told(Box<Told>),
    /// So many were left out before, since the watcher did not keep up.
    LeftOut(u64),
}

/// One watcher; ends when it is dropped, or the node stops.
#[derive(Debug)]
pub struct Watch {
    tail: Tail,
    number: u64,
    told: mpsc::Receiver<Told>,
    left_out: Arc<AtomicU64>,
}

impl Stream for Watch {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        // First what was in time.
        if let Poll::Ready(Some(told)) = self.told.poll_recv(cx) {
            return Poll::Ready(Some(Watched::Told(Box::new(told))));
        }
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => {
                let told = ready!(self.told.poll_recv(cx));
                Poll::Ready(told.map(|told| Watched::Told(Box::new(told))))
            }
            count => Poll::Ready(Some(Watched::LeftOut(count))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.tail.lock();
        state.watchers.retain(|watcher| watcher.number != self.number);
        self.tail.0.count.store(state.watchers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::event::HttpRequest;

    fn told(namespace: u32, id: u8) -> Told {
        Told {
            at: Timestamp(1),
            object: ObjectKey { namespace: NamespaceNumber(namespace), id: ObjectId::from_bytes([id; 32]) },
            class: ClassName::new("Room").expect("class"),
            name: None,
            what: Happened::SocketFailed { socket: SocketId(1), error: "no".to_owned() },
        }
    }

    fn next(watch: &mut Watch) -> Option<Option<Watched>> {
        watch.next().now_or_never()
    }

    fn seen(told: Told) -> Option<Option<Watched>> {
        Some(Some(Watched::Told(Box::new(told))))
    }

    #[test]
    fn a_watcher_sees_what_happens_to_its_objects_and_nothing_of_others() {
        let tail = Tail::default();
        assert!(!tail.is_watched());
        let mut of_two = tail.watch(Scope::Namespaces(vec![NamespaceNumber(2)])).expect("watched");
        let mut of_object = tail.watch(Scope::Object(told(2, 7).object)).expect("watched");
        for (namespace, id) in [(1, 7), (2, 1), (2, 7)] {
            tail.tell(&told(namespace, id));
        }
        assert_eq!((next(&mut of_two), next(&mut of_two)), (seen(told(2, 1)), seen(told(2, 7))));
        assert_eq!((next(&mut of_object), next(&mut of_object)), (seen(told(2, 7)), None));
        assert_eq!(next(&mut of_two), None);
        drop(of_two);
        assert!(tail.is_watched());
        drop(of_object);
        assert!(!tail.is_watched());
    }

    #[test]
    fn what_a_slow_watcher_does_not_take_is_left_out_and_counted_behind_what_it_has() {
        let tail = Tail::default();
        let mut slow = tail.watch(Scope::Object(told(1, 1).object)).expect("watched");
        for _ in 0..TAIL_EVENTS_WAITING_MAX + 3 {
            tail.tell(&told(1, 1));
        }
        for _ in 0..TAIL_EVENTS_WAITING_MAX {
            assert_eq!(next(&mut slow), seen(told(1, 1)));
        }
        assert_eq!(next(&mut slow), Some(Some(Watched::LeftOut(3))));
        assert_eq!(next(&mut slow), None);
    }

    #[test]
    fn no_more_watch_than_may_and_all_end_when_the_node_stops() {
        let tail = Tail::default();
        let scope = || Scope::Object(told(1, 1).object);
        let mut watches: Vec<Watch> = (0..TAILS_MAX).map(|_| tail.watch(scope()).expect("watched")).collect();
        assert!(tail.watch(scope()).expect_err("too many").flags.overloaded);
        watches.pop();
        watches.push(tail.watch(scope()).expect("there is a place again"));
        tail.close();
        assert!(watches.iter_mut().all(|watch| next(watch) == Some(None)));
        assert_eq!(tail.watch(scope()).expect_err("stopping").listed_code(), Some(ErrorCode::Stopping));
    }

    #[test]
    fn the_query_of_a_request_is_not_told() {
        let kind_of = |url: &str| {
            let (method, url) = ("GET".to_owned(), url.to_owned());
            let request = HttpRequest { method, url, headers: Vec::new(), body: String::new().into() };
            match EventKind::from(&Event::Fetch(request)) {
                EventKind::Fetch { path, .. } => path,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kind_of("http://do:1/a/b?token=secret"), "/a/b");
        assert_eq!(kind_of("http://do?token=secret/x"), "/");
        assert_eq!(kind_of("http://do"), "/");
    }
}
