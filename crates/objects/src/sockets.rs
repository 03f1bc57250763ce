//! The sockets of one object, and of all objects of a node.
//!
//! They are kept beside the objects and not in them: an object that leaves memory leaves them behind, and finds
//! them when it comes back (WS-29). Something that happens to a socket is put into the mailbox of its object as
//! a call; what happened is taken from the socket when the event begins, so that a full mailbox loses nothing
//! and of one socket there is one event at a time (WS-15).

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{self, ObjectLimits};
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_model::time::{Clock, Timestamp};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::address::ObjectAddress;
use crate::byte_budget::Budget;
use crate::counters::Counters;
use crate::event::{Delivery, Origin, Work};
use crate::outbound::{Post, Undelivered};
use crate::scope::Scope;
use crate::socket::{
    Incident, Lifetime, NewSocket, ReadyState, Socket, SocketCall, SocketId, SocketMemory, SocketOwner,
    Upgrade,
};
use crate::tail::{Happened, Tail, Told, short};
use crate::wakers::Wakers;

/// A text and its automatic answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoResponse {
    /// What is answered.
    pub request: String,
    /// The answer.
    pub response: Bytes,
}

/// Objects that have sockets, whether they are in memory or not. Clones are the same book.
#[derive(Debug, Clone)]
pub struct SocketBook(Arc<Book>);

/// In the order of their namespaces and ids, so that a list of sockets is read in parts.
type SocketsOfObjects = BTreeMap<ObjectKey, Arc<ObjectSockets>>;

/// Where a part of a list begins: behind this socket, in the order of objects and of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketPosition {
    /// Its object.
    pub object: ObjectKey,
    /// Its number.
    pub socket: SocketId,
}

#[derive(Debug)]
struct Book {
    objects: Mutex<SocketsOfObjects>,
    outgoing: Budget,
    incoming: Budget,
}

impl SocketBook {
    /// A book without any, for sockets that may hold so much together.
    pub fn new(limits: &ObjectLimits) -> Self {
        Self(Arc::new(Book {
            objects: Mutex::default(),
            outgoing: Budget::new(limits.node_sockets_outgoing_bytes_max),
            incoming: Budget::new(limits.node_sockets_incoming_bytes_max),
        }))
    }

    /// What the sockets of a further object may hold.
    fn memory(&self, limits: &ObjectLimits) -> SocketMemory {
        SocketMemory {
            outgoing: self.0.outgoing.within(limits.sockets_outgoing_bytes_max),
            incoming: self.0.incoming.clone(),
            client_bytes_max: limits.socket_outgoing_bytes_max,
        }
    }

    /// Those of an object, if it has any.
    pub(crate) fn of(&self, key: &ObjectKey) -> Option<Arc<ObjectSockets>> {
        self.lock().get(key).cloned()
    }

    /// Breaks off all sockets of these namespaces, since their code was deployed anew (LC-13).
    pub(crate) fn cut(&self, namespaces: &[NamespaceNumber]) {
        let found: Vec<_> = {
            let book = self.lock();
            book.iter()
                .filter(|(key, _)| namespaces.contains(&key.namespace))
                .map(|(_, found)| found.clone())
                .collect()
        };
        found.iter().for_each(|sockets| sockets.cut_all(DEPLOYED_ANEW));
    }

