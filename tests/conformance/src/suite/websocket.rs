//! WebSockets: accepted, found, given attachments, sent to and closed (WS-1 to WS-27), under every variant.
//!
//! Not under `restart`: what a client did last is lost with the node if its connection has gone (WS-32, which is in
//! `websocket_sleep`).

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{Object, Seen, WebSocket, eventually, guest};

use super::standing::socket_node as node;

fn room() -> Object {
    node().fresh(guest::WEBSOCKET, "Room")
}

fn open(room: &Object, path: &str) -> WebSocket {
    WebSocket::open(node(), room, path)
}

fn journal(room: &Object) -> Vec<String> {
    serde_json::from_value(room.ok("journal", json!([]))).expect("texts")
}

fn wait_for_note(room: &Object, note: &str) {
    eventually(&format!("{note:?} is noted"), || {
        journal(room).iter().any(|known| known == note).then_some(())
    });
}

fn listed(room: &Object) -> Value {
    room.ok("listed", json!([null]))
}

fn c_234_a_client_that_was_accepted_sends_a_text_and_gets_one() {
    let room = room();
    let mut client = open(&room, "/");
    assert_eq!(client.ask_text("echo yo"), "yo");
    client.send("hi");
    wait_for_note(&room, "text hi");
    client.close_and_wait();
}

fn c_235_b_32_bytes_stay_bytes_and_text_stays_text() {
    let room = room();
    let mut client = open(&room, "/");
    let bytes: Vec<u8> = (0..=255).collect();
    for payload in [bytes, vec![0x31], Vec::new()] {
        client.send_binary(payload.clone());
        assert_eq!(client.see(), Seen::Binary(payload));
    }
    assert_eq!(client.ask_text("echo 1"), "1");
    assert_eq!(client.ask_text("echo"), "");
    assert_eq!(client.ask_text("echo grüße 🦀"), "grüße 🦀");
    client.send("");
    wait_for_note(&room, "text ");
    assert_eq!(journal(&room)[..3], ["binary 256", "binary 1", "binary 0"]);
}

fn c_236_a_plain_request_gets_426_from_the_program_and_no_socket() {
    let room = room();
    assert_eq!(room.get("/").status, 426);
    assert_eq!(listed(&room), json!(0));
}

fn c_238_tags_are_distinct_in_the_order_of_first_appearance() {
    assert_eq!(room().ok("accept", json!([["a", "b", "a"]])), json!(["a", "b"]));
}

fn c_239_ten_distinct_tags_work_and_eleven_do_not() {
    let room = room();
    let ten: Vec<String> = (0..10).map(|tag| tag.to_string()).collect();
    assert_eq!(room.ok("accept", json!([ten])), json!(ten));
    let eleven = [ten, vec!["x".to_owned()]].concat();
    room.fails("accept", json!([eleven])).assert_says("cannot have more than 10 tags");
    assert_eq!(listed(&room), json!(0), "what was accepted and not returned is gone (WS-5)");
}

fn c_240_a_tag_of_256_bytes_works_and_one_of_257_does_not() {
    let room = room();
    room.ok("accept", json!([["x".repeat(256)]]));
    room.fails("accept", json!([["x".repeat(257)]])).assert_says("longer than the max tag length");
}

fn c_241_sockets_are_found_by_their_tags() {
    let room = room();
    let _clients = [open(&room, "/?tags=x"), open(&room, "/?tags=y,x"), open(&room, "/")];
    assert_eq!(listed(&room), json!(3));
    let tagged = |tag: &str| room.ok("listed", json!([tag]));
    assert_eq!((tagged("x"), tagged("y"), tagged("nope")), (json!(2), json!(1), json!(0)));
    let tags: Value =
        room.ok("infos", json!([])).as_array().expect("a list").iter().map(|info| info[0].clone()).collect();
    assert_eq!(tags, json!([["x"], ["y", "x"], []]), "in the order of their acceptance");
}

fn c_242_a_socket_is_listed_in_its_close_handler_and_not_in_the_next_event() {
    let room = room();
    let client = open(&room, "/?tags=a,b");
    client.close_and_wait();
    wait_for_note(&room, "in close: closed true, listed true, tags \"a,b\"");
    assert_eq!(listed(&room), json!(0));
}

fn c_244_the_object_chooses_the_sub_protocol() {
    let room = room();
    let ask = |path: &str| WebSocket::ask(node(), &room, path, &[("sec-websocket-protocol", "v1, v2")]);
    let client = ask("/?protocol=v2").expect("a WebSocket");
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "v2");
    assert_eq!(room.ok("infos", json!([]))[0][1], json!("v2"));
    let response = ask("/?protocol=v3").expect_err("a protocol that was not offered");
    assert_eq!(response.status(), 500);
}

