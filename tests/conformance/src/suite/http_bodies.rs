//! Bodies in pieces: requests on their way in, responses on their way out, and what passes through.
//!
//! That a piece waits for its commit is simulated; here is what clients see.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::eventually::holds_for;
use crate::node::TestConfig;
use crate::raw_request::send;
use crate::{Chunk, Connection, Object, TestNode, eventually, guest};

use super::standing::{IDLE_AFTER, forgetful_node, lasting_node, node};
use super::streams::{assert_notes_precede_pieces, open, piece};

const MEBIBYTE: usize = 1024 * 1024;

fn object() -> Object {
    node().fresh(guest::HTTP, "Http")
}

/// A request with a body in chunks, of which the head is sent.
fn chunked(node: &TestNode, object: &Object, path: &str) -> Connection {
    open(node, "POST", object, path, &["transfer-encoding: chunked"])
}

/// A request without body.
fn get(node: &TestNode, object: &Object, path: &str, fields: &[&str]) -> Connection {
    open(node, "GET", object, path, fields)
}

fn a_short_body_of_known_length_arrives_whole_and_others_in_pieces() {
    let object = object();
    let count = |body: &[u8]| object.fetch("POST", "/count", &[], body).text();
    assert_eq!(count(b"abc"), "3 true false");
    assert_eq!(count(&[0; 64 * 1024]), "65536 true false");
    assert_eq!(count(&[0; 64 * 1024 + 1]), "65537 false true");
    let mut chunked = chunked(node(), &object, "/count");
    chunked.send_chunk(b"abc");
    chunked.send_chunk(b"");
    chunked.head();
    assert_eq!(chunked.body(13), "3 false false");
}

fn a_large_upload_in_chunks_is_not_collected_on_the_way() {
    const CHUNKS: usize = 64;
    let object = object();
    let mut upload = chunked(node(), &object, "/count");
    let chunk = vec![b'x'; MEBIBYTE];
    for _ in 0..CHUNKS {
        upload.send_chunk(&chunk);
    }
    upload.send_chunk(b"");
    assert!(upload.head().starts_with("HTTP/1.1 200"));
    let expected = format!("{} false true", CHUNKS * MEBIBYTE);
    assert_eq!(upload.body(expected.len()), expected);
}

fn a_body_in_pieces_can_be_collected() {
    let object = object();
    let answer = object.fetch("POST", "/collect", &[], &vec![7; 3 * MEBIBYTE]);
    assert_eq!(answer.text(), (3 * MEBIBYTE).to_string());
    let head = format!(
        "POST /o/{}/collect HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: {}",
        object.address(),
        32 * MEBIBYTE + 1
    );
    let answer = send(node().listen_address(), &head, [b"x".to_vec()]);
    assert!(answer.text.contains("limit-exceeded"), "{answer:?}");
}

fn a_body_that_is_passed_on_unread_keeps_its_bytes_and_its_length() {
    let object = object();
    let body: Vec<u8> = (0..3 * MEBIBYTE).map(|n| (n % 251) as u8).collect();
    let answer = object.fetch("POST", "/pass", &[], &body);
    assert_eq!((answer.status, answer.header("content-length")), (200, &*body.len().to_string()));
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    let mut chunked = chunked(node(), &object, "/pass");
    assert!(chunked.head().contains("transfer-encoding: chunked"));
    chunked.send_chunk(b"abc");
    assert_eq!(chunked.chunk(), piece("abc"));
    chunked.send_chunk(b"de");
    assert_eq!(chunked.chunk(), piece("de"));
    chunked.send_chunk(b"");
    assert_eq!(chunked.chunk(), Chunk::End);
}

fn the_rest_of_a_body_that_was_read_in_part_is_passed_on() {
    let object = object();
    let body: Vec<u8> = (0..MEBIBYTE).map(|n| (n % 251) as u8).collect();
    let answer = object.fetch("POST", "/first-then-pass", &[], &body);
    let first: usize = answer.header("x-first").parse().expect("a number");
    assert!(first > 0 && answer.body == body[first..], "{first} and {}", answer.body.len());
}

fn a_body_that_breaks_off_while_it_is_passed_on_is_cut_for_the_reader() {
    let object = object();
    let mut both = node().connect();
    both.send_head(&format!("POST /o/{}/pass", object.address()), &["content-length: 100000"]);
    both.send([b'x'; 1000]);
    both.head();
    both.body(1000);
    both.end_sending();
    assert!(both.is_closed_by_the_node());
}

fn a_body_that_broke_off_does_so_at_every_read() {
    let object = object();
    let mut upload = open(node(), "POST", &object, "/note-breaks", &["content-length: 100000"]);
    upload.send(b"early");
    upload.end_sending();
    let expected = json!(["body-broken", "body-broken"]);
    eventually("both reads are noted", || (object.ok("notes", json!([])) == expected).then_some(()));
}

