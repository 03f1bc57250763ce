//! What a mailbox takes, refuses, and gives in which order.
//!
//! Whole objects behind a mailbox are in `tests/simulation`.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::call_chain::{CallChain, Caller};
use crate::client::Client;
use crate::event::{Event, EventId, Origin, Work};
use crate::loose_socket::LooseSocket;
use crate::socket::Message;
use bytes::Bytes;
use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::Epoch;
use tokio::sync::oneshot;
use tokio::task::yield_now;

fn key() -> ObjectKey {
    ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([1; 32]) }
}

fn delivery(bytes: usize) -> Delivery {
    let event = Event::Rpc { method: String::new(), args: Bytes::from(vec![0; bytes]) };
    let (work, origin) = (Work::Event(event), Origin::default());
    Delivery { id: EventId(0), work, origin, reply: oneshot::channel().0 }
}

fn limits() -> ObjectLimits {
    ObjectLimits { mailbox_events_max: 2, mailbox_bytes_max: 10, ..ObjectLimits::default() }
}

#[test]
fn the_event_beyond_the_count_is_refused_as_overloaded() {
    let (mailbox, receiver) = mailbox();
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
    let (_, failure) = mailbox.put(&key(), delivery(1), &limits()).expect_err("full");
    assert!(failure.flags.overloaded && failure.message.contains("Too many requests queued"), "{failure}");
    assert!(receiver.try_take().is_some());
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
}

#[test]
fn bytes_are_bounded_but_one_large_event_passes_an_empty_mailbox() {
    let (mailbox, _receiver) = mailbox();
    assert!(mailbox.put(&key(), delivery(100), &limits()).is_ok());
    let (_, failure) = mailbox.put(&key(), delivery(1), &limits()).expect_err("full");
    assert!(failure.message.contains("Too much data queued"), "{failure}");
}

#[test]
fn a_call_that_comes_back_passes_a_full_mailbox_and_has_a_bound_of_its_own() {
    let (mailbox, receiver) = mailbox();
    let caller = Caller { key: key(), epoch: Epoch(1), event: None, asked: Default::default() };
    let chain = CallChain::default().then(caller).expect("short");
    let returning =
        || Delivery { origin: Origin { chain: chain.clone(), ..Origin::default() }, ..delivery(1) };
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
    assert!(mailbox.put(&key(), delivery(1), &limits()).is_err());
    assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
    assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
    assert!(mailbox.put(&key(), returning(), &limits()).is_err());
    assert!(receiver.take_returning(|_| false).is_none());
    receiver.take_returning(|_| true).expect("came back");
    assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
    assert_eq!(mailbox.waiting(), 4);
    let mut left = 0;
    while receiver.try_take().is_some() {
        left += 1;
    }
    assert!(left == 4 && receiver.is_empty() && mailbox.waiting() == 0);
}

#[test]
fn d9_what_waits_is_failed_without_the_calls_of_sockets_which_stay_in_their_order() {
    let (mailbox, receiver) = mailbox();
    let sockets = [1, 2].map(|number| (number, LooseSocket::joined(&ObjectLimits::default())));
    let call_of_socket = |at: usize| {
        let (number, (socket, client)) = &sockets[at];
        client.receive(Message::Text(String::new()));
        let call = socket.next_call().expect("the object is called");
        Delivery { id: EventId(*number), work: Work::Socket(call), ..delivery(0) }
    };
    let caller = Caller { key: key(), epoch: Epoch(1), event: None, asked: Default::default() };
    let chain = CallChain::default().then(caller).expect("short");
    let returning = Delivery { origin: Origin { chain, ..Origin::default() }, ..delivery(1) };
    for delivery in [delivery(1), call_of_socket(0), delivery(1), call_of_socket(1), returning] {
        mailbox.put(&key(), delivery, &limits()).expect("room");
    }
    assert_eq!(receiver.take_all_but_sockets().len(), 3);
    assert!(sockets.iter().all(|(_, (_, client))| !client.is_cut()), "a call of a socket was dropped");
    // There is room again for as many as before.
    mailbox.put(&key(), delivery(1), &limits()).expect("room");
    mailbox.put(&key(), delivery(1), &limits()).expect("room");
    let left: Vec<u64> = std::iter::from_fn(|| receiver.try_take()).map(|event| event.id.0).collect();
    assert_eq!(left, [1, 2, 0, 0]);
}

