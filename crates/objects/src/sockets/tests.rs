//! How many sockets an object may have, what those of several objects leave one another, and how they are listed.
//!
//! One socket is tested in its own module, whole objects in the suite.

use std::sync::atomic::{AtomicBool, Ordering};

use durabo_model::name::ClassName;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::life::Life;
use crate::socket::Message;

/// A node without a place for any event.
struct Nowhere;

impl Post for Nowhere {
    fn put(&self, _to: &ObjectAddress, delivery: Delivery) -> Result<Arc<Life>, Undelivered> {
        Err(Undelivered::Refused(delivery, nowhere()))
    }

    fn put_in_place<'a>(
        &'a self,
        _to: &'a ObjectAddress,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<Arc<Life>, (Delivery, Failure)>> {
        Box::pin(async { Err((delivery, nowhere())) })
    }

    fn spawn(&self, _task: BoxFuture<'static, ()>) {}
}

/// A node that is full: an object gets a place when it is asked for the second time.
#[derive(Default)]
struct Full {
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
    refused: AtomicBool,
    delivered: Mutex<Vec<Delivery>>,
}

impl Post for Full {
    fn put(&self, _to: &ObjectAddress, delivery: Delivery) -> Result<Arc<Life>, Undelivered> {
        Err(Undelivered::NoPlace(delivery))
    }