    /// Sockets with their objects, those behind `after`, `limit` at most. The lock is held for no more than these.
    pub(crate) fn list(
        &self,
        of: &Scope,
        after: Option<SocketPosition>,
        limit: usize,
    ) -> Vec<(Arc<ObjectSockets>, Arc<Socket>)> {
        let ranges: Vec<(ObjectKey, ObjectKey)> = match of {
            Scope::Object(key) => vec![(*key, *key)],
            Scope::Namespaces(namespaces) => {
                let [least, greatest] = [0, u8::MAX].map(|byte| ObjectId::from_bytes([byte; 32]));
                let range_of = |namespace: &NamespaceNumber| {
                    [least, greatest].map(|id| ObjectKey { namespace: *namespace, id }).into()
                };
                namespaces.iter().map(range_of).collect()
            }
        };
        let mut listed = Vec::new();
        let book = self.lock();
        for (first, last) in ranges {
            let from = after.map_or(first, |after| first.max(after.object));
            if from > last {
                continue;
            }
            for (key, sockets) in book.range(from..=last) {
                if listed.len() == limit {
                    return listed;
                }
                let behind = after.filter(|after| after.object == *key).map(|after| after.socket);
                let behind = behind.map_or(Bound::Unbounded, Bound::Excluded);
                let state = sockets.lock();
                let found = state.sockets.range((behind, Bound::Unbounded)).take(limit - listed.len());
                listed.extend(found.map(|(_, socket)| (sockets.clone(), socket.clone())));
            }
        }
        listed
    }

    /// How many sockets the node has.
    pub fn len(&self) -> usize {
        let all: Vec<_> = self.lock().values().cloned().collect();
        all.iter().map(|sockets| sockets.lock().sockets.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, SocketsOfObjects> {
        self.0.objects.lock().expect("BUG: the book's lock is never held over a panic")
    }
}

/// Why sockets are cut by a deployment.
pub(crate) const DEPLOYED_ANEW: &str = "its class was deployed anew";

/// What the sockets of an object need of its node.
pub(crate) struct SocketParts<'a> {
    pub address: ObjectAddress,
    pub post: Arc<dyn Post>,
    pub clock: Arc<dyn Clock>,
    pub counters: Arc<Counters>,
    pub limits: &'a ObjectLimits,
    pub tail: Tail,
    pub book: SocketBook,
}

/// The sockets of one object.
pub struct ObjectSockets {
    address: ObjectAddress,
    post: Arc<dyn Post>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    tail: Tail,
    book: SocketBook,
    memory: SocketMemory,
    me: Weak<ObjectSockets>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of their acceptance.
    sockets: BTreeMap<SocketId, Arc<Socket>>,
    /// Those of them whose client's end is in no response yet.
    unreturned: HashSet<SocketId>,
    keep_awake: usize,
    /// Who waits until none keeps the object awake.
    waiting: Wakers,
    auto_response: Option<AutoResponse>,
    event_timeout: Option<Duration>,
}

impl std::fmt::Debug for ObjectSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectSockets").field("object", &self.address.key).finish_non_exhaustive()
    }
}

impl ObjectSockets {
    /// An object without any.
    pub(crate) fn new(parts: SocketParts<'_>) -> Arc<Self> {
        let SocketParts { address, post, clock, counters, limits, tail, book } = parts;
        let memory = book.memory(limits);
        Arc::new_cyclic(|me| Self {
            address,
            post,
            clock,
            counters,
            tail,
            book,
            memory,
            me: me.clone(),
            state: Mutex::default(),
        })
    }

    /// Makes a socket, and the client's end of it. Refused if there are too many (WS-4), or too many that were not
    /// returned in a response; each of the `events` that are under way may have one besides.
    pub(crate) fn accept(
        &self,
        tags: Vec<String>,
        lifetime: Lifetime,
        events: usize,
    ) -> Result<(SocketId, Upgrade), Failure> {
        let me = self.me.upgrade().expect("BUG: called on a value that is gone");
        // Both locks in this order, always.
        let mut book = self.book.lock();
        let mut state = self.lock();
        let max = limits::SOCKETS_PER_OBJECT_MAX;
        if state.sockets.len() >= max {
            let text = format!("only {max} websockets can be accepted on a single Durable Object instance");
            return Err(Failure::new(ErrorCode::LimitExceeded, text).of_object(self.address.key.id));
        }
        // Nobody has to return what the object has opened itself.
        let is_opened = lifetime == Lifetime::Outgoing;
        let unreturned = state.unreturned.len();
        if !is_opened && unreturned >= limits::SOCKETS_UNRETURNED_MAX + events {
            let text = format!(
                "{unreturned} WebSockets were accepted and are in no response yet, which is as many as may be; \
                 return each in the response of the event that accepts it"
            );
            return Err(Failure::new(ErrorCode::LimitExceeded, text).of_object(self.address.key.id));
        }
        let id = self.counters.next_socket();
        let socket = NewSocket { id, tags, lifetime, accepted: self.clock.now() };
        let socket = Arc::new(Socket::new(socket, me.clone()));
        state.keep_awake += usize::from(lifetime.keeps_awake());
        state.sockets.insert(id, socket.clone());
        if !is_opened {
            state.unreturned.insert(id);
        }
        drop(state);
        book.insert(self.address.key, me);
        drop(book);
        Ok((id, Upgrade::new(socket)))
    }