fn c_246_an_attachment_that_was_never_set_is_none() {
    assert_eq!(open(&room(), "/").ask_text("attachment"), "none");
}

fn c_247_an_attachment_of_16_384_bytes_works_and_a_larger_one_leaves_it() {
    let room = room();
    let _client = open(&room, "/");
    assert_eq!(room.ok("attach", json!([16_384])), json!(16_384));
    room.fails("attach", json!([16_385])).assert_says("cannot be larger than 16384 bytes");
    assert_eq!(room.ok("attached", json!([])), json!(16_384));
}

fn c_250_messages_of_one_socket_are_handled_in_order_one_after_the_other() {
    let room = room();
    let mut client = open(&room, "/");
    (1..=200).for_each(|number| client.send(&format!("sleep-note {number}")));
    assert_eq!(client.ask_text("echo done"), "done");
    assert_eq!(journal(&room), (1..=200).map(|number| number.to_string()).collect::<Vec<_>>());
}

fn c_251_a_handler_that_fails_leaves_the_socket_open() {
    let room = room();
    let mut client = open(&room, "/");
    client.send("fail on purpose");
    assert_eq!(client.ask_text("echo good"), "good");
}

fn c_252_a_clients_code_and_reason_reach_the_close_handler() {
    let room = room();
    let mut client = open(&room, "/");
    client.close(4001, "bye");
    assert_eq!(client.see(), Seen::Close(4001, "bye".to_owned()), "the node answers with the code (WS-21)");
    assert_eq!(client.see(), Seen::Lost);
    wait_for_note(&room, "close 4001 \"bye\" clean true");
}

fn c_253_a_closing_frame_without_a_code_is_1005() {
    let room = room();
    let mut client = open(&room, "/");
    client.close_without_code();
    assert_eq!(client.see(), Seen::Close(1005, String::new()));
    wait_for_note(&room, "close 1005 \"\" clean true");
}

fn c_254_a_connection_that_breaks_is_one_close_event_with_1006() {
    let room = room();
    drop(open(&room, "/"));
    let note = "close 1006 \"WebSocket disconnected without sending Close frame.\" clean false";
    wait_for_note(&room, note);
    assert_eq!(listed(&room), json!(0));
    assert_eq!(journal(&room).iter().filter(|known| known.starts_with("close ")).count(), 1);
}

fn c_255_a_class_without_handlers_closes_cleanly_all_the_same() {
    let silent = node().fresh(guest::WEBSOCKET, "Silent");
    let mut client = open(&silent, "/");
    client.send("anything");
    client.close(1000, "");
    assert_eq!(client.see(), Seen::Close(1000, String::new()));
    eventually("the socket is gone", || (silent.ok("sockets", json!([])) == json!(0)).then_some(()));
}

fn c_256_the_object_closes_with_code_and_reason() {
    let room = room();
    let mut client = open(&room, "/");
    client.send("close 3001 done");
    assert_eq!(client.see(), Seen::Close(3001, "done".to_owned()));
    assert_eq!(client.see(), Seen::Lost);
    wait_for_note(&room, "close 3001 \"done\" clean true");
}

fn c_257_codes_that_must_not_be_sent_are_refused() {
    let room = room();
    for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
        let error = room.fails("close_none", json!([code, null]));
        error.assert_says(&format!("Invalid WebSocket close code: {code}"));
    }
    room.fails("close_none", json!([null, "why"])).assert_says("you must also specify a code");
}

fn c_258_a_reason_of_123_bytes_works_and_one_of_124_does_not() {
    let room = room();
    let mut client = open(&room, "/");
    room.fails("close_all", json!([1000, "x".repeat(124)])).assert_says("123 bytes");
    room.ok("close_all", json!([1000, "x".repeat(123)]));
    assert_eq!(client.see(), Seen::Close(1000, "x".repeat(123)));
}

fn c_259_nothing_can_be_sent_after_close() {
    let room = room();
    let mut client = open(&room, "/");
    client.send("close-and-send");
    assert_eq!(client.see(), Seen::Close(1000, String::new()));
    wait_for_note(&room, "refused TypeError: Can't call WebSocket send() after close().");
}