fn a_read_that_is_given_up_breaks_the_body() {
    let object = object();
    let mut upload = chunked(node(), &object, "/give-up-then-read");
    assert!(upload.head().starts_with("HTTP/1.1 200"));
    let expected = "body-broken body-broken false";
    assert_eq!(upload.body(expected.len()), expected);
    assert_is_not_whole(&object, "POST", "/give-up-then-pass", "\ntransfer-encoding: chunked");
}

fn a_write_that_is_given_up_cuts_the_body() {
    let object = object();
    assert_is_not_whole(&object, "GET", "/give-up-a-write", "");
    assert_eq!(object.ok("notes", json!([])), json!(["body-broken"]));
}

/// Sends a request of which no body comes, and gets an answer that no client takes for whole, if it gets any.
#[track_caller]
fn assert_is_not_whole(object: &Object, method: &str, path: &str, fields: &str) {
    let target = format!("/o/{}{path}", object.address());
    let head = format!("{method} {target} HTTP/1.1\nhost: localhost\nconnection: close{fields}");
    let text = send(node().listen_address(), &head, []).text;
    assert!(!text.contains("content-length: 0") && !text.ends_with("\r\n0\r\n\r\n"), "{path}: {text}");
}

fn pieces_go_both_ways_at_once() {
    let object = object();
    let mut both = chunked(node(), &object, "/reverse");
    both.head();
    for (sent, answered) in [("abc", "cba"), ("de", "ed"), ("f", "f")] {
        both.send_chunk(sent.as_bytes());
        assert_eq!(both.chunk(), piece(answered));
    }
    both.send_chunk(b"");
    assert_eq!(both.chunk(), Chunk::End);
}

fn b_52_an_event_reaches_the_client_when_it_is_written() {
    let object = lasting_node().fresh(guest::HTTP, "Http");
    let mut events = get(lasting_node(), &object, "/events", &["accept-encoding: gzip, br"]);
    let head = events.head();
    assert!(head.contains("content-type: text/event-stream") && !head.contains("content-encoding"), "{head}");
    for text in ["a", "b"] {
        assert_eq!(object.ok("emit", json!([text])), json!(1));
        assert_eq!(events.chunk(), piece(&format!("data: {text}\n\n")));
    }
    object.ok("end", json!([]));
    assert_eq!(events.chunk(), Chunk::End);
    assert_eq!(object.ok("ended", json!([])), json!(["ended"]));
    // The connection is good for another request.
    events.send_head(&format!("GET /o/{}/nothing", object.address()), &[]);
    assert!(events.head().starts_with("HTTP/1.1 404"));
}

fn what_was_written_before_a_piece_is_there_when_the_piece_is() {
    let object = object();
    assert_notes_precede_pieces(&object, &mut get(node(), &object, "/note-then-stream", &[]));
}

fn a_piece_of_a_turn_that_is_undone_never_leaves() {
    let object = object();
    for path in ["/break-then-stream", "/fall-within-a-write"] {
        let mut broken = get(node(), &object, path, &[]);
        broken.head();
        assert_eq!(broken.chunks(), ("one,".to_owned(), Chunk::Cut), "{path}");
    }
    assert_eq!(object.ok("ended", json!([])), json!([]));
}

fn a_body_that_no_guest_code_waits_for_keeps_its_object_in_memory() {
    let object = forgetful_node().fresh(guest::HTTP, "Http");
    let mut passing = chunked(forgetful_node(), &object, "/pass");
    passing.head();
    passing.send_chunk(b"early");
    assert_eq!(passing.chunk(), piece("early"));
    holds_for(3 * IDLE_AFTER, "the object is in memory", || object.is_live());
    passing.send_chunk(b"late");
    assert_eq!(passing.chunk(), piece("late"));
    passing.send_chunk(b"");
    assert_eq!(passing.chunk(), Chunk::End);
    object.wait_until_evicted();
}

fn a_body_that_does_not_end_well_is_cut_for_the_client() {
    let object = object();
    let mut failing = get(node(), &object, "/two-then-fail", &[]);
    assert!(failing.head().starts_with("HTTP/1.1 200"));
    assert_eq!(failing.chunks(), ("one,two".to_owned(), Chunk::Cut));
}

fn b_59_a_trap_cuts_the_bodies_that_are_open() {
    let object = object();
    let mut falling = get(node(), &object, "/one-then-fall", &[]);
    falling.head();
    assert_eq!(falling.chunks(), ("one,".to_owned(), Chunk::Cut));
    let mut events = get(node(), &object, "/events", &[]);
    events.head();
    object.fails("fall", json!([])).assert_reset("guest-trapped");
    assert_eq!(events.chunk(), Chunk::Cut);
    assert_eq!(object.ok("ended", json!([])), json!([]));
}

