//! Clients as they are: slow, gone, half gone, in a hurry, or without end (ST-10, B-50 to B-57).
//!
//! What they may hold is bounded, and others do not suffer.

use std::time::Duration;

use durabo_model::limits::HttpLimits;
use serde_json::json;

use crate::case::{Case, cases};
use crate::eventually::holds_for;
use crate::node::TestConfig;
use crate::{Connection, Object, TestNode, eventually, guest};

use super::standing::{IDLE_AFTER, forgetful_node, lasting_node, node};
use super::streams::{assert_header_returns, assert_writer_stops, open, piece};

fn object() -> Object {
    node().fresh(guest::HTTP, "Http")
}

/// Goes on between calls whatever the variant: a stop of the node loses what nobody waits for.
fn in_memory() -> Object {
    lasting_node().fresh(guest::HTTP, "Http")
}

fn impatient(change: impl FnOnce(&mut HttpLimits)) -> TestNode {
    TestNode::with(TestConfig::with_http_limits(change))
}

fn wait_for_ended(object: &Object, how: &str) {
    eventually(&format!("the stream ends as `{how}`"), || {
        (object.ok("ended", json!([])) == json!([how])).then_some(())
    });
}

fn b_57_the_guest_learns_that_its_client_has_gone() {
    let object = in_memory();
    let mut events = open(lasting_node(), "GET", &object, "/events", &[]);
    events.head();
    object.ok("emit", json!(["a"]));
    events.chunk();
    drop(events);
    wait_for_ended(&object, "gone, true");
    assert_eq!(object.ok("emit", json!(["nobody"])), json!(1), "the program has not forgotten the stream");
    assert_eq!(object.ok("ended", json!([])), json!(["gone, true"]));
}

fn st_10_the_guest_learns_that_its_client_has_gone_before_it_has_answered() {
    let object = in_memory();
    let client = open(lasting_node(), "GET", &object, "/note-when-gone", &[]);
    let notes = |expected: &[&str]| {
        eventually(&format!("{expected:?} is noted"), || {
            (object.ok("notes", json!([])) == json!(expected)).then_some(())
        });
    };
    notes(&["waits"]);
    drop(client);
    notes(&["waits", "gone"]);
}

fn an_open_stream_keeps_its_object_in_memory_until_the_client_leaves() {
    let object = forgetful_node().fresh(guest::HTTP, "Http");
    let mut events = open(forgetful_node(), "GET", &object, "/events", &[]);
    events.head();
    holds_for(3 * IDLE_AFTER, "the object is in memory", || object.is_live());
    object.ok("emit", json!(["a"]));
    events.chunk();
    drop(events);
    object.wait_until_evicted();
}

fn a_client_that_never_reads_stops_the_writer() {
    let object = in_memory();
    let get = |path| open(lasting_node(), "GET", &object, path, &[]);
    assert_writer_stops(&object, get("/endless"), get("/endless-aside"));
}

fn a_client_that_never_reads_is_cut_after_a_while() {
    let node = impatient(|http| http.write_timeout = Duration::from_millis(300));
    let object = node.fresh(guest::HTTP, "Http");
    let _unread = open(&node, "GET", &object, "/endless", &[]);
    wait_for_ended(&object, "unread");
}

/// A connection on which a whole request was sent, and the head of a good answer read. A node without patience may
/// close some before a slow machine has sent anything; then it is another one.
fn answered(node: &TestNode, request: &str) -> Connection {
    eventually(&format!("`{request}` is answered"), || {
        let mut connection = node.connect();
        let head = if connection.try_send(request) { connection.head_if_any() } else { None };
        head.is_some_and(|head| head.starts_with("HTTP/1.1 200")).then_some(connection)
    })
}

