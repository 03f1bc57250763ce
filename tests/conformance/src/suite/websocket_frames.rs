//! The protocol on the wire: fragments, sizes, frames that must not be, handshakes that are none, clients that
//! never read or leave (WS-6, WS-17, WS-18, WS-20, ST-7).
//!
//! Every rule of frames is a unit test of the gateway's reader.

use std::thread;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{Object, Seen, TestNode, WebSocket, eventually, guest};

use super::growing_times::with_growing_times;
use super::standing::socket_node as node;

fn room() -> Object {
    node().fresh(guest::WEBSOCKET, "Room")
}

fn open(room: &Object) -> WebSocket {
    WebSocket::open(node(), room, "/")
}

fn wait_for_note(room: &Object, beginning: &str) {
    eventually(&format!("{beginning:?} is noted"), || {
        let journal = room.ok("journal", json!([]));
        let mut notes = journal.as_array().expect("a list").iter().filter_map(|note| note.as_str());
        notes.any(|note| note.starts_with(beginning)).then_some(())
    });
}

fn c_262_fragments_with_a_ping_between_them_are_one_message() {
    let mut client = open(&room());
    client.send_frame(0x01, b"ec");
    client.send_frame(0x00, b"ho fi");
    client.send_frame(0x89, b"still here");
    client.send_frame(0x00, b"ve");
    client.send_frame(0x00, b"");
    client.send_frame(0x80, b" pieces");
    assert_eq!(client.see(), Seen::Pong(b"still here".to_vec()));
    assert_eq!(client.text(), "five pieces");
}

fn c_263_large_messages_are_delivered_whole_up_to_the_limit() {
    let room = room();
    let mut client = open(&room);
    const MIB: usize = 1024 * 1024;
    for bytes in [MIB + 1, 32 * MIB - "length ".len()] {
        assert_eq!(client.ask_text(&format!("length {}", "x".repeat(bytes))), bytes.to_string());
    }
    client.send_binary(vec![0; 32 * MIB + 1]);
    let Seen::Close(code, _) = client.see() else { panic!("no closing frame") };
    assert_eq!(code, 1009);
    wait_for_note(&room, "error socket-failed the connection was closed with code 1009");
}

fn b_33_compression_is_not_agreed_to_and_no_handler_can_switch_it_on() {
    let room = room();
    let offer = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    let client = WebSocket::ask(node(), &room, "/copy", &[offer, ("x-copied", "yes")]);
    let mut client = client.expect("the client has checked the key");
    let headers = client.response.headers();
    assert_eq!(headers["x-copied"], "yes");
    assert!(!headers.contains_key("sec-websocket-extensions"), "{headers:?}");
    for number in 1..=1000 {
        // 1 byte to 300 KB, and most of them short.
        let text = "x".repeat(if number % 100 == 0 { 300 * number } else { number });
        assert_eq!(client.ask_text(&format!("echo {text}")), text);
    }
    client.send_frame(0xc1, b"compressed");
    let Seen::Close(code, _) = client.see() else { panic!("no closing frame") };
    assert_eq!(code, 1002);
}

