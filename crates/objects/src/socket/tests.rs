//! What the two ends of a socket learn of each other, and when.
//!
//! The rules of the gate, and of mailboxes that are full, are tested there.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use futures::FutureExt;

use super::*;
use crate::byte_budget::Budget;

/// Remembers what it is asked.
struct Owner {
    memory: SocketMemory,
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

    fn returned(&self, _id: SocketId) {}

    fn joined(&self, _socket: &Socket) {}

    fn ended(&self, _id: SocketId, _incident: &Incident) {}

    fn forget(&self, _id: SocketId) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn undelivered(&self, _id: SocketId) {
        self.undelivered.fetch_add(1, Ordering::Relaxed);
    }

    fn fell_behind(&self, _id: SocketId) {
        self.fell_behind.fetch_add(1, Ordering::Relaxed);
    }

    fn memory(&self) -> &SocketMemory {
        &self.memory
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

/// Of an object for whose clients 50,000 bytes may wait each, and 200,000 together; of what they send, 20,000 bytes.
fn owner() -> Arc<Owner> {
    let (outgoing, incoming) = (Budget::new(200_000), Budget::new(20_000));
    Arc::new(Owner {
        memory: SocketMemory { outgoing, incoming, client_bytes_max: 50_000 },
        calls: Mutex::default(),
        forgotten: AtomicUsize::new(0),
        undelivered: AtomicUsize::new(0),
        fell_behind: AtomicUsize::new(0),
    })
}

fn socket_of(owner: &Arc<Owner>) -> Arc<Socket> {
    socket_with(owner, Lifetime::Hibernate)
}

fn socket_with(owner: &Arc<Owner>, lifetime: Lifetime) -> Arc<Socket> {
    let (id, tags, accepted) = (SocketId(1), Vec::new(), Timestamp(1));
    Arc::new(Socket::new(NewSocket { id, tags, lifetime, accepted }, owner.clone()))
}

fn socket() -> (Arc<Owner>, Arc<Socket>) {
    let owner = owner();
    let socket = socket_of(&owner);
    (owner, socket)
}

fn join(socket: &Arc<Socket>) -> SocketClient {
    Upgrade::new(socket.clone()).returned().join(String::new())
}

/// Lets a message out to all of these.
fn send(owner: &Owner, to: &[&Arc<Socket>], message: Message) {
    let (frame, places) = owner.memory.frame(message, to.len()).expect("room");
    Sending::new(to.iter().map(|socket| (*socket).clone()).collect(), frame, places).leave_to(usize::MAX);
}

fn bytes(count: usize) -> Message {
    Message::Binary(vec![0; count])
}

fn joined() -> (Arc<Owner>, Arc<Socket>, SocketClient) {
    let (owner, socket) = socket();
    let client = join(&socket);
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
    assert_eq!(socket.close_by(Closer::Object), CloseNoted::First);
    assert_eq!(socket.close_by(Closer::Object), CloseNoted::Already);
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
    let (owner, socket) = socket();
    send(&owner, &[&socket], text("early"));
    let client = Upgrade::new(socket.clone()).returned().join("v2".to_owned());
    send(&owner, &[&socket], text("late"));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("early".into()))));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("late".into()))));
    assert_eq!(next_frame(&client), None);
    assert_eq!((socket.protocol(), socket.ready_state()), ("v2".to_owned(), ReadyState::Open));
}

#[test]
fn a_client_that_does_not_keep_up_gets_1013_and_nothing_else_any_more() {
    let (owner, socket, client) = joined();
    // One frame passes whatever its size.
    send(&owner, &[&socket], bytes(60_000));
    send(&owner, &[&socket], text("too much"));
    send(&owner, &[&socket], text("and more"));
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

/// Counts how often it is called.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_connection_that_waits_for_no_room_sleeps_on_when_the_object_takes_an_event() {
    let (owner, _, client) = joined();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(client.poll_room(cx).is_ready());
    client.receive(text("a"));
    assert!(client.poll_frame(cx).is_pending());
    owner.begin().expect("an event");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "nothing is new to it");
    while client.has_room() {
        client.receive(text("b"));
    }
    assert!(client.poll_room(cx).is_pending());
    owner.begin().expect("an event");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "there is room");
}

#[test]
fn ws_24_an_automatic_answer_is_no_event_and_stands_behind_what_is_being_written() {
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], text("first"));
    client.receive(text("ping"));
    client.receive(Message::Binary(b"ping".to_vec()));
    assert_eq!(owner.calls(), 1, "bytes are delivered");
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("first".into()))));
    assert_eq!(next_frame(&client), Some(Some(Frame::Text("pong".into()))));
    assert_eq!(socket.auto_response(), Some(Timestamp(7)));
    socket.close_by(Closer::Object);
    client.receive(text("ping"));
    assert_eq!(next_frame(&client), None, "answered after the object has closed");
}

