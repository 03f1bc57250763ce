//! Directory: which objects are in memory, and the way to each of them.
//!
//! Finds or starts the one task of an object, however many callers race for it (ID-13), and puts
//! events into its mailbox. An object leaves only while its mailbox is empty, under the same lock
//! that callers put events in with, so that no event falls between two tasks. When as many objects are
//! in memory as may be, those without work leave in the order of their last use.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{self, ObjectLimits};
use durabo_model::object::{NamespaceNumber, ObjectIdentity, ObjectKey};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::address::ObjectAddress;
use crate::control::{Control, Ending, OldSockets};
use crate::event::{Delivery, Event, Origin, Outcome, Reply, SqlAnswer, SqlRequest, Work, unanswered};
use crate::guest::GuestLoader;
use crate::life::Life;
use crate::mailbox::mailbox;
use crate::node::Node;
use crate::object::ObjectTask;
use crate::outbound::{Post, Undelivered};
use crate::placement::{Owner, Placement};
pub use crate::registry::LiveObject;
use crate::registry::{Live, Registration, Registry};
use crate::tail::Tail;

/// How long those that were asked to leave get before others are asked too.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

struct Inner {
    node: Arc<Node>,
    loader: Arc<dyn GuestLoader>,
    placement: Box<dyn Placement>,
    tasks: Handle,
    registry: Arc<Registry>,
    stopping: AtomicBool,
}

/// The objects of a node; a cheap handle.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

