//! Sockets that objects open themselves: with whom, how both sides talk, and how long they live (WS-33, OG-3, OG-6).
//!
//! What a handshake says and whom it trusts are unit tests of the gateway. How many there may be is in
//! `websocket_outgoing_bounds`, what goes wrong on an open socket in `websocket_outgoing_faults`.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Hold;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::outside::Outside;
use crate::socket_server::{agreement, server_end};
use crate::{Object, Seen, SocketServer, TestNode, WebSocket, eventually, guest};

use super::outcomes::wait_until_held;
use super::standing::{self, hibernate_after};

/// Half of the time that a server has for its answer.
const CLOSED_AT_LATEST: Duration = Duration::from_secs(30);

/// A node whose objects may open sockets to this machine.
pub(super) fn open_node(config: TestConfig) -> TestNode {
    let node = TestNode::with(config);
    let component = guest::WEBSOCKET.bytes();
    node.control().deploy_with_egress(guest::WEBSOCKET.app, &component, &["127.0.0.1"]).expect("deployed");
    node
}

/// One with the default limits.
pub(super) fn node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| open_node(TestConfig::default()))
}

pub(super) fn caller(node: &TestNode) -> Object {
    node.fresh(guest::WEBSOCKET, "Caller")
}

/// Opens a socket: its number, and the server's end of it.
pub(super) fn open(caller: &Object, server: &SocketServer) -> (Value, WebSocket) {
    let socket = caller.ok("open", json!([server.url("/"), [], []]));
    (socket, server.accept())
}

pub(super) fn journal(caller: &Object) -> Vec<String> {
    serde_json::from_value(caller.ok("journal", json!([]))).expect("texts")
}

pub(super) fn wait_for_note(caller: &Object, beginning: &str) {
    eventually(&format!("{beginning:?} is noted"), || {
        journal(caller).iter().any(|note| note.starts_with(beginning)).then_some(())
    });
}

pub(super) fn wait_until_none_is_listed(caller: &Object) {
    eventually("no socket is listed", || (caller.ok("listed", json!([])) == json!(0)).then_some(()));
}

fn ws_33_an_object_opens_a_socket_and_both_sides_talk() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    let headers = json!([["sec-websocket-protocol", "v1, v2"], ["authorization", "me"]]);
    let socket = caller.ok("open", json!([server.url("/feed?x=1"), headers, ["feed", "feed"]]));
    let mut there = server.accept();
    let head = &server.seen()[0].head;
    assert!(
        head.starts_with("GET /feed?x=1 HTTP/1.1\r\n") && head.contains("authorization: me\r\n"),
        "{head}"
    );
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    assert_eq!(caller.ok("infos", json!([])), json!([[["feed"], "v2", true, true]]));
    // The server takes only frames that are masked.
    assert_eq!(there.ask_text("ask why"), "answer to why");
    assert_eq!(there.ask_text("tags"), "feed");
    let bytes: Vec<u8> = (0..=255).collect();
    there.send_binary(bytes.clone());
    assert_eq!(there.see(), Seen::Binary(bytes));
    let long = "ü".repeat(2 * 1024 * 1024);
    assert_eq!(there.ask_text(&format!("ask {long}")), format!("answer to {long}"));
    caller.ok("say", json!([socket, "news"]));
    assert_eq!(there.text(), "news");
    there.ping(b"still there?");
    assert_eq!(there.see(), Seen::Pong(b"still there?".to_vec()));
    there.close_and_wait();
    wait_for_note(&caller, "close 1000 \"\" clean true closed true");
    wait_until_none_is_listed(&caller);
    assert_eq!(journal(&caller).len(), 1, "pings are the node's");
}

fn ws_33_the_object_closes_with_code_and_reason() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    let (socket, mut there) = open(&caller, &server);
    caller.ok("shut", json!([socket, 3001, "done"]));
    assert_eq!(there.see(), Seen::Close(3001, "done".to_owned()));
    assert_eq!(there.see(), Seen::Lost);
    wait_for_note(&caller, "close 3001 \"done\" clean true");
    wait_until_none_is_listed(&caller);
}

