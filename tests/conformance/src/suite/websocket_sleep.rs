//! Sockets over hibernation, eviction, deployments and restarts (WS-29 to WS-32, LC-10, LC-11, LC-13).
//!
//! Each case has nodes of its own, whatever the variant.

use std::time::Duration;

use durabo_server::ObjectHooks;
use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{Object, Seen, TestNode, WebSocket, eventually, guest};

use super::standing::{evict_after, hibernate_after, hibernating_node, hooked_node};

/// How an object is asked to fall asleep, and how one waits until it has.
type Sleep = (fn(&ObjectHooks), fn(&Object));

fn room(node: &TestNode) -> Object {
    node.fresh(guest::WEBSOCKET, "Room")
}

fn c_051_c_274_a_message_wakes_an_object_that_hibernates_with_its_socket_open() {
    let node = hooked_node();
    let ways: [Sleep; 2] = [
        (ObjectHooks::hibernate, Object::wait_until_hibernated),
        (ObjectHooks::evict, Object::wait_until_evicted),
    ];
    for (ask, wait_until_asleep) in ways {
        let room = room(node);
        let fall_asleep = || {
            ask(&node.hooks(&room));
            wait_until_asleep(&room);
        };
        let mut client = WebSocket::open(node, &room, "/?tags=a,b");
        client.send("attach kept");
        assert_eq!((client.ask_text("count"), client.ask_text("count")), ("2".to_owned(), "3".to_owned()));
        fall_asleep();
        assert_eq!(client.ask_text("count"), "1", "memory was kept");
        assert_eq!(client.ask_text("attachment"), "kept");
        assert_eq!(client.ask_text("tags"), "a,b");
        assert_eq!(client.ask_text("found"), "1", "the constructor sees the socket (C-275)");
        assert_eq!(room.ok("starts", json!([])), json!(2));
        fall_asleep();
        client.close(4000, "good night");
        assert_eq!(client.see(), Seen::Close(4000, "good night".to_owned()));
        let note = json!("close 4000 \"good night\" clean true");
        eventually("the close event has woken it", || {
            room.ok("journal", json!([])).as_array().expect("a list").contains(&note).then_some(())
        });
    }
}

fn c_248_c_249_each_socket_has_its_own_attachment_over_hibernation() {
    let node = hibernating_node();
    let room = room(node);
    let mut clients: Vec<_> = (0..50).map(|_| WebSocket::open(node, &room, "/")).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&format!("attach before {number}"));
        client.send(&format!("attach {number}"));
        assert_eq!(client.ask_text("echo set"), "set");
    }
    room.wait_until_hibernated();
    clients.iter_mut().for_each(|client| client.send("attachment"));
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.text(), number.to_string());
    }
}

fn c_261_c_268_pings_and_automatic_answers_wake_nobody() {
    let node = hooked_node();
    let room = room(node);
    let mut client = WebSocket::open(node, &room, "/");
    room.ok("set_auto_response", json!([["ping", "pong"]]));
    node.hooks(&room).hibernate();
    room.wait_until_hibernated();
    client.ping(b"anyone?");
    assert_eq!(client.see(), Seen::Pong(b"anyone?".to_vec()));
    assert_eq!(client.ask_text("ping"), "pong");
    let listed = room.listed().expect("it is in memory");
    assert_eq!((&listed["instance"], &listed["starts"]), (&json!(false), &json!(1)), "{listed}");
    assert_eq!(room.ok("auto_response", json!([])), json!(["ping", "pong"]), "it is kept (WS-29)");
}

fn c_277_a_timer_keeps_the_object_awake_until_it_has_fired() {
    let (asked, idle) = (room(hooked_node()), room(hibernating_node()));
    let mut client = WebSocket::open(hooked_node(), &asked, "/");
    assert_eq!(client.ask_text("count"), "1");
    assert_eq!(client.ask_text("nap 400"), "napping");
    hooked_node().hooks(&asked).hibernate();
    assert_eq!(client.text(), "awake 2", "the instance was dropped before");
    asked.wait_until_hibernated();
    assert_eq!(client.ask_text("count"), "1", "the instance was kept behind its timer");
    // The idle time of this one is shorter than its timer.
    let mut client = WebSocket::open(hibernating_node(), &idle, "/");
    assert_eq!(client.ask_text("sleep 400"), "slept");
}