fn b_37_silence_cuts_no_stream() {
    const SILENCE_MAX: Duration = Duration::from_millis(100);
    let node = impatient(|http| {
        http.write_timeout = SILENCE_MAX;
        http.head_timeout = SILENCE_MAX;
        http.body_silence_max = SILENCE_MAX;
    });
    let object = node.fresh(guest::HTTP, "Http");
    let address = object.address();
    let call = |method: &str, args: &str| {
        let bytes = args.len();
        let fields = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {bytes}");
        answered(&node, &format!("POST /rpc/{address}/{method} HTTP/1.1\r\n{fields}\r\n\r\n{args}"))
    };
    let mut events = answered(&node, &format!("GET /o/{address}/events HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    // Those that have to say something are cut meanwhile: so the time has passed, several times.
    for _ in 0..5 {
        assert!(node.connect().is_closed_by_the_node());
    }
    let mut upload = open(&node, "POST", &object, "/note-length", &["transfer-encoding: chunked"]);
    assert!(upload.is_closed_by_the_node());
    assert_eq!(call("ended", "[]").body(2), "[]");
    call("emit", "[\"late\"]");
    assert_eq!(events.chunk(), piece("data: late\n\n"));
}

fn a_client_that_leaves_within_its_upload_breaks_the_body_off() {
    let object = in_memory();
    let mut upload = open(lasting_node(), "POST", &object, "/note-length", &["content-length: 1000000"]);
    upload.send([0; 1000]);
    drop(upload);
    eventually("the guest has noted it", || {
        (object.ok("notes", json!([])) == json!(["body-broken"])).then_some(())
    });
}

fn a_client_that_falls_silent_within_its_upload_breaks_the_body_off() {
    let node = impatient(|http| http.body_silence_max = Duration::from_millis(200));
    let object = node.fresh(guest::HTTP, "Http");
    let mut upload = open(&node, "POST", &object, "/note-length", &["transfer-encoding: chunked"]);
    upload.send_chunk(b"abc");
    assert!(upload.head().starts_with("HTTP/1.1 200"));
    assert_eq!(upload.body(11), "body-broken");
    let mut short = open(&node, "POST", &object, "/count", &["content-length: 10"]);
    short.send("abc");
    assert!(short.head().starts_with("HTTP/1.1 400"));
}

fn a_client_that_sends_its_head_byte_by_byte_is_dropped() {
    let node = impatient(|http| http.head_timeout = Duration::from_millis(300));
    let mut slow = node.connect();
    // A slow machine may have used the time up before the last of them.
    for byte in b"GET / HT" {
        if !slow.try_send([*byte]) {
            break;
        }
    }
    assert!(slow.is_closed_by_the_node());
}

fn idle_connections_hold_up_nobody() {
    const CONNECTIONS: usize = 1000;
    let object = object();
    let idle: Vec<Connection> = (0..CONNECTIONS).map(|_| node().connect()).collect();
    assert_eq!(object.get("/refuse").status, 401);
    drop(idle);
}

fn idle_connections_make_room_when_all_places_are_taken() {
    let node = impatient(|http| {
        http.connections_max = 20;
        http.head_timeout = Duration::from_secs(3600);
    });
    let object = node.fresh(guest::HTTP, "Http");
    let mut idle: Vec<Connection> = (0..40).map(|_| node.connect()).collect();
    let mut late = open(&node, "GET", &object, "/refuse", &[]);
    assert!(late.head().starts_with("HTTP/1.1 401"));
    assert!(idle[0].is_closed_by_the_node());
}

fn connections_that_are_answered_make_no_room() {
    let node = impatient(|http| http.connections_max = 2);
    let object = node.fresh(guest::HTTP, "Http");
    let mut events: Vec<_> = (0..2).map(|_| open(&node, "GET", &object, "/events", &[])).collect();
    events.iter_mut().for_each(|events| drop(events.head()));
    let mut late = open(&node, "GET", &object, "/refuse", &[]);
    let mut last = events.pop().expect("two");
    // The test's own calls would have to wait as well.
    drop(events);
    assert!(late.head().starts_with("HTTP/1.1 401"));
    late.body(2);
    drop(late);
    assert_eq!(object.ok("emit", json!(["still"])), json!(2));
    assert_eq!(last.chunk(), piece("data: still\n\n"));
}

fn b_54_a_client_that_waits_for_a_word_gets_it_when_the_object_reads() {
    let object = object();
    let expect = ["expect: 100-continue", "content-length: 9001"];
    for path in ["/count", "/wait-then-count?ms=300"] {
        let mut client = open(node(), "POST", &object, path, &expect);
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        client.send([b'x'; 9001]);
        assert!(client.head().starts_with("HTTP/1.1 200"), "{path}");
        assert_eq!(&client.body(10), "9001 false", "{path}");
    }
}

fn an_answer_without_reading_comes_at_once_and_without_that_word() {
    let object = object();
    let expect = ["expect: 100-continue", "content-length: 9001"];
    let mut client = open(node(), "POST", &object, "/refuse", &expect);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert_eq!(client.body(2), "no");
    // Whether the body still comes is the client's choice, so nothing else can follow on this connection.
    assert!(head.contains("connection: close"), "{head}");
    assert!(client.is_closed_by_the_node());
}

fn b_55_a_client_that_ends_its_sending_gets_its_answer() {
    let object = in_memory();
    let mut client = open(lasting_node(), "POST", &object, "/wait-then-note?ms=300", &["content-length: 0"]);
    client.end_sending();
    assert!(client.head().starts_with("HTTP/1.1 200"));
    assert_eq!(client.body(5), "noted");
    assert_eq!(object.ok("notes", json!([])), json!(["waited"]));
    let gone = open(lasting_node(), "POST", &object, "/wait-then-note?ms=300", &["content-length: 0"]);
    drop(gone);
    eventually("the event has run to its end", || {
        (object.ok("notes", json!([])) == json!(["waited", "waited"])).then_some(())
    });
}

fn b_56_requests_in_one_packet_are_answered_in_order() {
    let object = object();
    let address = object.address();
    let request = |path: &str| format!("GET /o/{address}{path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut client = node().connect();
    client.send([request("/wait-then-note?ms=300"), request("/refuse"), request("/nothing")].concat());
    for (status, bytes) in [(200, 5), (401, 2), (404, 12)] {
        assert!(client.head().starts_with(&format!("HTTP/1.1 {status}")));
        client.body(bytes);
    }
    let upgrade = format!(
        "GET /o/{address}/x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    client.send([request("/refuse"), request("/refuse"), upgrade].concat());
    for status in [401, 401] {
        assert!(client.head().starts_with(&format!("HTTP/1.1 {status}")));
        client.body(2);
    }
    assert!(client.head().starts_with("HTTP/1.1 426"));
}

fn st_4_a_request_of_two_lengths_is_read_by_its_chunks_and_ends_the_connection() {
    let object = object();
    let address = object.address();
    let hidden = format!("GET /o/{address}/wait-then-note?ms=0 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut client = open(
        node(),
        "POST",
        &object,
        "/count",
        &[&format!("content-length: {}", 3 + hidden.len()), "transfer-encoding: chunked"],
    );
    client.send(format!("3\r\nabc\r\n0\r\n\r\n{hidden}"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
    assert_eq!(client.body(13), "3 false false");
    assert!(client.is_closed_by_the_node());
    assert_eq!(object.ok("notes", json!([])), json!([]), "what came behind it is no request");
}

fn a_client_that_sends_its_body_byte_by_byte_is_read_as_it_sends_and_holds_up_nobody() {
    let object = object();
    let mut slow = open(node(), "POST", &object, "/reverse", &["transfer-encoding: chunked"]);
    slow.head();
    for byte in ["a", "b", "c"] {
        slow.send_chunk(byte.as_bytes());
        assert_eq!(slow.chunk(), piece(byte));
        assert_eq!(object.get("/refuse").status, 401);
    }
    slow.send_chunk(b"");
    assert_eq!(slow.chunk(), crate::Chunk::End);
}

fn b_50_cookies_stay_apart_and_in_order() {
    let answer = object().get("/cookies");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    let expected =
        ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2; Expires=Thu, 22 Oct 2026 07:28:00 GMT", "c=3"];
    assert_eq!(cookies, expected);
    let answer = object().fetch("GET", "/header", &[("x-who", "1"), ("x-who", "2")], &[]);
    assert_eq!(answer.text(), "1|2");
}

fn b_51_bytes_beyond_ascii_in_a_header_come_back_as_they_were() {
    let object = object();
    for raw in [&b"Usu\xc3\xa1rio"[..], b"\xc3\xa9", b"\xe9", "\u{1f600}".as_bytes()] {
        assert_header_returns(&format!("/o/{}", object.address()), raw);
    }
}

fn head_has_the_fields_and_no_body() {
    let object = object();
    let mut client = open(node(), "HEAD", &object, "/refuse", &[]);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401") && head.contains("content-length: 2"), "{head}");
    client.send_head(&format!("HEAD /o/{}/two-then-fail", object.address()), &[]);
    assert!(client.head().starts_with("HTTP/1.1 200"));
    client.send_head(&format!("GET /o/{}/refuse", object.address()), &[]);
    assert!(client.head().starts_with("HTTP/1.1 401"));
}

fn headers_up_to_the_limit_pass_and_longer_ones_are_refused() {
    let object = object();
    for (bytes, status) in [(40_000, 200), (70_000, 431)] {
        let field = format!("x-who: {}", "w".repeat(bytes));
        let mut client = open(node(), "GET", &object, "/header", &[&field]);
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{bytes}: {}", &head[..40]);
    }
    // The host is one of them.
    for (fields, status) in [(99, 200), (100, 431)] {
        let fields = vec!["x-who: w"; fields];
        let head = open(node(), "GET", &object, "/header", &fields).head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{}: {}", fields.len(), &head[..40]);
    }
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    b_57_the_guest_learns_that_its_client_has_gone,
    st_10_the_guest_learns_that_its_client_has_gone_before_it_has_answered,
    an_open_stream_keeps_its_object_in_memory_until_the_client_leaves,
    a_client_that_never_reads_stops_the_writer,
    a_client_that_never_reads_is_cut_after_a_while,
    b_37_silence_cuts_no_stream,
    a_client_that_leaves_within_its_upload_breaks_the_body_off,
    a_client_that_falls_silent_within_its_upload_breaks_the_body_off,
    a_client_that_sends_its_head_byte_by_byte_is_dropped,
    idle_connections_hold_up_nobody,
    idle_connections_make_room_when_all_places_are_taken,
    connections_that_are_answered_make_no_room,
    b_54_a_client_that_waits_for_a_word_gets_it_when_the_object_reads,
    an_answer_without_reading_comes_at_once_and_without_that_word,
    b_55_a_client_that_ends_its_sending_gets_its_answer,
    b_56_requests_in_one_packet_are_answered_in_order,
    st_4_a_request_of_two_lengths_is_read_by_its_chunks_and_ends_the_connection,
    a_client_that_sends_its_body_byte_by_byte_is_read_as_it_sends_and_holds_up_nobody,
    b_50_cookies_stay_apart_and_in_order,
    b_51_bytes_beyond_ascii_in_a_header_come_back_as_they_were,
    head_has_the_fields_and_no_body,
    headers_up_to_the_limit_pass_and_longer_ones_are_refused,
];