fn c_260_a_broadcast_reaches_those_who_are_there() {
    let room = room();
    let mut clients: Vec<_> = (0..10).map(|_| open(&room, "/")).collect();
    clients.drain(..2);
    clients[0].send("broadcast all");
    for client in &mut clients {
        assert_eq!(client.text(), "all");
    }
    clients[0].send("others others");
    assert_eq!(clients[0].ask_text("echo mine"), "mine", "the sender is left out");
    for client in &mut clients[1..] {
        assert_eq!(client.text(), "others");
    }
}

fn c_319_a_broadcast_by_tag_reaches_no_others() {
    let room = room();
    let (mut red, mut blue) = (open(&room, "/?tags=red"), open(&room, "/?tags=blue"));
    assert_eq!(room.ok("broadcast", json!(["red", "stop"])), json!(1));
    assert_eq!(red.text(), "stop");
    assert_eq!(blue.ask_text("echo nothing"), "nothing");
}

fn c_267_c_269_a_text_that_equals_the_request_is_answered_without_the_handler() {
    let room = room();
    let mut client = open(&room, "/");
    room.ok("set_auto_response", json!([["ping", "pong"]]));
    assert_eq!(client.ask_text("ping"), "pong");
    client.send("ping ");
    client.send("PING");
    client.send_binary(b"ping".to_vec());
    assert_eq!(client.see(), Seen::Binary(b"ping".to_vec()));
    assert_eq!(journal(&room), ["text ping ", "text PING", "binary 4"]);
}

fn c_270_request_and_answer_are_2048_bytes_at_most() {
    let room = room();
    let text = |bytes| "x".repeat(bytes);
    room.ok("set_auto_response", json!([[text(2048), text(2048)]]));
    let error = room.fails("set_auto_response", json!([[text(2049), "pong"]]));
    error.assert_says("Request cannot be larger than 2048 bytes. A request of size 2049 was provided.");
    let error = room.fails("set_auto_response", json!([["ping", text(2049)]]));
    error.assert_says("Response cannot be larger than 2048 bytes. A response of size 2049 was provided.");
}

fn c_271_the_automatic_answer_can_be_read_and_unset() {
    let room = room();
    let mut client = open(&room, "/");
    assert_eq!(room.ok("auto_response", json!([])), json!(null));
    room.ok("set_auto_response", json!([["ping", "pong"]]));
    assert_eq!(room.ok("auto_response", json!([])), json!(["ping", "pong"]));
    assert_eq!(client.ask_text("ping"), "pong");
    room.ok("set_auto_response", json!([null]));
    assert_eq!(room.ok("auto_response", json!([])), json!(null));
    client.send("ping");
    wait_for_note(&room, "text ping");
}

fn c_272_the_time_of_the_last_automatic_answer_is_kept_for_each_socket() {
    let room = room();
    let (mut one, _other) = (open(&room, "/"), open(&room, "/"));
    room.ok("set_auto_response", json!([["ping", "pong"]]));
    let times = || -> Vec<Value> {
        let infos = room.ok("infos", json!([]));
        infos.as_array().expect("a list").iter().map(|info| info[2].clone()).collect()
    };
    assert_eq!(times(), [json!(null), json!(null)]);
    assert_eq!(one.ask_text("ping"), "pong");
    room.ok("set_auto_response", json!([null]));
    let times = times();
    assert!(times[0].as_u64().is_some_and(|time| time > 1_600_000_000_000), "{times:?}");
    assert_eq!(times[1], json!(null));
}

fn ws_5_what_is_accepted_and_not_returned_with_101_is_gone() {
    let room = room();
    for (path, status) in [("/refused", 403), ("/failed", 500), ("/plain", 500)] {
        let refused = WebSocket::ask(node(), &room, path, &[]).expect_err("no WebSocket");
        assert_eq!(refused.status(), status, "{path}");
        assert_eq!(listed(&room), json!(0), "{path}");
    }
}

fn ws_23_a_frame_that_was_sent_before_the_response_comes_first() {
    let mut client = open(&room(), "/greeted");
    assert_eq!(client.text(), "welcome");
}

fn b_31_headers_of_the_response_reach_the_client_and_the_accept_key_is_the_nodes() {
    let client = WebSocket::ask(node(), &room(), "/headers", &[("sec-websocket-protocol", "v1, v2")]);
    let client = client.expect("the client has checked the key");
    let headers = client.response.headers();
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(headers["x-room"], "7");
    assert_eq!(headers["sec-websocket-protocol"], "v2");
    assert!(!headers.contains_key("sec-websocket-extensions"), "{headers:?}");
}

