//! Sockets when things go wrong: traps, `abort`, commits that come late or fail, handlers that take too long
//! (WS-28, WS-31, OG-3, OG-5, OG-6, D7).

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::{Answer, Hold};
use serde_json::json;

use crate::case::{Case, cases};
use crate::{Object, Seen, WebSocket, eventually, guest};

use super::outcomes::{refused, wait_until_held};
use super::standing::{hooked_node, lasting_node};

fn room() -> Object {
    lasting_node().fresh(guest::WEBSOCKET, "Room")
}

fn open(room: &Object, path: &str) -> WebSocket {
    WebSocket::open(lasting_node(), room, path)
}

fn c_049_abort_cuts_all_sockets_and_no_close_handler_runs() {
    let room = room();
    let mut clients = [open(&room, "/"), open(&room, "/"), open(&room, "/")];
    assert_eq!(clients[0].ask_text("write before"), "written before");
    room.fails("abort", json!([]));
    for client in &mut clients {
        assert_eq!(client.see(), Seen::Lost);
    }
    assert_eq!(room.ok("listed", json!([null])), json!(0));
    assert_eq!(room.ok("journal", json!([])), json!(["before"]));
}

fn c_060_a_hundred_handlers_that_fail_cost_neither_memory_nor_sockets() {
    let room = room();
    let (mut client, mut other) = (open(&room, "/"), open(&room, "/"));
    for number in 0..100 {
        client.send(&format!("fail for the {number}th time"));
    }
    assert_eq!(client.ask_text("count"), "101", "the instance is another one");
    assert_eq!(other.ask_text("echo here"), "here");
    assert_eq!(room.ok("starts", json!([])), json!(1));
}

fn c_199_a_transaction_that_fails_leaves_memory_and_sockets_as_they_are() {
    let room = room();
    let (mut client, mut other) = (open(&room, "/"), open(&room, "/"));
    assert_eq!(client.ask_text("count"), "1");
    client.send("transact-and-fail lost");
    assert_eq!((client.text(), client.text()), ("sent within".to_owned(), "thrown".to_owned()));
    assert_eq!(other.ask_text("count"), "3", "the instance is another one");
    assert_eq!(room.ok("journal", json!([])), json!([]), "what was written within was kept");
    assert_eq!(room.ok("listed", json!([null])), json!(2));
}

fn c_273_abort_unsets_the_automatic_answer() {
    let room = room();
    let _client = open(&room, "/");
    room.ok("set_auto_response", json!([["ping", "pong"]]));
    room.ok("set_event_timeout", json!([5000]));
    room.fails("abort", json!([]));
    assert_eq!(room.ok("auto_response", json!([])), json!(null));
    assert_eq!(room.ok("event_timeout", json!([])), json!(null));
}

fn a_socket_that_is_accepted_in_an_event_that_aborts_never_was() {
    let room = room();
    let response = WebSocket::ask(lasting_node(), &room, "/aborted", &[]).expect_err("no WebSocket");
    assert_eq!(response.status(), 500);
    assert_eq!(room.ok("listed", json!([null])), json!(0));
}

fn lc_8_a_trap_undoes_the_turn_and_keeps_the_sockets() {
    let room = room();
    let (mut one, mut other) = (open(&room, "/?tags=one"), open(&room, "/"));
    assert_eq!(one.ask_text("write before"), "written before");
    one.send("attach kept");
    one.send("send-and-trap");
    assert_eq!(one.ask_text("count"), "1", "the instance was kept");
    assert_eq!(one.ask_text("attachment"), "kept");
    assert_eq!(other.ask_text("echo here"), "here");
    assert_eq!(room.ok("journal", json!([])), json!(["before"]), "what the turn wrote and sent is gone");
    assert_eq!(room.ok("starts", json!([])), json!(2));
}

fn c_276_a_handler_that_takes_too_long_resets_the_object_and_costs_its_socket() {
    let room = room();
    let (mut slow, mut other) = (open(&room, "/"), open(&room, "/"));
    room.ok("set_event_timeout", json!([200]));
    assert_eq!(room.ok("event_timeout", json!([])), json!(200));
    slow.send("sleep 3600000");
    assert_eq!(slow.see(), Seen::Lost);
    // It holds for the handlers of the others too, and those are not to be cut however slow the machine is.
    room.ok("set_event_timeout", json!([0]));
    assert_eq!(room.ok("event_timeout", json!([])), json!(null));
    assert_eq!(other.ask_text("echo here"), "here");
    assert_eq!(room.ok("starts", json!([])), json!(2));
    let error = room.fails("set_event_timeout", json!([604_800_001]));
    error.assert_says("should not exceed 604800000");
}