fn c_278_one_message_among_500_sockets_is_one_call_and_cuts_none() {
    let node = hibernating_node();
    let room = room(node);
    let mut clients: Vec<_> = (0..500).map(|_| WebSocket::open(node, &room, "/")).collect();
    room.wait_until_hibernated();
    assert_eq!(clients[250].ask_text("count"), "1");
    clients[0].send("broadcast still there?");
    for client in &mut clients {
        assert_eq!(client.text(), "still there?");
    }
    assert_eq!(room.ok("listed", json!([null])), json!(500));
}

fn lc_11_a_socket_that_keeps_awake_does_and_ends_with_the_instance() {
    let node = TestNode::with(TestConfig::with_limits(|limits| hibernate_after(limits, Duration::ZERO)));
    let room = room(&node);
    let mut awake = WebSocket::open(&node, &room, "/awake");
    let mut asleep = WebSocket::open(&node, &room, "/");
    assert_eq!((awake.ask_text("count"), awake.ask_text("count")), ("1".to_owned(), "2".to_owned()));
    awake.send("trap");
    assert_eq!(awake.see(), Seen::Lost);
    assert_eq!(asleep.ask_text("count"), "1", "the other one was cut as well");
    room.wait_until_hibernated();
}

fn c_265_c_053_a_deployment_cuts_sockets_and_they_come_back_to_the_new_code() {
    let node = TestNode::with(TestConfig::with_limits(|limits| hibernate_after(limits, Duration::ZERO)));
    let (awake, asleep) = (room(&node), room(&node));
    let mut talking = WebSocket::open(&node, &awake, "/awake");
    let mut silent = WebSocket::open(&node, &asleep, "/");
    assert_eq!(talking.ask_text("write before"), "written before");
    asleep.wait_until_hibernated();
    let deployed = node.control().deploy(guest::WEBSOCKET.app, &guest::WEBSOCKET.bytes_marked(1));
    deployed.expect("deployed");
    assert_eq!((talking.see(), silent.see()), (Seen::Lost, Seen::Lost));
    for room in [&awake, &asleep] {
        assert_eq!(room.ok("listed", json!([null])), json!(0));
    }
    assert_eq!(WebSocket::open(&node, &awake, "/").ask_text("count"), "1");
    assert_eq!(awake.ok("journal", json!([]))[0], json!("before"), "storage was not kept");
}

fn ws_31_sockets_go_over_to_a_deployment_that_keeps_them() {
    let node = TestNode::with(TestConfig::with_limits(|limits| hibernate_after(limits, Duration::ZERO)));
    let (awake, asleep) = (room(&node), room(&node));
    let mut talking = WebSocket::open(&node, &awake, "/?tags=kept");
    let mut ending = WebSocket::open(&node, &awake, "/awake");
    let mut silent = WebSocket::open(&node, &asleep, "/");
    talking.send("attach kept");
    assert_eq!((talking.ask_text("count"), ending.ask_text("count")), ("2".to_owned(), "3".to_owned()));
    assert_eq!(silent.ask_text("count"), "1");
    asleep.wait_until_hibernated();
    let component = guest::WEBSOCKET.bytes_marked(1);
    let report = node.control().deploy_keeping_sockets(guest::WEBSOCKET.app, &component).expect("deployed");
    assert_eq!((&report["keepSockets"], &report["deployment"]), (&json!(true), &json!(2)));
    assert_eq!(ending.see(), Seen::Lost, "it ends with the instance of the old code");
    assert_eq!(talking.ask_text("count"), "1", "the old code answers");
    assert_eq!(
        (talking.ask_text("attachment"), talking.ask_text("tags")),
        ("kept".to_owned(), "kept".to_owned())
    );
    assert_eq!(silent.ask_text("count"), "1", "the old code answers");
    assert_eq!(awake.ok("journal", json!([])), json!([]), "no event tells of it");
}

fn ws_31_a_deployment_keeps_or_cuts_also_sockets_of_objects_that_have_left_memory() {
    let node = TestNode::with(TestConfig::with_limits(|limits| evict_after(limits, Duration::ZERO)));
    let room = room(&node);
    let mut client = WebSocket::open(&node, &room, "/?tags=kept");
    assert_eq!(client.ask_text("tags"), "kept");
    room.wait_until_evicted();
    let component = guest::WEBSOCKET.bytes_marked(1);
    node.control().deploy_keeping_sockets(guest::WEBSOCKET.app, &component).expect("deployed");
    assert_eq!(client.ask_text("tags"), "kept");
    room.wait_until_evicted();
    node.control().deploy(guest::WEBSOCKET.app, &guest::WEBSOCKET.bytes_marked(2)).expect("deployed");
    assert_eq!(client.see(), Seen::Lost);
    assert_eq!(room.ok("listed", json!([null])), json!(0));
    assert_eq!(room.ok("journal", json!([])), json!([]), "no event tells of it");
}