fn st_13_an_upgrade_passes_through_a_stub_and_the_other_object_decides_who_joins() {
    let room = room();
    let door = door_to(&room);
    let mut client = open(&door, &format!("/?room={}&tags=guest", room.segment()));
    assert_eq!(client.ask_text("tags"), "guest");
    assert_eq!(listed(&room), json!(1));
    let refused = WebSocket::ask(node(), &door, "/?room=closed", &[]).expect_err("no WebSocket");
    assert_eq!(refused.status(), 403);
    client.close_and_wait();
    wait_for_note(&room, "close 1000 \"\" clean true");
}

fn door_to(room: &Object) -> Object {
    node().object(guest::WEBSOCKET, "Door", room.segment())
}

fn st_13_headers_and_sub_protocol_pass_through_a_stub_and_the_one_between_may_add_its_own() {
    let room = room();
    let path = format!("/headers?room={}&then=stamp", room.segment());
    let client = WebSocket::ask(node(), &door_to(&room), &path, &[("sec-websocket-protocol", "v1, v2")]);
    let mut client = client.expect("a WebSocket");
    let headers = client.response.headers().clone();
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(headers["x-room"], "7");
    assert_eq!(headers["x-door"], "open");
    assert_eq!(headers["sec-websocket-protocol"], "v2");
    assert_eq!(room.ok("infos", json!([]))[0][1], json!("v2"));
    assert_eq!(client.ask_text("echo through"), "through");
}

fn ws_5_an_upgrade_that_the_one_between_does_not_pass_on_is_a_client_that_was_lost() {
    for (then, status) in [("forget", 403), ("trap", 500)] {
        let room = room();
        let path = format!("/?room={}&then={then}", room.segment());
        let refused = WebSocket::ask(node(), &door_to(&room), &path, &[]).expect_err("no WebSocket");
        assert_eq!(refused.status(), status, "{then}");
        wait_for_note(
            &room,
            "close 1006 \"WebSocket disconnected without sending Close frame.\" clean false",
        );
        eventually("it is gone", || (listed(&room) == json!(0)).then_some(()));
    }
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_234_a_client_that_was_accepted_sends_a_text_and_gets_one,
    c_235_b_32_bytes_stay_bytes_and_text_stays_text,
    c_236_a_plain_request_gets_426_from_the_program_and_no_socket,
    c_238_tags_are_distinct_in_the_order_of_first_appearance,
    c_239_ten_distinct_tags_work_and_eleven_do_not,
    c_240_a_tag_of_256_bytes_works_and_one_of_257_does_not,
    c_241_sockets_are_found_by_their_tags,
    c_242_a_socket_is_listed_in_its_close_handler_and_not_in_the_next_event,
    c_244_the_object_chooses_the_sub_protocol,
    c_246_an_attachment_that_was_never_set_is_none,
    c_247_an_attachment_of_16_384_bytes_works_and_a_larger_one_leaves_it,
    c_250_messages_of_one_socket_are_handled_in_order_one_after_the_other,
    c_251_a_handler_that_fails_leaves_the_socket_open,
    c_252_a_clients_code_and_reason_reach_the_close_handler,
    c_253_a_closing_frame_without_a_code_is_1005,
    c_254_a_connection_that_breaks_is_one_close_event_with_1006,
    c_255_a_class_without_handlers_closes_cleanly_all_the_same,
    c_256_the_object_closes_with_code_and_reason,
    c_257_codes_that_must_not_be_sent_are_refused,
    c_258_a_reason_of_123_bytes_works_and_one_of_124_does_not,
    c_259_nothing_can_be_sent_after_close,
    c_260_a_broadcast_reaches_those_who_are_there,
    c_319_a_broadcast_by_tag_reaches_no_others,
    c_267_c_269_a_text_that_equals_the_request_is_answered_without_the_handler,
    c_270_request_and_answer_are_2048_bytes_at_most,
    c_271_the_automatic_answer_can_be_read_and_unset,
    c_272_the_time_of_the_last_automatic_answer_is_kept_for_each_socket,
    ws_5_what_is_accepted_and_not_returned_with_101_is_gone,
    ws_23_a_frame_that_was_sent_before_the_response_comes_first,
    b_31_headers_of_the_response_reach_the_client_and_the_accept_key_is_the_nodes,
    st_13_an_upgrade_passes_through_a_stub_and_the_other_object_decides_who_joins,
    st_13_headers_and_sub_protocol_pass_through_a_stub_and_the_one_between_may_add_its_own,
    ws_5_an_upgrade_that_the_one_between_does_not_pass_on_is_a_client_that_was_lost,
];