#[test]
fn what_waits_is_shown_in_both_directions_and_nothing_of_a_client_that_is_gone() {
    let (owner, socket, client) = joined();
    let waiting = |count: usize, bytes: usize| Waiting { count, bytes };
    let idle = socket.overview();
    assert_eq!((idle.outgoing, idle.incoming), (waiting(0, 0), waiting(0, 0)));
    send(&owner, &[&socket], text("four"));
    send(&owner, &[&socket], text("four"));
    client.receive(text("seventeen letters"));
    let counted = 4 + limits::SOCKET_FRAME_BYTES_COUNTED;
    let busy = socket.overview();
    assert_eq!((busy.outgoing, busy.incoming), (waiting(2, 2 * counted), waiting(1, 17)));
    assert_eq!((busy.state, busy.accepted), (ReadyState::Open, Timestamp(1)));
    client.end(Incident::Close { code: 1000, reason: String::new(), was_clean: true });
    let gone = socket.overview();
    assert_eq!((gone.state, gone.outgoing), (ReadyState::Closed, waiting(0, 0)));
    assert_eq!(gone.incoming, waiting(2, 17), "the message and the end are not handled yet");
}

#[test]
fn a_socket_that_an_operator_closes_is_closing_and_the_object_has_not_closed_it() {
    let (_owner, socket, client) = joined();
    let notes = || [Closer::Operator, Closer::Operator].map(|closer| socket.close_by(closer));
    assert_eq!(notes(), [CloseNoted::First, CloseNoted::Already]);
    assert_eq!((socket.ready_state(), socket.closed_by()), (ReadyState::Closing, Some(Closer::Operator)));
    client.receive(text("ping"));
    assert_eq!(next_frame(&client), None, "answered behind the closing frame");
    assert_eq!(socket.close_by(Closer::Object), CloseNoted::BesideOperator, "a second frame would be sent");
    assert_eq!(socket.closed_by(), Some(Closer::Object), "it has closed it, and must not send any more");
    assert_eq!(notes(), [CloseNoted::Already; 2]);
    assert_eq!(socket.close_by(Closer::Object), CloseNoted::Already);
    assert_eq!(socket.closed_by(), Some(Closer::Object));
}

#[test]
fn og_6_a_close_that_is_undone_leaves_the_other_ones() {
    let (owner, socket, _client) = joined();
    let closing = |closer| Sending::closing(socket.clone(), None, owner.memory.place(), closer);
    socket.close_by(Closer::Object);
    closing(Closer::Object).undo();
    assert_eq!((socket.ready_state(), socket.closed_by()), (ReadyState::Open, None));
    socket.close_by(Closer::Operator);
    let of_operator = closing(Closer::Operator);
    socket.close_by(Closer::Object);
    socket.close_undone(Closer::Object);
    assert_eq!((socket.ready_state(), socket.closed_by()), (ReadyState::Closing, Some(Closer::Operator)));
    of_operator.undo();
    assert_eq!((socket.ready_state(), socket.closed_by()), (ReadyState::Open, None));
}

#[test]
fn ws_24_only_sockets_that_may_hibernate_are_answered_automatically() {
    for lifetime in [Lifetime::KeepAwake, Lifetime::Outgoing] {
        let owner = owner();
        let client = join(&socket_with(&owner, lifetime));
        client.receive(text("ping"));
        assert_eq!((owner.calls(), next_frame(&client)), (1, None), "{lifetime:?}");
    }
}

#[test]
fn ws_31_a_socket_that_is_cut_tells_nobody_and_lets_go_of_all() {
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], text("x"));
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

#[test]
fn what_waits_for_a_client_counts_until_it_is_taken_or_the_client_has_gone() {
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], bytes(100));
    send(&owner, &[&socket], bytes(100));
    assert_eq!(owner.memory.outgoing.held(), 2 * (100 + limits::SOCKET_FRAME_BYTES_COUNTED));
    drop(next_frame(&client));
    assert_eq!(owner.memory.outgoing.held(), 100 + limits::SOCKET_FRAME_BYTES_COUNTED);
    drop(client);
    assert_eq!(owner.memory.outgoing.held(), 0);
    send(&owner, &[&socket], bytes(100));
    assert_eq!(owner.memory.outgoing.held(), 0, "kept for a client that is gone");
}