fn ws_31_an_event_that_outlasts_the_drain_time_costs_no_socket_that_is_kept() {
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.drain = Duration::from_millis(100)));
    let room = room(&node);
    let (mut busy, mut other) = (WebSocket::open(&node, &room, "/"), WebSocket::open(&node, &room, "/"));
    busy.send("write-send-sleep x");
    assert_eq!(busy.text(), "written x");
    let component = guest::WEBSOCKET.bytes_marked(1);
    node.control().deploy_keeping_sockets(guest::WEBSOCKET.app, &component).expect("deployed");
    assert_eq!((busy.ask_text("count"), other.ask_text("count")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(room.ok("starts", json!([])), json!(2));
}

fn c_266_a_restart_of_the_node_tells_clients_that_it_goes_away_and_forgets_their_sockets() {
    let mut node = TestNode::start();
    let name = node.fresh(guest::WEBSOCKET, "Room").segment().to_owned();
    let mut old = WebSocket::open(&node, &node.object(guest::WEBSOCKET, "Room", &name), "/?tags=old");
    assert_eq!(old.ask_text("write kept"), "written kept");
    std::thread::scope(|scope| {
        let client = scope.spawn(move || (old.see(), old.see()));
        node.restart();
        let seen = client.join().expect("a client panicked");
        assert_eq!(seen, (Seen::Close(1001, "the node stops".to_owned()), Seen::Lost));
    });
    let room = node.object(guest::WEBSOCKET, "Room", &name);
    let mut new = WebSocket::open(&node, &room, "/?tags=new");
    assert_eq!(room.ok("infos", json!([])), json!([[["new"], "", null]]));
    assert_eq!(new.ask_text("attachment"), "none");
    assert_eq!(room.ok("journal", json!([])), json!(["kept"]), "no close event comes to the new node");
}

fn b_38_clients_that_leave_their_handshakes_while_the_node_deploys_or_stops_leave_nothing_behind() {
    let mut node = TestNode::start();
    let name = node.fresh(guest::WEBSOCKET, "Room").segment().to_owned();
    let room = |node: &TestNode| node.object(guest::WEBSOCKET, "Room", &name);
    let leave = |node: &TestNode| {
        for _ in 0..20 {
            let mut connection = node.connect();
            connection.send_head(
                &format!("GET /o/{}/slow", room(node).address()),
                &[
                    "upgrade: websocket",
                    "connection: Upgrade",
                    "sec-websocket-version: 13",
                    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
                ],
            );
        }
    };
    let serves = |node: &TestNode| {
        assert_eq!(WebSocket::open(node, &room(node), "/").ask_text("echo here"), "here");
        eventually("no socket is listed", || {
            (room(node).ok("listed", json!([null])) == json!(0)).then_some(())
        });
    };
    leave(&node);
    let deployed = node.control().deploy(guest::WEBSOCKET.app, &guest::WEBSOCKET.bytes_marked(1));
    deployed.expect("deployed");
    serves(&node);
    leave(&node);
    node.restart();
    serves(&node);
    let journal = room(&node).ok("journal", json!([]));
    let mut notes = journal.as_array().expect("a list").iter().filter_map(|note| note.as_str());
    assert!(notes.all(|note| !note.starts_with("close ") || note.starts_with("close 1006")), "{journal}");
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_051_c_274_a_message_wakes_an_object_that_hibernates_with_its_socket_open,
    c_248_c_249_each_socket_has_its_own_attachment_over_hibernation,
    c_261_c_268_pings_and_automatic_answers_wake_nobody,
    c_277_a_timer_keeps_the_object_awake_until_it_has_fired,
    c_278_one_message_among_500_sockets_is_one_call_and_cuts_none,
    lc_11_a_socket_that_keeps_awake_does_and_ends_with_the_instance,
    c_265_c_053_a_deployment_cuts_sockets_and_they_come_back_to_the_new_code,
    ws_31_sockets_go_over_to_a_deployment_that_keeps_them,
    ws_31_a_deployment_keeps_or_cuts_also_sockets_of_objects_that_have_left_memory,
    ws_31_an_event_that_outlasts_the_drain_time_costs_no_socket_that_is_kept,
    c_266_a_restart_of_the_node_tells_clients_that_it_goes_away_and_forgets_their_sockets,
    b_38_clients_that_leave_their_handshakes_while_the_node_deploys_or_stops_leave_nothing_behind,
];