impl Directory {
    /// An empty directory whose objects run as tasks of `tasks`.
    pub fn new(
        node: Arc<Node>,
        loader: Arc<dyn GuestLoader>,
        placement: Box<dyn Placement>,
        tasks: Handle,
    ) -> Self {
        let registry = Arc::new(Registry::new(node.limits.live_objects_max.unwrap_or(usize::MAX)));
        let stopping = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { node, loader, placement, tasks, registry, stopping }) }
    }

    /// Delivers an event and returns its outcome, once that may leave the object. Dropping the future
    /// drops the reply only: the event runs to its end (ST-10).
    pub async fn deliver(&self, to: ObjectAddress, event: Event, origin: Origin) -> Outcome {
        self.send(to, Work::Event(event), origin).await
    }

    /// Runs SQL of an operator in the object's database, between two turns of its guest and without
    /// starting one.
    pub async fn sql(&self, on: ObjectAddress, request: SqlRequest) -> Result<SqlAnswer, Failure> {
        match self.send(on, Work::Sql(request), Origin::default()).await? {
            Reply::Sql(answer) => Ok(answer),
            other => unreachable!("BUG: SQL was answered with {other:?}"),
        }
    }

    /// Tells operators what happens.
    pub fn tail(&self) -> &Tail {
        &self.inner.node.tail
    }

    /// What the objects share.
    pub(crate) fn node(&self) -> &Node {
        &self.inner.node
    }

    pub(crate) async fn send(&self, to: ObjectAddress, work: Work, origin: Origin) -> Outcome {
        let id = to.key.id;
        let (reply, outcome) = oneshot::channel();
        let delivery = Delivery { id: self.inner.node.counters.next_event(), work, origin, reply };
        self.deliver_in_place(&to, delivery).await.map_err(|(_, failure)| failure)?;
        outcome.await.unwrap_or_else(|_| Err(unanswered(id)))
    }

    /// The objects in memory, in no order.
    pub fn live_objects(&self) -> Vec<LiveObject> {
        let mut objects = Vec::new();
        self.inner.registry.for_each(|live| objects.push(live.shown()));
        objects
    }

    /// An object, if it is in memory.
    pub fn live_object(&self, key: &ObjectKey) -> Option<LiveObject> {
        self.inner.registry.lock(key).get(key).map(Live::shown)
    }

    /// How many objects are in memory.
    pub fn live_count(&self) -> usize {
        self.inner.registry.len()
    }

    /// How many of them have an instance; the others hibernate.
    pub fn instance_count(&self) -> usize {
        self.inner.node.counters.instances()
    }

    /// Asks a part of the objects, those used longest ago, to leave memory as soon as they have no work.
    pub fn ask_for_room(&self) {
        self.inner.registry.ask_for_room();
    }

    /// How many objects may be in memory at once, if that is bounded.
    pub fn live_objects_max(&self) -> Option<usize> {
        self.inner.node.limits.live_objects_max
    }

    /// Memory that the write-ahead logs of all objects take, in bytes.
    pub fn wal_memory_bytes(&self) -> usize {
        self.inner.node.wal_memory.bytes()
    }

    /// Whether an object is in memory.
    pub fn is_live(&self, key: &ObjectKey) -> bool {
        self.inner.registry.lock(key).contains_key(key)
    }

    /// Whether an object of this namespace is in memory, or was until its task failed: what such a one has
    /// committed may be in the log alone. An object that leaves is in the index before this says no.
    pub fn has_live(&self, namespace: NamespaceNumber) -> bool {
        self.inner.registry.has_any_of(namespace)
    }

    /// Ends the instances of these namespaces: their events under way get the drain time, the next
    /// event starts the code that is deployed by then (LC-13). Alarms that the old code kept from running try again.
    pub fn retire(&self, namespaces: &[NamespaceNumber], sockets: OldSockets) {
        let deadline = Instant::now() + self.inner.node.limits.drain;
        if sockets == OldSockets::Cut {
            self.inner.node.sockets.cut(namespaces);
        }
        self.inner.registry.for_each(|live| {
            if namespaces.contains(&live.object.key.namespace) {
                live.control.end(Ending::CodeUpdated(sockets), deadline);
            }
        });
        self.inner.node.alarms.let_go(namespaces);
    }

    /// Asks a live object for a checkpoint, because the log is held back by it.
    pub fn request_checkpoint(&self, key: ObjectKey) {
        if let Some(live) = self.inner.registry.lock(&key).get(&key) {
            live.control.request_checkpoint();
        }
    }

    /// Asks a live object to leave memory as soon as it has no work; the next event takes that back.
    pub fn evict(&self, key: &ObjectKey) {
        if let Some(live) = self.inner.registry.lock(key).get(key) {
            live.control.ask_for_room();
        }
    }

    /// Asks a live object to drop its instance as soon as that has no work; the next event takes that back.
    pub fn hibernate(&self, key: &ObjectKey) {
        if let Some(live) = self.inner.registry.lock(key).get(key) {
            live.control.ask_to_hibernate();
        }
    }

    /// Resets the instance of a live object, with `failure` for its events; false if it has none.
    pub fn reset(&self, key: &ObjectKey, failure: Failure) -> bool {
        self.inner.registry.lock(key).get(key).is_some_and(|live| live.control.reset(failure))
    }

    /// How many events the guest of an object has, which have begun and not ended; none if it is not in memory.
    pub(crate) fn events_in_guest(&self, key: &ObjectKey) -> usize {
        self.inner.registry.lock(key).get(key).map_or(0, |live| live.control.events_in_guest())
    }

    /// How many events wait in the mailbox of an object; none if it is not in memory.
    pub(crate) fn events_waiting(&self, key: &ObjectKey) -> usize {
        self.inner.registry.lock(key).get(key).map_or(0, |live| live.mailbox.waiting())
    }

    /// Stops every object: no new events, those under way get `drain`; all that is committed is in
    /// the objects' files afterwards. Returns how many had not left in time.
    pub async fn stop(&self, drain: Duration) -> usize {
        self.inner.stopping.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + drain;
        self.inner.registry.for_each(|live| live.control.end(Ending::Stopping, deadline));
        // Settling takes a moment after the last event.
        let patience = deadline + drain;
        loop {
            let left = self.inner.registry.left().notified();
            let remaining = self.inner.registry.len();
            if remaining == 0 || timeout_at(patience, left).await.is_err() {
                return remaining;
            }
        }
    }

    /// Puts an event into its object's mailbox. If the object is not in memory and no place is free, others
    /// are asked to leave; what they have committed goes into their files first, which takes a moment.
    async fn deliver_in_place(
        &self,
        to: &ObjectAddress,
        delivery: Delivery,
    ) -> Result<Arc<Life>, (Delivery, Failure)> {
        let registry = &self.inner.registry;
        let limits = &self.inner.node.limits;
        let mut waiting = delivery;
        let mut deadline = None;
        loop {
            let left = registry.left().notified();
            waiting = match self.put(to, waiting) {
                Ok(life) => return Ok(life),
                Err(Undelivered::Refused(delivery, failure)) => return Err((delivery, failure)),
                Err(Undelivered::NoPlace(delivery)) => delivery,
            };
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + limits.place_wait);
            if now >= deadline {
                return Err((waiting, no_place(limits).of_object(to.key.id)));
            }
            registry.ask_for_room();
            // Those that were asked may all have work: then ask others.
            let patience = deadline.min(now + ASK_AGAIN_AFTER);
            drop(timeout_at(patience, left).await);
        }
    }

    fn start(&self, to: &ObjectAddress) -> (Live, ObjectTask) {
        let name = to.name.clone().filter(|name| name.len() <= limits::NAME_CARRIED_BYTES_MAX);
        let identity = ObjectIdentity { key: to.key, class: to.class.clone(), name: name.clone() };
        let control = Arc::new(Control::default());
        let (mailbox, receiver) = mailbox();
        let task = ObjectTask {
            node: self.inner.node.clone(),
            loader: self.inner.loader.clone(),
            identity,
            mailbox: receiver,
            control: control.clone(),
            post: Arc::new(self.clone()),
            registration: Registration::new(self.inner.registry.clone(), to.key),
        };
        let object = LiveObject {
            key: to.key,
            class: to.class.clone(),
            name,
            starts: 0,
            resets: 0,
            has_instance: false,
        };
        (Live { object, mailbox, control, has_fallen: false, used: 0 }, task)
    }
}