fn ws_33_fragments_of_a_server_are_joined_and_the_first_frame_may_come_with_the_handshake() {
    let (sender, opened) = channel();
    let server = Outside::serve(move |seen, stream| {
        let frames: [&[u8]; 4] =
            [&[0x01, 2, b'e', b'a'], &[0x89, 0], &[0x80, 3, b'r', b'l', b'y'], &[0x81, 1, b'x']];
        let bytes = [agreement(seen, "").as_bytes(), &frames.concat()].concat();
        stream.write_all(&bytes).expect("the node reads");
        drop(sender.send(stream.try_clone()));
    });
    let caller = caller(node());
    caller.ok("open", json!([server.url("/"), [], []]));
    let _there = opened.recv().expect("the server lives");
    wait_for_note(&caller, "text x");
    assert_eq!(journal(&caller), ["text early", "text x"]);
}

fn ws_33_nothing_is_opened_without_a_rule() {
    let server = SocketServer::start();
    let caller = caller(standing::node());
    for url in [server.url("/"), server.url("/").replacen("ws", "http", 1), "wss://example.com/".to_owned()] {
        assert_eq!(caller.fails("open", json!([url, [], []])).code, "egress-denied", "{url}");
    }
    assert!(server.seen().is_empty());
}

fn ws_33_what_is_no_request_for_a_socket_is_refused_before_anything_leaves() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    let url = server.url("/");
    for args in [
        json!(["POST", url, ""]),
        json!(["GET", url, "body"]),
        json!(["GET", url.replacen("ws", "ftp", 1), ""]),
    ] {
        assert_eq!(caller.fails("open_oddly", args.clone()).code, "invalid-argument", "{args}");
    }
    let tags: Vec<String> = (0..11).map(|tag| tag.to_string()).collect();
    caller.fails("open", json!([url, [], tags])).assert_says("cannot have more than 10 tags");
    assert_eq!(caller.fails("ask", json!([url])).code, "invalid-argument", "a request is no WebSocket");
    assert!(server.seen().is_empty());
}