    /// Whose they are.
    pub(crate) fn address(&self) -> &ObjectAddress {
        &self.address
    }

    /// The socket of that number, unless it is gone.
    pub(crate) fn get(&self, id: SocketId) -> Option<Arc<Socket>> {
        self.lock().sockets.get(&id).cloned()
    }

    /// All, or those with a tag, in the order of their acceptance (WS-7).
    pub(crate) fn with_tag(&self, tag: Option<&str>) -> Vec<Arc<Socket>> {
        let has_tag =
            |socket: &Arc<Socket>| tag.is_none_or(|tag| socket.tags.iter().any(|known| known == tag));
        self.lock().sockets.values().filter(|socket| has_tag(socket)).cloned().collect()
    }

    /// Removes a socket whose last event was handled, or that is cut.
    pub(crate) fn remove(&self, id: SocketId) -> Option<Arc<Socket>> {
        let mut book = self.book.lock();
        let mut state = self.lock();
        let socket = state.sockets.remove(&id)?;
        state.unreturned.remove(&id);
        if socket.lifetime.keeps_awake() {
            state.keep_awake -= 1;
            state.waiting.wake_all();
        }
        if state.sockets.is_empty() {
            book.remove(&self.address.key);
        }
        Some(socket)
    }

    /// Breaks one socket off (WS-31), and says why to who watches.
    pub(crate) fn cut(&self, id: SocketId, why: &str) {
        if let Some(socket) = self.remove(id) {
            // The end of one whose connection has ended was told.
            if socket.ready_state() != ReadyState::Closed {
                self.tell(|| Happened::SocketCut { socket: id, why: short(why) });
            }
            socket.cut();
        }
    }

    /// Breaks all sockets off and forgets what was set for them (WS-25, WS-31).
    pub(crate) fn cut_all(&self, why: &str) {
        self.cut_where(why, |_| true);
        let mut state = self.lock();
        state.auto_response = None;
        state.event_timeout = None;
    }

    /// Breaks those off that end with the instance (WS-33).
    pub(crate) fn cut_awake(&self) {
        if self.lock().keep_awake > 0 {
            self.cut_where("its instance has ended", |socket| socket.lifetime.keeps_awake());
        }
    }

    fn cut_where(&self, why: &str, is_meant: impl Fn(&Socket) -> bool) {
        let meant: Vec<_> = {
            let state = self.lock();
            state.sockets.values().filter(|socket| is_meant(socket)).map(|socket| socket.id).collect()
        };
        meant.into_iter().for_each(|id| self.cut(id, why));
    }

    /// Tells who watches.
    fn tell(&self, what: impl FnOnce() -> Happened) {
        let ObjectAddress { key, class, name } = &self.address;
        self.tail.tell(key, || Told {
            at: self.clock.now(),
            object: *key,
            class: class.clone(),
            name: name.clone(),
            what: what(),
        });
    }

    /// Whether a socket keeps the object in memory whose client is there.
    pub(crate) fn is_waited_for(&self) -> bool {
        let state = self.lock();
        let waits = |socket: &Arc<Socket>| socket.lifetime.keeps_awake() && !socket.client.is_gone();
        state.keep_awake > 0 && state.sockets.values().any(waits)
    }

