//! Sockets to the outside when things go wrong on them: servers that send what is no frame, that vanish, fall silent or
//! do not read (WS-17, WS-18, WS-20, WS-33).
//!
//! The same for clients is in `websocket_frames`; every rule of frames is a unit test of the gateway's reader.

use std::thread;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{Seen, SocketServer, WebSocket, eventually};

use super::growing_times::with_growing_times;
use super::websocket_outgoing::{
    caller, journal, node, open, open_node, wait_for_note, wait_until_none_is_listed,
};

fn ws_18_frames_that_a_server_must_not_send_end_the_socket_with_the_right_code() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    let (_, mut other) = open(&caller, &server);
    let too_large = [&[0x82, 127][..], &(32 * 1024 * 1024 + 1_u64).to_be_bytes()].concat();
    let wrong: [(&str, &[u8], u16); 8] = [
        ("a masked frame", &[0x81, 0x81, 1, 2, 3, 4, b'x' ^ 1], 1002),
        ("a reserved bit", &[0xc1, 1, b'x'], 1002),
        ("an unknown opcode", &[0x83, 1, b'x'], 1002),
        ("a ping in fragments", &[0x09, 1, b'x'], 1002),
        ("a continuation of nothing", &[0x80, 1, b'x'], 1002),
        ("a closing frame of one byte", &[0x88, 1, 3], 1002),
        ("text that is no UTF-8", &[0x81, 1, 0xff], 1007),
        ("a message over the limit", &too_large, 1009),
    ];
    for (what, bytes, expected) in wrong {
        let (_, mut there) = open(&caller, &server);
        there.send_raw(bytes);
        let Seen::Close(code, reason) = there.see() else { panic!("no closing frame after {what}") };
        assert_eq!(code, expected, "{what}: {reason}");
    }
    assert_eq!(other.ask_text("ask are you well"), "answer to are you well");
    eventually("each has ended once", || {
        let errors = journal(&caller).into_iter().filter(|note| note.starts_with("error socket-failed "));
        (errors.count() == wrong.len()).then_some(())
    });
    assert_eq!(journal(&caller).len(), wrong.len());
    assert_eq!(caller.ok("listed", json!([])), json!(1));
}

fn ws_20_a_server_that_vanishes_is_one_close_event_with_1006_and_an_error_once_the_object_has_closed() {
    let (server, caller) = (SocketServer::start(), caller(node()));
    let (_, there) = open(&caller, &server);
    drop(there);
    wait_for_note(&caller, "close 1006 \"WebSocket disconnected without sending Close frame.\" clean false");
    let (socket, there) = open(&caller, &server);
    caller.ok("shut", json!([socket, 1000, ""]));
    drop(there);
    wait_for_note(&caller, "error socket-failed");
    wait_until_none_is_listed(&caller);
    assert_eq!(journal(&caller).len(), 2, "{:?}", journal(&caller));
    caller.ok("say", json!([socket, "nobody hears this"]));
}

fn ws_17_a_server_that_does_not_read_is_closed_and_delays_nobody() {
    let node = open_node(TestConfig::with_limits(|limits| limits.socket_outgoing_bytes_max = 1024 * 1024));
    let (server, caller) = (SocketServer::start(), caller(&node));
    let (socket, mut deaf) = open(&caller, &server);
    let (_, mut other) = open(&caller, &server);
    const MIB: usize = 1024 * 1024;
    let is_given_up = || {
        let infos = caller.ok("infos", json!([]));
        infos.as_array().expect("a list").iter().filter(|info| info[2] == json!(true)).count() < 2
    };
    // More than the system holds between the two; but the server has only some time to take it, once it is given up.
    for _ in 0..40 {
        let was_given_up = is_given_up();
        caller.ok("say_much", json!([socket, MIB]));
        assert_eq!(other.ask_text("ask quick"), "answer to quick");
        if was_given_up {
            break;
        }
    }
    let last = loop {
        match deaf.see() {
            Seen::Text(text) => assert_eq!(text.len(), MIB),
            other => break other,
        }
    };
    let Seen::Close(code, _) = last else { panic!("{last:?} came instead of a closing frame") };
    assert_eq!(code, 1013);
}

fn ws_33_a_quiet_server_is_pinged_and_stays_and_a_dead_one_is_found() {
    // The time is also that of the quiet server for its answer to a ping.
    with_growing_times([150, 1000, 4000], |silence_max| {
        let node = open_node(TestConfig::with_http_limits(|http| http.socket_silence_max = silence_max));
        let (server, caller) = (SocketServer::start(), caller(&node));
        let (socket, mut quiet) = open(&caller, &server);
        // Reads, which answers pings, and sends nothing of its own until the other one was found.
        let reading = thread::spawn(move || quiet.text());
        // Answers no ping, since it does not read.
        let (_, _dead): (_, WebSocket) = open(&caller, &server);
        wait_for_note(&caller, "close 1006");
        assert_eq!(caller.ok("listed", json!([])), json!(1));
        caller.ok("say", json!([socket, "still open"]));
        assert_eq!(reading.join().expect("a server panicked"), "still open");
    });
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    ws_18_frames_that_a_server_must_not_send_end_the_socket_with_the_right_code,
    ws_20_a_server_that_vanishes_is_one_close_event_with_1006_and_an_error_once_the_object_has_closed,
    ws_17_a_server_that_does_not_read_is_closed_and_delays_nobody,
    ws_33_a_quiet_server_is_pinged_and_stays_and_a_dead_one_is_found,
];