    fn put_in_place<'a>(
        &'a self,
        _to: &'a ObjectAddress,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<Arc<Life>, (Delivery, Failure)>> {
        if !self.refused.swap(true, Ordering::Relaxed) {
            let full = Failure::new(ErrorCode::Overloaded, "all places are taken");
            return Box::pin(async { Err((delivery, full)) });
        }
        self.delivered.lock().expect("unpoisoned").push(delivery);
        Box::pin(async { Ok(Arc::default()) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().expect("unpoisoned").push(task);
    }
}

fn nowhere() -> Failure {
    Failure::new(ErrorCode::Stopping, "there is no object")
}

#[derive(Debug)]
struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

fn key(namespace: u32, number: u8) -> ObjectKey {
    ObjectKey { namespace: NamespaceNumber(namespace), id: ObjectId::from_bytes([number; 32]) }
}

fn object(number: u8, book: &SocketBook, limits: &ObjectLimits) -> Arc<ObjectSockets> {
    of_key(key(1, number), &Arc::new(Counters::new(1)), book, limits)
}

fn of_key(
    key: ObjectKey,
    counters: &Arc<Counters>,
    book: &SocketBook,
    limits: &ObjectLimits,
) -> Arc<ObjectSockets> {
    reached_by(Arc::new(Nowhere), key, counters, book, limits)
}

fn reached_by(
    post: Arc<dyn Post>,
    key: ObjectKey,
    counters: &Arc<Counters>,
    book: &SocketBook,
    limits: &ObjectLimits,
) -> Arc<ObjectSockets> {
    let class = ClassName::new("Room").expect("a good name");
    ObjectSockets::new(SocketParts {
        address: ObjectAddress { key, class, name: None },
        post,
        clock: Arc::new(NoTime),
        counters: counters.clone(),
        limits,
        tail: Tail::default(),
        book: book.clone(),
    })
}

fn accept(sockets: &ObjectSockets, events: usize) -> Result<Upgrade, Failure> {
    sockets.accept(Vec::new(), Lifetime::Hibernate, events).map(|(_, upgrade)| upgrade)
}

#[test]
fn sockets_in_no_response_are_bounded_beside_one_for_each_event() {
    let limits = ObjectLimits::default();
    let book = SocketBook::new(&limits);
    let sockets = object(1, &book, &limits);
    let max = limits::SOCKETS_UNRETURNED_MAX;
    let mut accepted: Vec<_> = (0..max + 10).map(|_| accept(&sockets, 10).expect("room")).collect();
    let failure = accept(&sockets, 10).expect_err("too many");
    assert_eq!(failure.listed_code(), Some(ErrorCode::LimitExceeded));
    assert!(failure.message.contains("74 WebSockets were accepted"), "{failure}");
    let returned = accepted.pop().expect("one").returned();
    accepted.push(accept(&sockets, 10).expect("one of them is in a response"));
    assert!(accept(&sockets, 10).is_err());
    drop(accepted);
    assert_eq!(book.len(), 1, "what was not returned is gone (WS-5)");
    let many: Vec<_> = (0..max).map(|_| accept(&sockets, 0).expect("room").returned()).collect();
    assert_eq!(book.len(), 1 + many.len());
    drop((returned, many));
}

#[test]
fn ws_4_an_object_has_as_many_sockets_as_it_may_and_no_more() {
    let limits = ObjectLimits::default();
    let book = SocketBook::new(&limits);
    let [full, other] = [1, 2].map(|number| object(number, &book, &limits));
    let max = limits::SOCKETS_PER_OBJECT_MAX;
    let mut ends: Vec<_> = (0..max).map(|_| accept(&full, 0).expect("room").returned()).collect();
    let failure = accept(&full, 0).expect_err("too many");
    assert!(failure.message.contains("only 32768 websockets can be accepted"), "{failure}");
    assert!(accept(&other, 0).is_ok());
    // Nobody can be told of its end here, so that it is cut.
    drop(ends.pop());
    ends.push(accept(&full, 0).expect("one has gone").returned());
    assert!(accept(&full, 0).is_err());
}

#[test]
fn lc_15_a_socket_that_keeps_its_object_awake_waits_for_it_until_its_client_has_gone() {
    let limits = ObjectLimits::default();
    let sockets = object(1, &SocketBook::new(&limits), &limits);
    let (_, hibernates) = sockets.accept(Vec::new(), Lifetime::Hibernate, 0).expect("room");
    assert!(!sockets.is_waited_for());
    let (_, awake) = sockets.accept(Vec::new(), Lifetime::KeepAwake, 0).expect("room");
    assert!(sockets.is_waited_for());
    let client = awake.returned().join(String::new());
    client.leave();
    assert!(!sockets.is_waited_for(), "its handler could hang for ever");
    drop((hibernates, client));
}

#[test]
fn no_object_takes_all_that_sockets_of_the_node_may_hold() {
    const MIB: usize = 1024 * 1024;
    let limits = ObjectLimits {
        sockets_outgoing_bytes_max: 64 * MIB,
        node_sockets_outgoing_bytes_max: 64 * MIB,
        ..ObjectLimits::default()
    };
    let book = SocketBook::new(&limits);
    let objects = [1, 2, 3].map(|number| object(number, &book, &limits));
    let message = || Message::Binary(vec![0; MIB]);
    let asked = objects.each_ref().map(|sockets| {
        let ask = || sockets.memory().frame(message(), 1).ok();
        std::iter::from_fn(ask).take(100).collect::<Vec<_>>()
    });
    let counts = asked.each_ref().map(Vec::len);
    assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] > 0, "{counts:?}");
    assert!(counts.iter().sum::<usize>() < 64, "{counts:?}");
    drop(asked);
    assert!(objects[2].memory().frame(message(), 1).is_ok());
}

#[test]
fn ws_29_what_happens_to_a_socket_waits_until_its_object_has_a_place_in_memory() {
    let (limits, counters, full) =
        (ObjectLimits::default(), Arc::new(Counters::new(1)), Arc::new(Full::default()));
    let sockets = reached_by(full.clone(), key(1, 1), &counters, &SocketBook::new(&limits), &limits);
    let client = accept(&sockets, 0).expect("a socket").returned().join(String::new());
    client.receive(Message::Text("hello".to_owned()));
    let task = full.tasks.lock().expect("unpoisoned").pop().expect("somebody waits for a place");
    task.now_or_never().expect("there is one");
    assert!(!client.is_cut());
    let Work::Socket(call) = full.delivered.lock().expect("unpoisoned").remove(0).work else {
        panic!("something else was delivered")
    };
    let (incident, _handling) = call.begin().expect("an event");
    assert_eq!(incident, Incident::Message(Message::Text("hello".to_owned())));
}