    /// How many of them the object has opened itself (WS-33).
    pub(crate) fn outgoing(&self) -> usize {
        let state = self.lock();
        if state.keep_awake == 0 {
            return 0;
        }
        state.sockets.values().filter(|socket| socket.lifetime == Lifetime::Outgoing).count()
    }

    /// Ready when no socket keeps the object in memory (LC-11).
    pub(crate) fn poll_may_sleep(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.keep_awake == 0 {
            return Poll::Ready(());
        }
        state.waiting.add(cx.waker());
        Poll::Pending
    }

    /// What is answered without the object (WS-24).
    pub(crate) fn auto_response_pair(&self) -> Option<AutoResponse> {
        self.lock().auto_response.clone()
    }

    pub(crate) fn set_auto_response_pair(&self, pair: Option<AutoResponse>) {
        self.lock().auto_response = pair;
    }

    /// How long a handler may take (WS-28).
    pub(crate) fn event_timeout(&self) -> Option<Duration> {
        self.lock().event_timeout
    }

    pub(crate) fn set_event_timeout(&self, timeout: Option<Duration>) {
        self.lock().event_timeout = timeout;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: the lock is never held over a panic")
    }
}

impl SocketOwner for ObjectSockets {
    fn call(&self, socket: &Arc<Socket>) {
        let Some(me) = self.me.upgrade() else { return };
        // Nobody hears of its outcome.
        let (reply, _) = oneshot::channel();
        let origin = Origin { client: socket.client.clone(), ..Origin::default() };
        let work = Work::Socket(SocketCall::new(socket.clone()));
        let delivery = Delivery { id: self.counters.next_event(), work, origin, reply };
        match self.post.put(&self.address, delivery) {
            Ok(_) => {}
            // It is dropped with its call.
            Err(Undelivered::Refused(..)) => {}
            Err(Undelivered::NoPlace(delivery)) => {
                let socket = socket.clone();
                self.post
                    .spawn(Box::pin(async move { me.call_when_there_is_a_place(&socket, delivery).await }));
            }
        }
    }

    fn auto_response(&self, text: &str) -> Option<Bytes> {
        let state = self.lock();
        let pair = state.auto_response.as_ref()?;
        (pair.request == text).then(|| pair.response.clone())
    }

    fn returned(&self, id: SocketId) {
        self.lock().unreturned.remove(&id);
    }

    fn joined(&self, socket: &Socket) {
        self.tell(|| Happened::SocketOpened {
            socket: socket.id,
            tags: socket.tags.clone(),
            protocol: socket.protocol(),
        });
    }

    fn ended(&self, id: SocketId, incident: &Incident) {
        self.tell(|| match incident {
            Incident::Close { code, reason, was_clean } => Happened::SocketClosed {
                socket: id,
                code: *code,
                reason: reason.clone(),
                was_clean: *was_clean,
            },
            Incident::Error(failure) => Happened::SocketFailed { socket: id, error: short(&failure.message) },
            Incident::Message(_) => unreachable!("BUG: a message ends no connection"),
        });
    }

    fn forget(&self, id: SocketId) {
        self.remove(id);
    }

    fn undelivered(&self, id: SocketId) {
        let object = self.address.key.id;
        if self.get(id).is_some() {
            warn!(%object, socket = id.0, "socket is cut: what happened to it cannot be delivered");
        }
        self.cut(id, "what happened to it cannot be delivered");
    }

    fn fell_behind(&self, id: SocketId) {
        let object = self.address.key.id;
        info!(%object, socket = id.0, "socket is closed: its client does not take what is sent to it");
    }

    fn memory(&self) -> &SocketMemory {
        &self.memory
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl ObjectSockets {
    /// Nothing of a socket is lost for want of a place in memory: it waits for as long as it takes.
    async fn call_when_there_is_a_place(&self, socket: &Arc<Socket>, mut delivery: Delivery) {
        while self.get(socket.id).is_some() {
            match self.post.put_in_place(&self.address, delivery).await {
                Ok(_) => return,
                Err((back, failure)) if failure.flags.overloaded => delivery = back,
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
