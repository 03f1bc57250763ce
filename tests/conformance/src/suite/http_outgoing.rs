//! Requests of objects to the outside: what is allowed, what is sent, and when (LC-14, OG-3).
//!
//! Names, addresses and encryption are unit tests of the gateway.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::outside::Outside;
use crate::{Chunk, Object, TestNode, guest};

use super::standing::node;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/x-test\r\ncontent-length: 5\r\n\r\nhello";

/// For six requests to come to the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node whose app may send requests to this machine.
fn open_node(config: TestConfig) -> TestNode {
    let node = TestNode::with(config);
    let component = guest::HTTP.bytes();
    let report = node.control().deploy_with_egress(guest::HTTP.app, &component, &["127.0.0.1"]);
    assert_eq!(report.expect("deployed")["egress"], json!(["127.0.0.1"]));
    node
}

fn ask(object: &Object, path: &str, url: &str) -> String {
    object.get(&format!("/{path}?url={url}")).text()
}

fn nothing_leaves_without_a_rule() {
    let outside = Outside::answering(OK);
    let object = node().fresh(guest::HTTP, "Http");
    assert_eq!(ask(&object, "ask", &outside.url("/")), "egress-denied");
    assert_eq!(ask(&object, "ask", "http://example.com/"), "egress-denied");
    assert!(outside.seen().is_empty());
}

fn a_rule_for_any_name_leads_to_no_address_of_this_machine() {
    let outside = Outside::answering(OK);
    let node = TestNode::with(TestConfig::default());
    let component = guest::HTTP.bytes();
    node.control().deploy_with_egress(guest::HTTP.app, &component, &["*", "localhost"]).expect("deployed");
    let object = node.fresh(guest::HTTP, "Http");
    let url = outside.url("/");
    for url in
        [url.clone(), url.replace("127.0.0.1", "localhost"), url.replace("127.0.0.1", "[::ffff:127.0.0.1]")]
    {
        assert_eq!(ask(&object, "ask", &url), "egress-denied", "{url}");
    }
    assert!(outside.seen().is_empty());
}