fn c_264_c_078_frames_wait_for_the_commit_before_them_and_keep_their_order() {
    let room = hooked_node().fresh(guest::WEBSOCKET, "Room");
    let mut client = WebSocket::open(hooked_node(), &room, "/");
    let hooks = hooked_node().hooks(&room);
    hooks.plan_fault(Hold);
    client.send("write first");
    wait_until_held(&hooks);
    client.send("echo second");
    client.ping(b"third");
    // The second frame is behind the first although nothing was written for it; a pong is the node's own.
    assert_eq!(client.see(), Seen::Pong(b"third".to_vec()));
    assert!(hooks.answer_held(Committed), "a commit is held");
    assert_eq!((client.text(), client.text()), ("written first".to_owned(), "second".to_owned()));
}

fn c_075_a_frame_leaves_with_its_commit_while_the_handler_goes_on() {
    let room = hooked_node().fresh(guest::WEBSOCKET, "Room");
    let mut client = WebSocket::open(hooked_node(), &room, "/");
    client.send("write-send-sleep x");
    assert_eq!(client.text(), "written x");
}

fn c_077_a_commit_that_fails_lets_no_frame_out_and_cuts_the_sockets() {
    let room = hooked_node().fresh(guest::WEBSOCKET, "Room");
    let mut client = WebSocket::open(hooked_node(), &room, "/");
    assert_eq!(client.ask_text("write before"), "written before");
    hooked_node().hooks(&room).plan_fault(Answer(refused()));
    client.send("write lost");
    assert_eq!(client.see(), Seen::Lost);
    eventually("the object is in service", || room.call("journal", json!([])).ok());
    assert_eq!(room.ok("journal", json!([])), json!(["before"]));
    assert_eq!(room.ok("listed", json!([null])), json!(0));
}

fn ws_30_a_frame_leaves_although_the_instance_has_gone() {
    let room = hooked_node().fresh(guest::WEBSOCKET, "Room");
    let mut client = WebSocket::open(hooked_node(), &room, "/");
    let hooks = hooked_node().hooks(&room);
    hooks.plan_fault(Hold);
    client.send("write late");
    wait_until_held(&hooks);
    hooks.evict();
    room.wait_until_hibernated();
    assert!(hooks.answer_held(Committed), "a commit is held");
    assert_eq!(client.text(), "written late");
}

fn b_43_a_message_over_the_limit_is_refused_at_once_and_the_connection_stays() {
    let room = room();
    let mut client = open(&room, "/");
    let error = room.fails("send_large", json!([33 * 1024 * 1024]));
    error.assert_says("the limit is 33554432");
    room.ok("send_large", json!([31 * 1024 * 1024]));
    assert_eq!(client.text().len(), 31 * 1024 * 1024);
    assert_eq!(client.ask_text("echo here"), "here");
}

fn a_turn_that_sends_without_bound_is_refused_and_harms_no_other_client() {
    let room = room();
    let (_flooded, mut other) = (open(&room, "/"), open(&room, "/"));
    let answer = room.ok("flood", json!([1024 * 1024]));
    assert_eq!(answer[0], json!(63), "{answer}");
    let refusal = answer[1].as_str().unwrap_or_default();
    assert!(refusal.starts_with("limit-exceeded: ") && refusal.contains("67108864"), "{refusal}");
    assert_eq!(other.ask_text("echo here"), "here");
    assert_eq!(room.ok("journal", json!([])), json!(["flood"]));
    assert_eq!(room.ok("starts", json!([])), json!(1));
}

fn sockets_that_are_accepted_and_returned_to_nobody_are_bounded() {
    let room = room();
    let mut client = open(&room, "/");
    let answer = room.ok("accept_without_end", json!([]));
    assert_eq!(answer[0], json!(64 + 1), "{answer}");
    let refusal = answer[1].as_str().unwrap_or_default();
    assert!(refusal.starts_with("limit-exceeded: 65 WebSockets were accepted"), "{refusal}");
    assert_eq!(room.ok("listed", json!([null])), json!(1), "what was not returned is gone (WS-5)");
    assert_eq!(client.ask_text("echo here"), "here");
    assert_eq!(open(&room, "/").ask_text("echo there"), "there");
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_049_abort_cuts_all_sockets_and_no_close_handler_runs,
    c_060_a_hundred_handlers_that_fail_cost_neither_memory_nor_sockets,
    c_199_a_transaction_that_fails_leaves_memory_and_sockets_as_they_are,
    c_273_abort_unsets_the_automatic_answer,
    a_socket_that_is_accepted_in_an_event_that_aborts_never_was,
    lc_8_a_trap_undoes_the_turn_and_keeps_the_sockets,
    c_276_a_handler_that_takes_too_long_resets_the_object_and_costs_its_socket,
    c_264_c_078_frames_wait_for_the_commit_before_them_and_keep_their_order,
    c_075_a_frame_leaves_with_its_commit_while_the_handler_goes_on,
    c_077_a_commit_that_fails_lets_no_frame_out_and_cuts_the_sockets,
    ws_30_a_frame_leaves_although_the_instance_has_gone,
    b_43_a_message_over_the_limit_is_refused_at_once_and_the_connection_stays,
    a_turn_that_sends_without_bound_is_refused_and_harms_no_other_client,
    sockets_that_are_accepted_and_returned_to_nobody_are_bounded,
];