fn ig_5_a_piece_asked_for_before_a_section_waits_until_it_is_left_and_one_asked_for_within_does_not() {
    let object = object();
    let mut outer = chunked(node(), &object, "/note-pieces");
    outer.send_chunk(b"before");
    eventually("the first piece is noted", || {
        (object.ok("notes", json!([])) == json!(["piece"])).then_some(())
    });
    let mut section = chunked(node(), &object, "/hold");
    section.head();
    assert_eq!(section.chunk(), piece("in"));
    outer.send_chunk(b"within");
    outer.send_chunk(b"");
    // A gate that let it pass would have done so by the time all of these have come back.
    for _ in 0..50 {
        section.send_chunk(b"and");
        assert_eq!(section.chunk(), piece("and"));
    }
    section.send_chunk(b"leave");
    section.send_chunk(b"");
    assert_eq!(section.chunk(), Chunk::End);
    assert!(outer.head().starts_with("HTTP/1.1 200"));
    assert_eq!(object.ok("notes", json!([])), json!(["piece", "leaving", "piece"]));
}

fn a_body_over_the_limit_is_refused_or_breaks_off() {
    let node = TestNode::with(TestConfig::with_http_limits(|http| http.request_body_bytes_max = 100_000));
    let object = node.fresh(guest::HTTP, "Http");
    let error = object.fetch("POST", "/count", &[], &vec![0; 100_001]).error();
    assert_eq!((error.status, error.code.as_str()), (413, "body-too-large"));
    let mut upload = chunked(&node, &object, "/note-length");
    upload.send_chunk(&vec![0; 100_001]);
    upload.head();
    assert_eq!(object.ok("notes", json!([])), json!(["body-too-large"]));
    assert_eq!(object.fetch("POST", "/count", &[], &vec![0; 100_000]).text(), "100000 false true");
}

fn too_many_open_bodies_are_refused() {
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.bodies_open_max = 2));
    let object = node.fresh(guest::HTTP, "Http");
    let mut open: Vec<Connection> = (0..2).map(|_| get(&node, &object, "/events", &[])).collect();
    open.iter_mut().for_each(|events| assert!(events.head().starts_with("HTTP/1.1 200")));
    let error = object.get("/events").error();
    assert_eq!((error.status, error.code.as_str()), (503, "overloaded"));
    drop(open);
    eventually("bodies whose clients have gone make room", || {
        let mut events = get(&node, &object, "/events", &[]);
        events.head().starts_with("HTTP/1.1 200").then_some(())
    });
}

fn buffers_of_open_bodies_count_as_memory_of_the_instance() {
    // A guest of a megabyte and a half, and room for very few bodies beside it.
    let memory = |limits: &mut durabo_model::limits::ObjectLimits| limits.memory_bytes_max = 2 * MEBIBYTE;
    let node = TestNode::with(TestConfig::with_limits(memory));
    let object = node.fresh(guest::HTTP, "Http");
    let mut open = Vec::new();
    let error = (0..100).find_map(|_| {
        let mut events = get(&node, &object, "/events", &[]);
        let is_refused = !events.head().starts_with("HTTP/1.1 200");
        open.push(events);
        is_refused.then_some(open.len())
    });
    assert!(error.is_some_and(|count| count < 33), "{error:?}");
}

fn a_deployment_cuts_what_is_still_open_when_its_time_is_over() {
    let limits = |limits: &mut durabo_model::limits::ObjectLimits| limits.drain = Duration::from_millis(300);
    let node = TestNode::with(TestConfig::with_limits(limits));
    let object = node.fresh(guest::HTTP, "Http");
    let mut events = get(&node, &object, "/events", &[]);
    events.head();
    object.ok("emit", json!(["before"]));
    node.control().deploy(guest::HTTP.app, &guest::HTTP.bytes_marked(1)).expect("deployed");
    assert_eq!(events.chunks(), ("data: before\n\n".to_owned(), Chunk::Cut));
    assert_eq!(object.ok("ended", json!([])), json!([]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    a_short_body_of_known_length_arrives_whole_and_others_in_pieces,
    a_large_upload_in_chunks_is_not_collected_on_the_way,
    a_body_in_pieces_can_be_collected,
    a_body_that_is_passed_on_unread_keeps_its_bytes_and_its_length,
    the_rest_of_a_body_that_was_read_in_part_is_passed_on,
    a_body_that_breaks_off_while_it_is_passed_on_is_cut_for_the_reader,
    a_body_that_broke_off_does_so_at_every_read,
    a_read_that_is_given_up_breaks_the_body,
    a_write_that_is_given_up_cuts_the_body,
    pieces_go_both_ways_at_once,
    b_52_an_event_reaches_the_client_when_it_is_written,
    what_was_written_before_a_piece_is_there_when_the_piece_is,
    a_piece_of_a_turn_that_is_undone_never_leaves,
    a_body_that_no_guest_code_waits_for_keeps_its_object_in_memory,
    a_body_that_does_not_end_well_is_cut_for_the_client,
    b_59_a_trap_cuts_the_bodies_that_are_open,
    ig_5_a_piece_asked_for_before_a_section_waits_until_it_is_left_and_one_asked_for_within_does_not,
    a_body_over_the_limit_is_refused_or_breaks_off,
    too_many_open_bodies_are_refused,
    buffers_of_open_bodies_count_as_memory_of_the_instance,
    a_deployment_cuts_what_is_still_open_when_its_time_is_over,
];