fn ws_33_a_server_that_does_not_agree_opens_nothing_and_the_object_goes_on() {
    let caller = caller(node());
    let answers: [(&'static str, Option<u16>); 5] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Some(200)),
        ("HTTP/1.1 401 x\r\ncontent-length: 0\r\n\r\n", Some(401)),
        ("HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", None),
        ("HTTP/1.1 101 x\r\nupgrade: webs", None),
        ("no HTTP at all\r\n\r\n", None),
    ];
    for (answer, status) in answers {
        let server = Outside::answering(answer);
        let error = caller.fails("open", json!([server.url("/"), [], []]));
        assert_eq!(error.code, "outgoing-failed", "{answer}: {error:?}");
        assert_eq!(error.details, status.map(|status| json!({ "status": status })), "{answer}");
    }
    // The right answer to another key, and an extension and a sub-protocol that nobody asked for.
    let wrong = [
        ("sec-websocket-accept", "accept: ", "accept: A"),
        ("extension", "\r\n", "\r\nsec-websocket-extensions: permessage-deflate\r\n"),
        ("sub-protocol", "\r\n", "\r\nsec-websocket-protocol: v9\r\n"),
    ];
    for (what, right, changed) in wrong {
        let server = Outside::serve(move |seen, stream| {
            let answer = agreement(seen, "").replacen(right, changed, 1);
            assert!(answer.starts_with("HTTP/1.1 101 "));
            drop(stream.write_all(answer.as_bytes()));
        });
        let error = caller.fails("open", json!([server.url("/"), [], []]));
        assert_eq!(error.code, "outgoing-failed", "{what}");
        assert!(error.message.contains(what), "{what}: {}", error.message);
    }
    assert_eq!(caller.ok("listed", json!([])), json!(0));
    assert_eq!(journal(&caller).len(), 0, "no event tells of it");
}

fn og_3_a_handshake_and_its_frames_leave_when_what_was_written_before_them_is_durable() {
    let node = open_node(TestConfig::with_hooks(|_| {}));
    let caller = caller(&node);
    caller.ok("listed", json!([]));
    let hooks = node.hooks(&caller);
    let is_let_go = Arc::new(AtomicBool::new(false));
    let came_early = Arc::new(AtomicBool::new(false));
    let (sender, opened) = channel();
    let (of_server, early) = (is_let_go.clone(), came_early.clone());
    let server = Outside::serve(move |seen, stream| {
        early.fetch_or(!of_server.load(Ordering::SeqCst), Ordering::SeqCst);
        stream.write_all(agreement(seen, "").as_bytes()).expect("the node reads");
        drop(sender.send(server_end(stream)));
    });
    hooks.plan_fault(Hold);
    thread::scope(|scope| {
        let opening = scope.spawn(|| caller.ok("note_then_open", json!([server.url("/")])));
        wait_until_held(&hooks);
        is_let_go.store(true, Ordering::SeqCst);
        assert!(hooks.answer_held(Committed), "a commit is held");
        opening.join().expect("a client panicked");
    });
    assert!(!came_early.load(Ordering::SeqCst), "the handshake came before the commit");
    let mut there = opened.recv().expect("the server lives");
    hooks.plan_fault(Hold);
    there.send("write x");
    wait_until_held(&hooks);
    there.ping(b"now");
    assert_eq!(there.see(), Seen::Pong(b"now".to_vec()), "a frame left before its commit");
    assert!(hooks.answer_held(Committed), "a commit is held");
    assert_eq!(there.text(), "written x");
}

fn og_6_a_handshake_of_a_turn_that_is_undone_never_leaves() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    caller.fails("break_then_open", json!([server.url("/broken")])).assert_reset("storage-failed");
    let (_, _there) = open(&caller, &server);
    let seen = server.seen();
    assert!(seen.len() == 1 && seen[0].head.starts_with("GET / "), "{seen:?}");
}

fn ws_33_a_socket_to_the_outside_keeps_the_object_in_memory_and_ends_with_the_instance() {
    let node = open_node(TestConfig::with_limits(|limits| hibernate_after(limits, Duration::ZERO)));
    let (server, caller) = (SocketServer::start(), caller(&node));
    let count = || caller.ok("count", json!([]));
    let (_, mut there) = open(&caller, &server);
    assert_eq!((count(), count()), (json!(1), json!(2)), "the instance has gone");
    there.send("trap");
    assert_eq!(there.see(), Seen::Lost);
    assert_eq!(
        (caller.ok("listed", json!([])), journal(&caller).len()),
        (json!(0), 0),
        "an event tells of it"
    );
    let (_, mut there) = open(&caller, &server);
    caller.fails("abort", json!([]));
    assert_eq!(there.see(), Seen::Lost);
    let (_, mut there) = open(&caller, &server);
    let component = guest::WEBSOCKET.bytes_marked(1);
    let deployed = node.control().deploy_with_egress(guest::WEBSOCKET.app, &component, &["127.0.0.1"]);
    deployed.expect("deployed");
    assert_eq!(there.see(), Seen::Lost);
    let (_, there) = open(&caller, &server);
    there.close_and_wait();
    caller.wait_until_hibernated();
}