impl Post for Directory {
    fn put(&self, to: &ObjectAddress, delivery: Delivery) -> Result<Arc<Life>, Undelivered> {
        let inner = &self.inner;
        let key = to.key;
        match inner.placement.owner(&key) {
            Owner::Here => {}
        }
        let mut shard = inner.registry.lock(&key);
        // Under the lock: whoever is put in before `stop` looks here is told by it.
        if inner.stopping.load(Ordering::SeqCst) {
            let failure = Failure::new(ErrorCode::Stopping, "the node is stopping; try again later");
            return Err(Undelivered::Refused(delivery, failure));
        }
        let mut started = None;
        let live = match shard.entry(key) {
            Entry::Occupied(live) => live.into_mut(),
            Entry::Vacant(_) if !inner.registry.take_place() => {
                return Err(Undelivered::NoPlace(delivery));
            }
            Entry::Vacant(place) => {
                let (live, task) = self.start(to);
                started = Some(task);
                place.insert(live)
            }
        };
        if live.has_fallen {
            let text =
                "the object's task has failed; the object is out of service until the node is started again";
            let failure = Failure::new(ErrorCode::StorageFailed, text).of_object(key.id);
            return Err(Undelivered::Refused(delivery, failure));
        }
        live.used = inner.registry.next_use();
        live.control.stay();
        let life = live.control.life();
        let put = live.mailbox.put(&key, delivery, &inner.node.limits);
        drop(shard);
        if let Some(task) = started {
            inner.tasks.spawn(task.run());
        }
        put.map(|()| life).map_err(|(delivery, failure)| Undelivered::Refused(delivery, failure))
    }

    fn put_in_place<'a>(
        &'a self,
        to: &'a ObjectAddress,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<Arc<Life>, (Delivery, Failure)>> {
        Box::pin(self.deliver_in_place(to, delivery))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.tasks.spawn(task);
    }
}

fn no_place(limits: &ObjectLimits) -> Failure {
    let text = format!(
        "{} objects are in memory, which is as many as may be, and none of them became idle within {} s; try \
         again later, or raise the limit",
        limits.live_objects_max.unwrap_or(usize::MAX),
        limits.place_wait.as_secs_f64()
    );
    Failure::new(ErrorCode::Overloaded, text)
}
