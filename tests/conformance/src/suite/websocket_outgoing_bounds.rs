//! How many sockets to the outside an object and a node may have, and how many handshakes an event (WS-33, LC-14).
//!
//! How long they live is in `websocket_outgoing`.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::outside::Outside;
use crate::socket_server::{agreement, server_end};
use crate::{Seen, SocketServer, WebSocket, eventually};

use super::websocket_outgoing::{caller, node, open, open_node};

#[derive(Default)]
struct Handshakes {
    arrived: usize,
    /// From now on all are.
    are_answered: bool,
    /// Connections that were agreed to.
    open: Vec<TcpStream>,
}

fn an_object_has_so_many_sockets_to_the_outside_and_no_more() {
    let node = open_node(TestConfig::with_limits(|limits| limits.outgoing_sockets_max = 2));
    let (server, caller, other) = (SocketServer::start(), caller(&node), caller(&node));
    let (socket, there) = open(&caller, &server);
    let (_, _second) = open(&caller, &server);
    let error = caller.fails("open", json!([server.url("/"), [], []]));
    assert_eq!(error.code, "limit-exceeded");
    error.assert_says("has 2 WebSockets to the outside, the limit is 2");
    assert_eq!(server.seen().len(), 2, "nothing left for the third");
    let (_, _of_other) = open(&other, &server);
    caller.ok("shut", json!([socket, 1000, ""]));
    there.close_and_wait();
    eventually("its place is free", || caller.call("open", json!([server.url("/"), [], []])).ok());
}

fn handshakes_that_are_answered_together_do_not_pass_the_limit() {
    let node = open_node(TestConfig::with_limits(|limits| limits.outgoing_sockets_max = 1));
    let caller = caller(&node);
    let both_have_come = Arc::new(Barrier::new(2));
    let (sender, opened) = channel();
    let server = Outside::serve(move |seen, stream| {
        both_have_come.wait();
        stream.write_all(agreement(seen, "").as_bytes()).expect("the node reads");
        sender.send(server_end(stream)).expect("the test waits");
    });
    let open = || caller.call("open", json!([server.url("/"), [], []]));
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(open);
        (open(), other.join().expect("a client panicked"))
    });
    let (socket, error) = match (one, other) {
        (Ok(socket), Err(error)) | (Err(error), Ok(socket)) => (socket, error),
        both => panic!("{both:?}"),
    };
    assert_eq!(error.code, "limit-exceeded", "{error:?}");
    caller.ok("say", json!([socket, "you"]));
    let mut ends: [WebSocket; 2] = std::array::from_fn(|_| opened.recv().expect("both were answered"));
    let seen = ends.each_mut().map(WebSocket::see);
    assert!(seen.contains(&Seen::text("you")) && seen.contains(&Seen::Lost), "{seen:?}");
    assert_eq!(caller.ok("listed", json!([])), json!(1));
}

fn an_open_socket_has_its_place_among_the_nodes_connections_until_it_has_ended() {
    let mut config = TestConfig::default();
    config.outgoing_limits.connections_max = 1;
    let node = open_node(config);
    let (server, caller, other) = (SocketServer::start(), caller(&node), caller(&node));
    let (_, there) = open(&caller, &server);
    let ask = || other.call("open", json!([server.url("/"), [], []]));
    let error = ask().expect_err("the one place is taken");
    assert_eq!(error.code, "outgoing-failed");
    error.assert_says("has 1 WebSockets to the outside");
    assert_eq!(server.seen().len(), 1);
    there.close_and_wait();
    eventually("its place is free", || ask().ok());
}

fn lc_14_six_handshakes_of_an_event_are_under_way_and_others_wait() {
    let shared = Arc::new((Mutex::new(Handshakes::default()), Condvar::new()));
    let of_server = shared.clone();
    let server = Outside::serve(move |seen, stream| {
        let (handshakes, changed) = &*of_server;
        let mut handshakes = handshakes.lock().expect("lock");
        handshakes.arrived += 1;
        changed.notify_all();
        let mut handshakes = changed.wait_while(handshakes, |those| !those.are_answered).expect("lock");
        handshakes.open.extend(stream.try_clone());
        drop(handshakes);
        stream.write_all(agreement(seen, "").as_bytes()).expect("the node reads");
    });
    let caller = caller(node());
    thread::scope(|scope| {
        let opened = scope.spawn(|| caller.ok("open_together", json!([server.url("/"), 20])));
        let (handshakes, changed) = &*shared;
        drop(changed.wait_while(handshakes.lock().expect("lock"), |those| those.arrived < 6).expect("lock"));
        // The others would be on their way as well, and come while the object does all this.
        for _ in 0..100 {
            caller.ok("count", json!([]));
        }
        let mut handshakes = handshakes.lock().expect("lock");
        let arrived = handshakes.arrived;
        handshakes.are_answered = true;
        changed.notify_all();
        drop(handshakes);
        assert_eq!((opened.join().expect("a client panicked"), arrived), (json!(20), 6));
    });
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    an_object_has_so_many_sockets_to_the_outside_and_no_more,
    handshakes_that_are_answered_together_do_not_pass_the_limit,
    an_open_socket_has_its_place_among_the_nodes_connections_until_it_has_ended,
    lc_14_six_handshakes_of_an_event_are_under_way_and_others_wait,
];