fn b_34_frames_that_must_not_be_close_the_connection_with_the_right_code() {
    let room = room();
    let mut other = open(&room);
    type Wrong = (&'static str, fn(&mut WebSocket), u16);
    let wrong: [Wrong; 9] = [
        ("an unmasked frame", |client| client.send_raw(&[0x81, 1, b'x']), 1002),
        ("a ping in fragments", |client| client.send_frame(0x09, b"x"), 1002),
        ("a ping that is too long", |client| client.send_frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", |client| client.send_frame(0x80, b"x"), 1002),
        ("an unknown opcode", |client| client.send_frame(0x83, b"x"), 1002),
        ("a reserved bit", |client| client.send_frame(0xc1, b"x"), 1002),
        ("a closing frame of one byte", |client| client.send_frame(0x88, &[3]), 1002),
        ("close code 1005", |client| client.send_frame(0x88, &[0x03, 0xed]), 1002),
        ("text that is no UTF-8", |client| client.send_frame(0x81, &[0xff]), 1007),
    ];
    for (what, send, expected) in wrong {
        let mut client = open(&room);
        send(&mut client);
        let Seen::Close(code, reason) = client.see() else { panic!("no closing frame after {what}") };
        assert_eq!(code, expected, "{what}: {reason}");
    }
    assert_eq!(other.ask_text("echo unharmed"), "unharmed");
    eventually("each has ended once", || {
        let journal = room.ok("journal", json!([]));
        let errors = journal
            .as_array()
            .expect("a list")
            .iter()
            .filter(|note| note.as_str().is_some_and(|note| note.starts_with("error ")));
        (errors.count() == wrong.len()).then_some(())
    });
    assert_eq!(room.ok("listed", json!([null])), json!(1));
}

fn ws_6_a_handshake_that_is_none_is_refused_with_what_is_wrong() {
    let room = room();
    let good = [
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let ask = |method: &str, fields: &[&str]| {
        let mut connection = node().connect();
        connection.send_head(&format!("{method} /o/{}/", room.address()), fields);
        connection.head()
    };
    assert!(ask("GET", &good).starts_with("HTTP/1.1 101 "));
    for (without, status) in [(1, 400), (2, 426), (3, 400)] {
        let fields: Vec<_> =
            good.iter().enumerate().filter(|(at, _)| *at != without).map(|(_, field)| *field).collect();
        let head = ask("GET", &fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "without `{}`: {head}", good[without]);
    }
    assert!(ask("POST", &[&good[..], &["content-length: 0"]].concat()).starts_with("HTTP/1.1 400 "));
    let foreign = [&good[..], &["origin: http://evil.example"]].concat();
    assert!(ask("GET", &foreign).starts_with("HTTP/1.1 403 "));
    let own = [&good[..], &["origin: http://localhost"]].concat();
    assert!(ask("GET", &own).starts_with("HTTP/1.1 101 "));
}

fn the_first_frame_may_come_with_the_upgrade() {
    let room = room();
    let mut connection = node().connect();
    let mut bytes = format!(
        "GET /o/{}/ HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        room.address()
    )
    .into_bytes();
    // `echo hi`, masked with zeros.
    bytes.extend([0x81, 0x80 | 7, 0, 0, 0, 0]);
    bytes.extend(b"echo hi");
    connection.send(bytes);
    assert!(connection.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(connection.body(4), "\u{fffd}\u{2}hi");
}

fn ws_17_a_client_that_does_not_read_is_closed_and_delays_nobody() {
    let node =
        TestNode::with(TestConfig::with_limits(|limits| limits.socket_outgoing_bytes_max = 1024 * 1024));
    let room = node.fresh(guest::WEBSOCKET, "Room");
    let mut deaf = WebSocket::open(&node, &room, "/?tags=deaf");
    let mut other = WebSocket::open(&node, &room, "/");
    // More than the system holds between the two; but the client has only some time to take it, once it is given up.
    let megabyte = "x".repeat(1024 * 1024);
    for _ in 0..40 {
        let reached = room.ok("broadcast", json!(["deaf", megabyte]));
        assert_eq!(other.ask_text("echo quick"), "quick");
        if reached == json!(0) {
            break;
        }
    }
    let last = loop {
        match deaf.see() {
            Seen::Text(text) => assert_eq!(text.len(), megabyte.len()),
            other => break other,
        }
    };
    let Seen::Close(code, _) = last else { panic!("{last:?} came instead of a closing frame") };
    assert_eq!(code, 1013);
}

fn b_40_a_client_that_sends_faster_than_the_object_handles_loses_nothing() {
    let room = room();
    let mut clients: Vec<_> = (0..4).map(|_| open(&room)).collect();
    const MESSAGES: usize = 500;
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                (0..MESSAGES).for_each(|message| client.send(&format!("sleep-note {number} {message}")));
                assert_eq!(client.ask_text("echo done"), "done");
            });
        }
    });
    let journal: Vec<String> = serde_json::from_value(room.ok("journal", json!([]))).expect("texts");
    assert_eq!(journal.len(), 4 * MESSAGES);
    for number in 0..4 {
        let beginning = format!("{number} ");
        let of_client: Vec<_> = journal.iter().filter_map(|note| note.strip_prefix(&beginning)).collect();
        assert_eq!(of_client, (0..MESSAGES).map(|message| message.to_string()).collect::<Vec<_>>());
    }
}