fn ws_31_a_deployment_that_keeps_sockets_ends_those_to_the_outside() {
    let node = open_node(TestConfig::default());
    let (server, caller) = (SocketServer::start(), caller(&node));
    let mut client = WebSocket::open(&node, &caller, "/");
    let (_, mut there) = open(&caller, &server);
    let path = format!("/v1/apps/{}/deployments?egress=127.0.0.1&keepSockets=true", guest::WEBSOCKET.app);
    let deployed = node.control().send("POST", &path, &guest::WEBSOCKET.bytes_marked(1)).into_result();
    assert_eq!(deployed.expect("deployed")["keepSockets"], json!(true));
    assert_eq!(there.see(), Seen::Lost, "it ends with the instance of the old code");
    assert_eq!(client.ask_text("tags"), "client", "the client was cut as well");
    assert_eq!(caller.ok("infos", json!([])), json!([[["client"], "", true, false]]));
    assert_eq!(journal(&caller).len(), 0, "no event tells of it");
    let (_, mut there) = open(&caller, &server);
    assert_eq!(there.ask_text("ask the new code"), "answer to the new code");
}

fn a_handshake_of_an_object_that_is_reset_is_given_up() {
    let (sender, closed) = channel();
    let server = Outside::serve(move |_, stream| {
        // Nobody is answered; the node goes away.
        sender.send(stream.read(&mut [0]).unwrap_or(0)).expect("the test waits");
    });
    let caller = caller(node());
    thread::scope(|scope| {
        let opening = scope.spawn(|| caller.fails("open", json!([server.url("/"), [], []])));
        eventually("the handshake has come", || (!server.seen().is_empty()).then_some(()));
        caller.fails("abort", json!([]));
        assert_eq!(closed.recv_timeout(CLOSED_AT_LATEST).expect("the connection is closed"), 0);
        opening.join().expect("a client panicked").assert_reset("object-aborted");
    });
    assert_eq!(caller.ok("listed", json!([])), json!(0));
}

fn ws_32_a_server_hears_that_the_node_goes_away() {
    let mut node = open_node(TestConfig::default());
    let server = SocketServer::start();
    let (_, mut there) = open(&caller(&node), &server);
    thread::scope(|scope| {
        let seen = scope.spawn(move || (there.see(), there.see()));
        node.stop();
        let seen = seen.join().expect("a server panicked");
        assert_eq!(seen, (Seen::Close(1001, "the node stops".to_owned()), Seen::Lost));
    });
}

fn ws_34_a_broadcast_reaches_clients_and_servers_and_ws_24_a_server_is_not_answered_automatically() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    caller.ok("set_auto_response", json!(["ping", "pong"]));
    let (_, mut there) = open(&caller, &server);
    let mut client = WebSocket::open(node(), &caller, "/");
    assert_eq!(client.ask_text("ping"), "pong");
    there.send("ping");
    wait_for_note(&caller, "text ping");
    assert_eq!(caller.ok("broadcast", json!(["to all"])), json!(2));
    assert_eq!((client.text(), there.text()), ("to all".to_owned(), "to all".to_owned()));
    assert_eq!(caller.ok("infos", json!([])), json!([[[], "", true, true], [["client"], "", true, false]]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    ws_33_an_object_opens_a_socket_and_both_sides_talk,
    ws_33_the_object_closes_with_code_and_reason,
    ws_33_fragments_of_a_server_are_joined_and_the_first_frame_may_come_with_the_handshake,
    ws_33_nothing_is_opened_without_a_rule,
    ws_33_what_is_no_request_for_a_socket_is_refused_before_anything_leaves,
    ws_33_a_server_that_does_not_agree_opens_nothing_and_the_object_goes_on,
    og_3_a_handshake_and_its_frames_leave_when_what_was_written_before_them_is_durable,
    og_6_a_handshake_of_a_turn_that_is_undone_never_leaves,
    ws_33_a_socket_to_the_outside_keeps_the_object_in_memory_and_ends_with_the_instance,
    ws_31_a_deployment_that_keeps_sockets_ends_those_to_the_outside,
    a_handshake_of_an_object_that_is_reset_is_given_up,
    ws_32_a_server_hears_that_the_node_goes_away,
    ws_34_a_broadcast_reaches_clients_and_servers_and_ws_24_a_server_is_not_answered_automatically,
];