#[test]
fn those_who_do_not_keep_up_are_closed_before_they_take_the_room_of_those_who_do() {
    let owner = owner();
    let sockets: Vec<_> = (0..8).map(|_| socket_of(&owner)).collect();
    let clients: Vec<_> = sockets.iter().map(join).collect();
    let (reads, deaf) = sockets.split_first().expect("eight");
    // Seven times 50,000 bytes are more than may wait for all.
    for _ in 0..50 {
        for socket in deaf {
            let Ok((frame, places)) = owner.memory.frame(bytes(10_000), 1) else { continue };
            Sending::new(vec![socket.clone()], frame, places).leave_to(1);
        }
        clients[1..].iter().for_each(SocketClient::note_stall);
        send(&owner, &[reads], bytes(5000));
        assert!(matches!(next_frame(&clients[0]), Some(Some(Frame::Binary(_)))), "one that reads was closed");
    }
    assert!(owner.fell_behind.load(Ordering::Relaxed) > 0);
    assert_eq!(reads.ready_state(), ReadyState::Open);
}

#[test]
fn a_burst_for_which_there_was_room_closes_no_client_that_had_no_time_to_take_it() {
    let owner = owner();
    let sockets: Vec<_> = (0..4).map(|_| socket_of(&owner)).collect();
    let clients: Vec<_> = sockets.iter().map(join).collect();
    // As a turn does that writes: all is asked for before anything leaves.
    let frames: Vec<_> = (0..8).map(|_| owner.memory.frame(bytes(22_000), 1).expect("room")).collect();
    for ((frame, places), socket) in frames.into_iter().zip(sockets.iter().cycle()) {
        Sending::new(vec![socket.clone()], frame, places).leave_to(1);
    }
    assert_eq!(owner.fell_behind.load(Ordering::Relaxed), 0);
    // One reads and the others do not.
    assert!((0..2).all(|_| next_frame(&clients[0]).is_some()));
    clients.iter().for_each(SocketClient::note_stall);
    send(&owner, &[&sockets[0]], bytes(22_000));
    assert!(matches!(next_frame(&clients[0]), Some(Some(Frame::Binary(_)))));
    send(&owner, &[&sockets[1]], bytes(1));
    assert_eq!(owner.fell_behind.load(Ordering::Relaxed), 1, "it has had the time");
}

#[test]
fn messages_count_from_their_first_piece_until_the_object_takes_them() {
    let (owner, _socket, client) = joined();
    assert!(client.hold(3000));
    assert_eq!(owner.memory.incoming.held(), 3000);
    client.receive(bytes(3000));
    assert!(client.hold(0));
    assert_eq!(owner.memory.incoming.held(), 3000);
    drop(owner.begin());
    assert_eq!(owner.memory.incoming.held(), 0);
    client.hold(3000);
    drop(client);
    assert_eq!(owner.memory.incoming.held(), 0, "the client has gone");
}

#[test]
fn a_message_that_grows_to_more_than_half_of_what_is_free_is_too_much_and_a_smaller_one_is_not() {
    let owner = owner();
    let sockets = [socket_of(&owner), socket_of(&owner)];
    let [large, small] = sockets.each_ref().map(join);
    assert!(large.hold(6000));
    assert!(!large.hold(7000), "13,000 bytes are free");
    assert!(small.hold(limits::SOCKET_SHARE_BYTES_MIN));
    large.hold(20_000);
    small.hold(0);
    assert!(small.hold(limits::SOCKET_SHARE_BYTES_MIN), "what a socket may have in any case");
    assert!(large.hold(19_000), "it gets smaller");
}

#[test]
fn st_7_less_may_wait_for_the_object_while_others_hold_much() {
    let owner = owner();
    let sockets = [socket_of(&owner), socket_of(&owner), socket_of(&owner)];
    let [one, other, idle] = sockets.each_ref().map(join);
    one.receive(bytes(5000));
    assert!(one.has_room());
    other.hold(12_000);
    assert!(!one.has_room() && idle.has_room());
    drop(other);
    assert!(one.has_room());
}

#[test]
fn a_client_that_has_left_gets_nothing_more_and_what_it_had_sent_is_still_handled() {
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], bytes(100));
    client.leave();
    assert!(socket.client.is_gone());
    assert_eq!(owner.memory.outgoing.held(), 0);
    send(&owner, &[&socket], bytes(100));
    assert_eq!(owner.memory.outgoing.held(), 0, "kept for a client that has left");
    client.receive(text("sent before"));
    drop(client);
    let (first, handling) = owner.begin().expect("an event");
    assert_eq!(first, Incident::Message(text("sent before")));
    drop(handling);
    assert!(matches!(owner.begin(), Some((Incident::Close { code: 1006, .. }, _))));
}

#[test]
fn a_connection_learns_that_it_is_to_close_before_the_closing_frame_is_next() {
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], bytes(100));
    assert_eq!(client.closing(), None);
    socket.push(Frame::Close(None), owner.memory.place());
    assert_eq!(client.closing(), Some(Closing::ByObject));
    let (owner, socket, client) = joined();
    send(&owner, &[&socket], bytes(60_000));
    send(&owner, &[&socket], bytes(60_000));
    assert_eq!(client.closing(), Some(Closing::FellBehind));
}