fn b_38_a_client_that_leaves_during_the_handshake_leaves_nothing_behind() {
    let room = room();
    const LEAVING: usize = 20;
    for _ in 0..LEAVING {
        let mut connection = node().connect();
        connection.send_head(
            &format!("GET /o/{}/slow", room.address()),
            &[
                "upgrade: websocket",
                "connection: Upgrade",
                "sec-websocket-version: 13",
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            ],
        );
    }
    let journal = eventually("all have asked, and none is listed any more", || {
        let journal: Vec<String> = serde_json::from_value(room.ok("journal", json!([]))).expect("texts");
        let asked = journal.iter().filter(|note| *note == "asked").count();
        (asked == LEAVING && room.ok("listed", json!([null])) == json!(0)).then_some(journal)
    });
    // Each has ended once, as lost, or was never there.
    let ends: Vec<_> =
        journal.iter().filter(|note| note.starts_with("close ") || note.starts_with("error ")).collect();
    assert!(ends.len() <= LEAVING && ends.iter().all(|note| note.starts_with("close 1006")), "{ends:?}");
}

fn b_37_a_quiet_socket_is_pinged_and_stays_and_a_dead_one_is_found() {
    // The time is also that of the quiet client for its answer to a ping.
    with_growing_times([150, 1000, 4000], |silence_max| {
        let node = TestNode::with(TestConfig::with_http_limits(|http| {
            http.socket_silence_max = silence_max;
            for timeout in [&mut http.head_timeout, &mut http.write_timeout, &mut http.body_silence_max] {
                *timeout = silence_max * 4 / 3;
            }
        }));
        let room = node.fresh(guest::WEBSOCKET, "Room");
        let mut quiet = WebSocket::open(&node, &room, "/");
        // Reads, which answers pings, and sends nothing of its own until the other one was found.
        let reading = thread::spawn(move || quiet.text());
        // Answers no ping, since it does not read.
        let _dead = WebSocket::open(&node, &room, "/");
        wait_for_note(&room, "close 1006");
        assert_eq!(room.ok("listed", json!([null])), json!(1));
        room.ok("broadcast", json!([null, "still open"]));
        assert_eq!(reading.join().expect("a client panicked"), "still open");
    });
}

fn sockets_beyond_the_bound_are_refused_as_overloaded() {
    let node = TestNode::with(TestConfig::with_http_limits(|http| http.sockets_max = 1));
    let room = node.fresh(guest::WEBSOCKET, "Room");
    let first = WebSocket::open(&node, &room, "/");
    let refused = WebSocket::ask(&node, &room, "/", &[]).expect_err("no place");
    assert_eq!(refused.status(), 503);
    first.close_and_wait();
    eventually("the place is free", || WebSocket::ask(&node, &room, "/", &[]).ok());
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_262_fragments_with_a_ping_between_them_are_one_message,
    c_263_large_messages_are_delivered_whole_up_to_the_limit,
    b_33_compression_is_not_agreed_to_and_no_handler_can_switch_it_on,
    b_34_frames_that_must_not_be_close_the_connection_with_the_right_code,
    ws_6_a_handshake_that_is_none_is_refused_with_what_is_wrong,
    the_first_frame_may_come_with_the_upgrade,
    ws_17_a_client_that_does_not_read_is_closed_and_delays_nobody,
    b_40_a_client_that_sends_faster_than_the_object_handles_loses_nothing,
    b_38_a_client_that_leaves_during_the_handshake_leaves_nothing_behind,
    b_37_a_quiet_socket_is_pinged_and_stays_and_a_dead_one_is_found,
    sockets_beyond_the_bound_are_refused_as_overloaded,
];