#[test]
fn lc_13_sockets_of_the_namespaces_that_are_deployed_anew_are_cut_wherever_their_objects_are() {
    let (limits, counters) = (ObjectLimits::default(), Arc::new(Counters::new(1)));
    let book = SocketBook::new(&limits);
    let clients = [key(1, 1), key(1, 2), key(2, 1)].map(|key| {
        let sockets = of_key(key, &counters, &book, &limits);
        accept(&sockets, 0).expect("a socket").returned().join(String::new())
    });
    book.cut(&[NamespaceNumber(1)]);
    assert_eq!(clients.each_ref().map(|client| client.is_cut()), [true, true, false]);
    assert_eq!(book.len(), 1);
}

/// A book in which these objects have as many sockets as is said; their ends are kept.
fn book(objects: &[(ObjectKey, usize)]) -> (SocketBook, Vec<Upgrade>) {
    let (limits, counters) = (ObjectLimits::default(), Arc::new(Counters::new(1)));
    let book = SocketBook::new(&limits);
    let mut ends = Vec::new();
    for (key, count) in objects {
        let sockets = of_key(*key, &counters, &book, &limits);
        ends.extend((0..*count).map(|_| accept(&sockets, 0).expect("a socket")));
    }
    (book, ends)
}

/// All that is listed, in parts of `limit`: object and socket, and in how many parts.
fn read(book: &SocketBook, of: &Scope, limit: usize) -> (Vec<(ObjectKey, SocketId)>, usize) {
    let (mut read, mut after, mut parts) = (Vec::new(), None, 0);
    loop {
        parts += 1;
        let part = book.list(of, after, limit);
        assert!(part.len() <= limit, "{} at once", part.len());
        read.extend(part.iter().map(|(sockets, socket)| (sockets.address().key, socket.id)));
        if part.len() < limit {
            return (read, parts);
        }
        after = read.last().map(|(object, socket)| SocketPosition { object: *object, socket: *socket });
    }
}

#[test]
fn sockets_are_listed_by_object_and_acceptance_however_small_the_parts() {
    // Not in the order of their keys.
    let objects = [(key(2, 9), 3), (key(1, 5), 2), (key(2, 1), 1), (key(3, 0), 2), (key(1, 255), 1)];
    let (book, _ends) = book(&objects);
    let all = Scope::Namespaces(vec![NamespaceNumber(1), NamespaceNumber(2), NamespaceNumber(3)]);
    let (whole, parts) = read(&book, &all, 100);
    assert_eq!((whole.len(), parts), (9, 1));
    let mut sorted = whole.clone();
    sorted.sort_unstable();
    assert_eq!(whole, sorted);
    for limit in 1..9 {
        assert_eq!(read(&book, &all, limit).0, whole, "in parts of {limit}");
    }
    let of_two = Scope::Namespaces(vec![NamespaceNumber(2)]);
    let expected: Vec<_> = whole.iter().filter(|(key, _)| key.namespace.0 == 2).copied().collect();
    assert_eq!(read(&book, &of_two, 2).0, expected);
}

#[test]
fn an_object_without_sockets_lists_none_and_one_with_sockets_only_its_own() {
    let (book, mut ends) = book(&[(key(1, 1), 2), (key(1, 2), 2)]);
    let (of_first, _) = read(&book, &Scope::Object(key(1, 1)), 1);
    assert!(of_first.len() == 2 && of_first.iter().all(|(object, _)| *object == key(1, 1)), "{of_first:?}");
    assert_eq!(read(&book, &Scope::Object(key(1, 3)), 1).0, []);
    // Its ends were never returned, so that its sockets never were.
    ends.drain(..2);
    assert_eq!(read(&book, &Scope::Object(key(1, 1)), 1).0, []);
}