fn an_allowed_request_is_sent_and_answered() {
    let outside = Outside::answering(OK);
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    assert_eq!(ask(&object, "ask", &outside.url("/a%3Fb=c")), "200 hello");
    assert!(outside.seen()[0].head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{:?}", outside.seen());
    let redirecting = Outside::answering("HTTP/1.1 302 x\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(ask(&object, "ask", &redirecting.url("/")), "302 ");
    assert_eq!(redirecting.seen().len(), 1);
    let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    object.fetch("GET", &format!("/ask?url={}", outside.url("/")), &trace, &[]);
    assert!(outside.seen()[1].head.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(ask(&object, "ask", "ftp://127.0.0.1/"), "invalid-argument");
}

fn bodies_pass_through_both_ways_without_being_read() {
    let outside = Outside::serve(|seen, stream| {
        let head = "HTTP/1.1 201 x\r\ncontent-type: text/x-test\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut answer = format!("{head}{:x}\r\n", seen.body.len()).into_bytes();
        answer.extend(&seen.body);
        answer.extend(b"\r\n0\r\n\r\n");
        drop(stream.write_all(&answer));
    });
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = object.fetch("POST", &format!("/relay?url={}", outside.url("/")), &[], &body);
    assert_eq!((answer.status, answer.header("content-type")), (201, "text/x-test"));
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    let head = &outside.seen()[0].head;
    assert!(head.contains("x-relayed: yes") && head.contains("content-length: 1000000"), "{head}");
}

fn a_response_that_breaks_off_outside_is_cut_for_the_client() {
    let outside = Outside::answering("HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    let mut client = node.connect();
    let path = format!("/o/{}/relay?url={}", object.address(), outside.url("/"));
    client.send_head(&format!("POST {path}"), &["content-length: 0"]);
    client.head();
    assert_eq!(client.chunks(), ("half".to_owned(), Chunk::Cut));
    assert_eq!(ask(&object, "ask", &outside.url("/")), "body-broken");
}

fn a_request_leaves_when_what_was_written_before_it_is_durable() {
    let node = Arc::new(open_node(TestConfig::default()));
    let object = node.fresh(guest::HTTP, "Http");
    let reader = object.clone();
    let outside = Outside::serve(move |_, stream| {
        let notes = reader.sql("SELECT what FROM notes").map(|notes| notes["rows"].to_string());
        let text = notes.unwrap_or_else(|error| error.message);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        drop(stream.write_all(format!("{head}{text}").as_bytes()));
    });
    assert_eq!(ask(&object, "note-then-ask", &outside.url("/")), r#"200 [["asked"]]"#);
}

fn a_request_of_a_turn_that_is_undone_never_leaves() {
    let outside = Outside::answering(OK);
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    let error = object.get(&format!("/break-then-ask?url={}", outside.url("/"))).error();
    error.assert_reset("storage-failed");
    assert_eq!(ask(&object, "ask", &outside.url("/good")), "200 hello");
    let seen = outside.seen();
    assert!(seen.len() == 1 && seen[0].head.starts_with("GET /good"), "{seen:?}");
}

#[derive(Default)]
struct Requests {
    /// From now on all are.
    are_answered: bool,
    under_way: usize,
    under_way_most: usize,
}

fn six_requests_of_an_event_are_under_way_and_others_wait() {
    let shared = Arc::new((Mutex::new(Requests::default()), Condvar::new()));
    let of_server = shared.clone();
    let outside = Outside::serve(move |_, stream| {
        let (requests, changed) = &*of_server;
        let mut requests = requests.lock().expect("lock");
        requests.under_way += 1;
        requests.under_way_most = requests.under_way_most.max(requests.under_way);
        changed.notify_all();
        let mut requests = changed.wait_while(requests, |those| !those.are_answered).expect("lock");
        // Before the answer, which lets the next one go.
        requests.under_way -= 1;
        drop(requests);
        drop(stream.write_all(OK.as_bytes()));
    });
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    let path = format!("/ask-often?count=20&url={}", outside.url("/"));
    thread::scope(|scope| {
        let asked = scope.spawn(|| object.get(&path).text());
        let (requests, changed) = &*shared;
        let are_few = |those: &mut Requests| those.under_way < 6;
        let six = changed.wait_timeout_while(requests.lock().expect("lock"), PATIENCE, are_few);
        assert!(!six.expect("lock").1.timed_out(), "six requests did not come");
        // The others would be on their way as well, and come while the object does all this.
        for _ in 0..100 {
            object.ok("written", json!([]));
        }
        requests.lock().expect("lock").are_answered = true;
        changed.notify_all();
        assert_eq!(asked.join().expect("a client panicked"), "20");
    });
    assert_eq!(shared.0.lock().expect("lock").under_way_most, 6);
}

fn a_hundred_thousand_requests_at_once_reset_the_object_with_an_error_of_their_own() {
    let outside = Outside::answering(OK);
    let node = open_node(TestConfig::default());
    let (object, neighbour) = (node.fresh(guest::HTTP, "Http"), node.fresh(guest::HTTP, "Http"));
    let storm = object.clone();
    let path = format!("/ask-often?count=100000&url={}", outside.url("/"));
    let storm = thread::spawn(move || storm.get(&path).error());
    while !storm.is_finished() {
        assert_eq!(neighbour.get("/refuse").status, 401);
    }
    let error = storm.join().expect("answered");
    error.assert_reset("import-limit-exceeded");
    assert!(error.message.contains("10000 imports under way"), "{}", error.message);
    assert_eq!(ask(&object, "ask", &outside.url("/")), "200 hello");
}

fn a_request_that_the_guest_forgets_harms_nobody() {
    let outside = Outside::answering(OK);
    let node = open_node(TestConfig::default());
    let object = node.fresh(guest::HTTP, "Http");
    for _ in 0..100 {
        assert_eq!(ask(&object, "ask-and-forget", &outside.url("/")), "forgotten");
    }
    assert_eq!(ask(&object, "ask", &outside.url("/")), "200 hello");
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    nothing_leaves_without_a_rule,
    a_rule_for_any_name_leads_to_no_address_of_this_machine,
    an_allowed_request_is_sent_and_answered,
    bodies_pass_through_both_ways_without_being_read,
    a_response_that_breaks_off_outside_is_cut_for_the_client,
    a_request_leaves_when_what_was_written_before_it_is_durable,
    a_request_of_a_turn_that_is_undone_never_leaves,
    six_requests_of_an_event_are_under_way_and_others_wait,
    a_hundred_thousand_requests_at_once_reset_the_object_with_an_error_of_their_own,
    a_request_that_the_guest_forgets_harms_nobody,
];