#[test]
fn al_5_a_wake_up_is_never_refused_since_operators_ask_much_about_the_alarm() {
    let (mailbox, receiver) = mailbox();
    let asked = |request: AlarmRequest| {
        let delivery = Delivery { work: Work::Alarm(request), ..delivery(0) };
        mailbox.put(&key(), delivery, &limits())
    };
    for _ in 0..ALARM_REQUESTS_MAX {
        assert!(asked(AlarmRequest::RunNow).is_ok());
    }
    let (_, failure) = asked(AlarmRequest::Cancel).expect_err("full");
    assert!(failure.flags.overloaded, "{failure}");
    assert!(asked(AlarmRequest::RunIfDue { after_fault: false }).is_ok());
    assert!(receiver.take_cancellation().is_none());
    assert!(receiver.take_alarm().is_some() && receiver.take_alarm().is_some());
    assert!(asked(AlarmRequest::Cancel).is_ok());
    let taken = receiver.take_cancellation().expect("past those that wait to run it");
    assert_eq!(taken.work, Work::Alarm(AlarmRequest::Cancel));
}

/// What a connection sends; the event's number is that of the last argument.
fn sent(by: &Client, number: u64) -> Delivery {
    let origin = Origin { client: by.clone(), ..Origin::default() };
    Delivery { id: EventId(number), origin, ..delivery(0) }
}

#[test]
fn ig_1_callers_are_served_in_turn_and_each_in_the_order_of_its_events() {
    let (mailbox, receiver) = mailbox();
    let limits = ObjectLimits::default();
    let [flood, other] = [Client::new(), Client::new()];
    for number in 0..100 {
        mailbox.put(&key(), sent(&flood, number), &limits).expect("room");
    }
    for number in [1000, 1001] {
        mailbox.put(&key(), sent(&other, number), &limits).expect("room");
    }
    let taken: Vec<u64> = std::iter::from_fn(|| receiver.try_take()).map(|event| event.id.0).collect();
    assert_eq!(taken[..6], [0, 1000, 1, 1001, 2, 3]);
    assert_eq!(taken.len(), 102);
}

#[test]
fn st_2_calls_of_one_object_keep_their_order_whichever_stub_and_event_made_them() {
    let (mailbox, receiver) = mailbox();
    let caller_of = |object: u8, event: u64| {
        let key = ObjectKey { namespace: NamespaceNumber(2), id: ObjectId::from_bytes([object; 32]) };
        Caller { key, epoch: Epoch(1), event: Some(EventId(event)), asked: Default::default() }
    };
    let call = |caller: Caller, number: u64| {
        let chain = CallChain::default().then(caller).expect("short");
        Delivery { id: EventId(number), origin: Origin { chain, ..Origin::default() }, ..delivery(0) }
    };
    for (object, number) in [(7, 1), (7, 2), (7, 3), (8, 4), (7, 5), (8, 6)] {
        let call = call(caller_of(object, number), number);
        mailbox.put(&key(), call, &ObjectLimits::default()).expect("room");
    }
    let taken: Vec<u64> = std::iter::from_fn(|| receiver.try_take()).map(|event| event.id.0).collect();
    assert_eq!(taken, [1, 4, 2, 6, 3, 5]);
}

#[tokio::test]
async fn who_waits_for_returning_calls_alone_is_not_woken_by_others() {
    let (mailbox, receiver) = mailbox();
    let looks = Arc::new(AtomicUsize::new(0));
    let (counted, receiver) = (looks.clone(), Arc::new(receiver));
    let watching = receiver.clone();
    let waiting = tokio::spawn(poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        watching.watch_returning(cx);
        watching.take_returning(|_| true).map_or(Poll::Pending, Poll::Ready)
    }));
    yield_now().await;
    mailbox.put(&key(), delivery(1), &limits()).expect("room");
    yield_now().await;
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    let caller = Caller { key: key(), epoch: Epoch(1), event: None, asked: Default::default() };
    let chain = CallChain::default().then(caller).expect("short");
    let returning = Delivery { origin: Origin { chain, ..Origin::default() }, ..delivery(1) };
    mailbox.put(&key(), returning, &limits()).expect("room");
    yield_now().await;
    assert!(waiting.is_finished());
    assert!(receiver.try_take().is_some() && receiver.is_empty());
}

#[test]
fn what_comes_to_an_object_that_has_gone_is_given_back_and_what_waited_is_dropped() {
    let (mailbox, receiver) = mailbox();
    let (reply, mut outcome) = oneshot::channel();
    mailbox.put(&key(), Delivery { reply, ..delivery(1) }, &limits()).expect("room");
    drop(receiver);
    assert!(outcome.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    let (_, failure) = mailbox.put(&key(), delivery(1), &limits()).expect_err("gone");
    assert_eq!(failure.listed_code(), Some(ErrorCode::Stopping));
}
