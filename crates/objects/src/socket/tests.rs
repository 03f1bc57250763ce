//! What the two ends of a socket learn of each other, and when.
//!
//! The rules of the gate, and of mailboxes that are full, are tested there.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use super::*;

/// Remembers what it is asked.
#[derive(Default)]
struct Owner {
    calls: Mutex<Vec<Arc<Socket>>>,
    forgotten: AtomicUsize,
    undelivered: AtomicUsize,
    fell_behind: AtomicUsize,
}

impl SocketOwner for Owner {
    fn call(&self, socket: &Arc<Socket>) {
        self.calls.lock().expect("lock").push(socket.clone());
    }

    fn auto_response(&self, text: &str) -> Option<Bytes> {
        (text == "ping").then(|| "pong".into())
    }

    fn forget(&self, _id: SocketId) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn undelivered(&self, _id: SocketId) {
        self.undelivered.fetch_add(1, Ordering::Relaxed);
    }

    fn fell_behind(&self, _id: SocketId) {
        self.fell_behind.fetch_add(1, Ordering::Relaxed);
    }

    fn outgoing_bytes_max(&self) -> usize {
        1000
    }

    fn now(&self) -> Timestamp {
        Timestamp(7)
    }
}

impl Owner {
    fn calls(&self) -> usize {
        self.calls.lock().expect("lock").len()
    }

    /// Begins the next event, as an object would.
    fn begin(&self) -> Option<(Incident, Handling)> {
        let mut calls = self.calls.lock().expect("lock");
        let socket = calls.pop()?;
        drop(calls);
        SocketCall::new(socket).begin()
    }
}

fn socket() -> (Arc<Owner>, Arc<Socket>) {
    let owner = Arc::new(Owner::default());
    let parts = (SocketId(1), Vec::new(), Lifetime::Hibernate, Timestamp(1));
    (owner.clone(), Arc::new(Socket::new(parts, owner)))
}

fn joined() -> (Arc<Owner>, Arc<Socket>, SocketClient) {
    let (owner, socket) = socket();
    let client = Upgrade::new(socket.clone()).returned().join(String::new());
    (owner, socket, client)
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

fn next_frame(client: &SocketClient) -> Option<Option<Frame>> {
    poll_fn(|cx| client.poll_frame(cx)).now_or_never()
}

#[test]
fn ws_15_the_next_event_comes_when_the_handler_of_the_one_before_has_ended() {
    let (owner, _socket, client) = joined();
    client.receive(text("1"));
    client.receive(text("2"));
    assert_eq!(owner.calls(), 1);
    let (first, handling) = owner.begin().expect("an event");
    assert_eq!(first, Incident::Message(text("1")));
    client.receive(text("3"));
    assert_eq!(owner.calls(), 0, "called while a handler runs");
    drop(handling);
    assert_eq!(owner.calls(), 1);
    let (second, handling) = owner.begin().expect("an event");
    assert_eq!(second, Incident::Message(text("2")));
    drop(handling);
    let (third, handling) = owner.begin().expect("an event");
    assert_eq!(third, Incident::Message(text("3")));
    drop(handling);
    assert_eq!(owner.calls(), 0);
}

#[test]
fn ws_8_a_socket_is_gone_when_its_last_event_was_handled() {
    let (owner, socket, client) = joined();
    client.receive(text("1"));
    client.end(Incident::Close { code: 1000, reason: String::new(), was_clean: true });
    assert_eq!(socket.ready_state(), ReadyState::Closed);
    assert!(socket.client.is_gone());
    drop(owner.begin().expect("the message"));
    assert_eq!(owner.forgotten.load(Ordering::Relaxed), 0);
    let (last, handling) = owner.begin().expect("the close event");
    assert!(last.is_last());
    assert_eq!(owner.forgotten.load(Ordering::Relaxed), 0);
    drop(handling);
    assert_eq!((owner.forgotten.load(Ordering::Relaxed), owner.calls()), (1, 0));
}

#[test]
fn ws_20_a_client_that_is_lost_is_one_close_event_and_an_error_once_the_object_has_closed() {
    let (owner, _socket, client) = joined();
    drop(client);
    let (incident, _handling) = owner.begin().expect("an event");
    assert!(matches!(incident, Incident::Close { code: 1006, was_clean: false, .. }), "{incident:?}");
    assert_eq!(owner.calls(), 0);
    let (owner, socket, client) = joined();
    assert!(socket.close_by_object() && !socket.close_by_object());
    drop(client);
    assert!(matches!(owner.begin(), Some((Incident::Error(_), _))));
}

#[test]
fn ws_5_an_end_that_no_object_returned_never_was_and_one_that_was_returned_is_lost() {
    let (owner, socket) = socket();
    drop(Upgrade::new(socket.clone()));
    assert_eq!((owner.forgotten.load(Ordering::Relaxed), owner.calls()), (1, 0));
    let (owner, socket) = self::socket();
    assert_eq!(socket.ready_state(), ReadyState::Connecting);
    drop(Upgrade::new(socket).returned());
    assert_eq!((owner.forgotten.load(Ordering::Relaxed), owner.calls()), (0, 1));
}

#[test]
fn frames_come_in_order_and_what_was_pushed_before_the_client_joined_comes_first() {
    let (_owner, socket) = socket();
    socket.push(Frame::Text("early".into()));
    let client = Upgrade::new(socket.clone()).returned().join("v2".to_owned());
    socket.push(Frame::Text("late".into()));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("early".into()))));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("late".into()))));
    assert_eq!(next_frame(&client), None);
    assert_eq!((socket.protocol(), socket.ready_state()), ("v2".to_owned(), ReadyState::Open));
}

