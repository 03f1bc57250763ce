//! How many sockets an object may have, and what those of several objects leave one another.
//!
//! One socket is tested in its own module, whole objects in the suite.

use durabo_model::name::ClassName;
use durabo_model::object_id::ObjectId;
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

fn object(number: u8, book: &SocketBook, limits: &ObjectLimits) -> Arc<ObjectSockets> {
    let key = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([number; 32]) };
    let class = ClassName::new("Room").expect("a good name");
    ObjectSockets::new(SocketParts {
        address: ObjectAddress { key, class, name: None },
        post: Arc::new(Nowhere),
        clock: Arc::new(NoTime),
        counters: Arc::new(Counters::new(1)),
        limits,
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
        std::iter::from_fn(ask).collect::<Vec<_>>()
    });
    let counts = asked.each_ref().map(Vec::len);
    assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] > 0, "{counts:?}");
    assert!(counts.iter().sum::<usize>() < 64, "{counts:?}");
    drop(asked);
    assert!(objects[2].memory().frame(message(), 1).is_ok());
}
