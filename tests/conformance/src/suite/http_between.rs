//! Requests from object to object: headers and bodies in pieces, through one object and through several
//! (ST-13, B-50 to B-57).
//!
//! What is in a request and response besides is tested with calls.

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{Chunk, Connection, Object, TestNode, eventually, guest};

use super::standing::{lasting_node, node};
use super::streams::{assert_header_returns, assert_notes_precede_pieces, assert_writer_stops, piece};

const MEBIBYTE: usize = 1024 * 1024;

/// An object, and the path by which another passes requests on to it, through so many in between.
fn behind(node: &TestNode, between: usize) -> (Object, String) {
    let object = |name: &str| node.object(guest::HTTP, "Http", name);
    let name = fresh_name();
    let through: String = (0..between).map(|_| format!("/via/{}", fresh_name())).collect();
    let path = format!("/o/{}{through}/via/{name}", object(&fresh_name()).address());
    (object(&name), path)
}

fn get(node: &TestNode, path: &str) -> Connection {
    let mut connection = node.connect();
    connection.send_head(&format!("GET {path}"), &[]);
    connection
}

fn b_52_an_event_passes_through_objects_when_it_is_written() {
    for between in 0..2 {
        let (last, path) = behind(node(), between);
        let mut events = get(node(), &format!("{path}/events"));
        assert!(events.head().contains("content-type: text/event-stream"));
        for text in ["a", "b"] {
            assert_eq!(last.ok("emit", json!([text])), json!(1));
            assert_eq!(events.chunk(), piece(&format!("data: {text}\n\n")));
        }
        last.ok("end", json!([]));
        assert_eq!(events.chunk(), Chunk::End);
    }
}

fn b_57_an_object_behind_others_learns_that_the_client_has_gone() {
    for between in 0..2 {
        let (last, path) = behind(lasting_node(), between);
        let mut events = get(lasting_node(), &format!("{path}/events"));
        events.head();
        last.ok("emit", json!(["a"]));
        events.chunk();
        drop(events);
        let ended = eventually("the stream ends", || {
            Some(last.ok("ended", json!([]))).filter(|ended| *ended != json!([]))
        });
        assert_eq!(ended, json!(["gone, true"]));
    }
}

fn an_upload_passes_through_objects_without_being_collected() {
    const CHUNKS: usize = 64;
    let (_last, path) = behind(node(), 1);
    let mut upload = node().connect();
    upload.send_head(&format!("POST {path}/count"), &["transfer-encoding: chunked"]);
    let chunk = vec![b'x'; MEBIBYTE];
    for _ in 0..CHUNKS {
        upload.send_chunk(&chunk);
    }
    upload.send_chunk(b"");
    assert!(upload.head().starts_with("HTTP/1.1 200"));
    let expected = format!("{} false true", CHUNKS * MEBIBYTE);
    assert_eq!(upload.body(expected.len()), expected);
}

fn pieces_pass_through_objects_both_ways_at_once_and_lengths_stay_known() {
    let (_last, path) = behind(node(), 1);
    let mut both = node().connect();
    both.send_head(&format!("POST {path}/reverse"), &["transfer-encoding: chunked"]);
    both.head();
    for (sent, answered) in [("abc", "cba"), ("de", "ed")] {
        both.send_chunk(sent.as_bytes());
        assert_eq!(both.chunk(), piece(answered));
    }
    both.send_chunk(b"");
    assert_eq!(both.chunk(), Chunk::End);
    both.send_head(&format!("POST {path}/pass"), &["content-length: 100000"]);
    both.send(vec![b'x'; 100_000]);
    assert!(both.head().contains("content-length: 100000"));
    assert_eq!(both.body(100_000).len(), 100_000);
}

fn a_body_that_breaks_off_in_one_object_is_cut_behind_all() {
    for path_of_last in ["/two-then-fail", "/one-then-fall"] {
        let (_last, path) = behind(node(), 1);
        let mut cut = get(node(), &format!("{path}{path_of_last}"));
        assert!(cut.head().starts_with("HTTP/1.1 200"));
        let (text, end) = cut.chunks();
        assert!(text.starts_with("one,") && end == Chunk::Cut, "{path_of_last}: {text} {end:?}");
    }
}

fn a_client_that_leaves_within_its_upload_breaks_the_body_off_behind_all() {
    let (last, path) = behind(lasting_node(), 1);
    let mut upload = lasting_node().connect();
    upload.send_head(&format!("POST {path}/note-length"), &["content-length: 1000000"]);
    upload.send([0; 1000]);
    drop(upload);
    eventually("the last object has noted it", || {
        (last.ok("notes", json!([])) == json!(["body-broken"])).then_some(())
    });
}

fn what_an_object_wrote_before_a_piece_is_there_when_the_piece_has_passed_another() {
    let (last, path) = behind(node(), 0);
    assert_notes_precede_pieces(&last, &mut get(node(), &format!("{path}/note-then-stream")));
}

fn a_reader_that_does_not_read_stops_a_writer_behind_other_objects() {
    let (last, path) = behind(lasting_node(), 1);
    let get = |path_of_last| get(lasting_node(), &format!("{path}{path_of_last}"));
    assert_writer_stops(&last, get("/endless"), get("/endless-aside"));
}

fn b_50_and_b_51_headers_pass_through_objects_as_they_were_and_what_is_none_is_refused() {
    let (_last, path) = behind(node(), 1);
    for raw in [&b"Usu\xc3\xa1rio"[..], b"\xe9", "\u{1f600}".as_bytes()] {
        assert_header_returns(&path, raw);
    }
    let mut cookies = get(node(), &format!("{path}/cookies"));
    assert_eq!(cookies.head().matches("set-cookie: ").count(), 3);
    let error = node().fresh(guest::HTTP, "Http").get("/via-with-an-emoji").error();
    assert_eq!(error.code, "invalid-argument");
}

fn b_54_a_client_gets_its_word_when_an_object_behind_others_reads() {
    let (_last, path) = behind(node(), 1);
    let expect = ["expect: 100-continue", "content-length: 9001"];
    let mut client = node().connect();
    client.send_head(&format!("POST {path}/count"), &expect);
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send([b'x'; 9001]);
    assert!(client.head().starts_with("HTTP/1.1 200"));
    let mut refused = node().connect();
    refused.send_head(&format!("POST {path}/refuse"), &expect);
    assert!(refused.head().starts_with("HTTP/1.1 401"));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    b_52_an_event_passes_through_objects_when_it_is_written,
    b_57_an_object_behind_others_learns_that_the_client_has_gone,
    an_upload_passes_through_objects_without_being_collected,
    pieces_pass_through_objects_both_ways_at_once_and_lengths_stay_known,
    a_body_that_breaks_off_in_one_object_is_cut_behind_all,
    a_client_that_leaves_within_its_upload_breaks_the_body_off_behind_all,
    what_an_object_wrote_before_a_piece_is_there_when_the_piece_has_passed_another,
    a_reader_that_does_not_read_stops_a_writer_behind_other_objects,
    b_50_and_b_51_headers_pass_through_objects_as_they_were_and_what_is_none_is_refused,
    b_54_a_client_gets_its_word_when_an_object_behind_others_reads,
];