#[test]
fn a_client_that_does_not_keep_up_gets_1013_and_nothing_else_any_more() {
    let (owner, socket, client) = joined();
    // One frame passes whatever its size.
    socket.push(Frame::Binary(vec![0; 5000].into()));
    socket.push(Frame::Text("too much".into()));
    socket.push(Frame::Text("and more".into()));
    assert_eq!(owner.fell_behind.load(Ordering::Relaxed), 1);
    let Some(Some(Frame::Close(Some((1013, _))))) = next_frame(&client) else { panic!("no closing frame") };
    assert_eq!(next_frame(&client), None);
    assert_eq!(socket.ready_state(), ReadyState::Closing);
}

#[tokio::test]
async fn st_7_nothing_more_is_read_while_too_much_waits_and_taking_an_event_makes_room() {
    let (owner, _socket, client) = joined();
    client.receive(Message::Binary(vec![0; limits::SOCKET_WAITING_BYTES_MAX]));
    assert!(!client.has_room());
    let waiting = poll_fn(|cx| client.poll_room(cx));
    let taking = async {
        tokio::task::yield_now().await;
        drop(owner.begin());
    };
    futures::join!(waiting, taking);
    for number in 0..limits::SOCKET_EVENTS_WAITING_MAX {
        assert!(client.has_room(), "{number}");
        client.receive(text("x"));
    }
    assert!(!client.has_room());
}

#[test]
fn ws_24_an_automatic_answer_is_no_event_and_stands_behind_what_is_being_written() {
    let (owner, socket, client) = joined();
    socket.push(Frame::Text("first".into()));
    client.receive(text("ping"));
    client.receive(Message::Binary(b"ping".to_vec()));
    assert_eq!(owner.calls(), 1, "bytes are delivered");
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("first".into()))));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("pong".into()))));
    assert_eq!(socket.auto_response(), Some(Timestamp(7)));
    socket.close_by_object();
    client.receive(text("ping"));
    assert_eq!(next_frame(&client), None, "answered after the object has closed");
}

#[test]
fn ws_31_a_socket_that_is_cut_tells_nobody_and_lets_go_of_all() {
    let (owner, socket, client) = joined();
    socket.push(Frame::Text("x".into()));
    socket.cut();
    assert!(client.is_cut());
    assert_eq!(next_frame(&client), Some(None));
    client.receive(text("late"));
    drop(client);
    assert_eq!(owner.calls(), 0);
    assert_eq!(socket.ready_state(), ReadyState::Closed);
}

#[test]
fn a_call_that_is_dropped_in_a_mailbox_is_told() {
    let (owner, socket, client) = joined();
    client.receive(text("x"));
    drop(SocketCall::new(socket));
    assert_eq!(owner.undelivered.load(Ordering::Relaxed), 1);
}
