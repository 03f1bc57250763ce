//! Sockets in the hands of an operator: listed, sent to and closed by way of the control plane.
//!
//! Each case has a node of its own, whatever the variant. Routes and their refusals are unit tests of the gateway, the
//! commands are tested beside the command line, and how messages keep their order is simulated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Hold;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{Object, Outcome, Seen, TestNode, WebSocket, eventually, guest};

use super::outcomes::{REFUSED, refused, wait_until_held};
use super::standing::{forgetful_node, hibernating_node, hooked_node};

/// A room, and the node that it is on.
struct Room<'a> {
    node: &'a TestNode,
    object: Object,
}

impl<'a> Room<'a> {
    fn new(node: &'a TestNode) -> Self {
        Self { node, object: node.fresh(guest::WEBSOCKET, "Room") }
    }

    fn open(&self) -> WebSocket {
        WebSocket::open(self.node, &self.object, "/")
    }

    fn path(&self, rest: &str) -> String {
        let (app, class, segment) = self.object.parts();
        format!("/v1/apps/{app}/classes/{class}/objects/{segment}/sockets{rest}")
    }

    /// Its sockets in the order of their acceptance.
    fn listed(&self) -> Vec<Value> {
        let list = self.node.control().send("GET", &self.path(""), &[]).json();
        list["sockets"].as_array().expect("a list of sockets").clone()
    }

    /// Number of the socket that was accepted `at`-th.
    fn number(&self, at: usize) -> String {
        self.listed()[at]["socket"].as_str().expect("a number").to_owned()
    }

    fn send(&self, number: &str, text: &str) -> Outcome {
        let path = self.path(&format!("/{number}/message"));
        self.node.control().send("POST", &path, text.as_bytes()).into_result()
    }

    fn close(&self, number: &str) -> Outcome {
        let path = self.path(&format!("/{number}?code=4000&reason=over"));
        self.node.control().send("DELETE", &path, &[]).into_result()
    }

    /// Waits until the object has taken a request to close its first socket.
    fn wait_until_closing(&self) {
        let is_closing = || self.listed()[0]["state"] == json!("closing");
        eventually("the socket is being closed", || is_closing().then_some(()));
    }
}

fn over() -> Seen {
    Seen::Close(4000, "over".to_owned())
}

fn og_3_an_operators_closing_frame_waits_behind_what_the_object_has_sent() {
    let room = Room::new(hooked_node());
    let mut client = room.open();
    assert_eq!(client.ask_text("write before"), "written before");
    let (hooks, number, let_go) = (room.node.hooks(&room.object), room.number(0), AtomicBool::new(false));
    hooks.plan_fault(Hold);
    client.send("write first");
    wait_until_held(&hooks);
    thread::scope(|scope| {
        let closed = scope.spawn(|| {
            let closed = room.close(&number);
            assert!(let_go.load(Ordering::SeqCst), "it was answered before the commit");
            closed
        });
        room.wait_until_closing();
        assert_eq!(room.listed()[0]["outgoing"], json!({"messages": 0, "bytes": 0}), "a frame has overtaken");
        let_go.store(true, Ordering::SeqCst);
        assert!(hooks.answer_held(Committed), "a commit is held");
        assert_eq!(closed.join().expect("an operator panicked"), Ok(json!({"done": "closing"})));
    });
    assert_eq!((client.see(), client.see()), (Seen::text("written first"), over()));
}

fn og_6_an_operator_learns_that_a_frame_never_left_since_a_commit_before_it_failed() {
    let room = Room::new(hooked_node());
    let mut client = room.open();
    assert_eq!(client.ask_text("write before"), "written before");
    let (hooks, number) = (room.node.hooks(&room.object), room.number(0));
    hooks.plan_fault(Hold);
    client.send("write never");
    wait_until_held(&hooks);
    thread::scope(|scope| {
        let closed = scope.spawn(|| room.close(&number));
        room.wait_until_closing();
        assert!(hooks.answer_held(refused()), "a commit is held");
        closed.join().expect("an operator panicked").expect_err("it never left").assert_says(REFUSED);
    });
    assert_eq!(client.see(), Seen::Lost, "neither frame left the object");
}

fn lc_10_an_operator_wakes_no_object_that_hibernates() {
    let room = Room::new(hibernating_node());
    let mut client = room.open();
    room.object.wait_until_hibernated();
    let number = room.number(0);
    let shown = room.listed().remove(0);
    assert_eq!((&shown["live"], &shown["instance"]), (&json!(true), &json!(false)), "{shown}");
    assert_eq!(room.send(&number, "anyone?"), Ok(json!({"done": "sent"})));
    assert_eq!(client.see(), Seen::text("anyone?"));
    assert_eq!(room.close(&number), Ok(json!({"done": "closing"})));
    room.send(&number, "late").expect_err("it is being closed").assert_says("is being closed");
    let listed = room.object.listed().expect("it is in memory");
    assert_eq!((&listed["instance"], &listed["starts"]), (&json!(false), &json!(1)), "{listed}");
    assert_eq!(client.see(), over());
}

fn ws_29_an_object_that_has_left_memory_is_reached_by_an_operator_without_an_instance() {
    let room = Room::new(forgetful_node());
    let mut client = room.open();
    room.object.wait_until_evicted();
    let shown = room.listed().remove(0);
    assert_eq!((&shown["live"], &shown["state"]), (&json!(false), &json!("open")), "{shown}");
    assert_eq!(room.send(&room.number(0), "anyone?"), Ok(json!({"done": "sent"})));
    assert_eq!(client.see(), Seen::text("anyone?"));
    assert_eq!(room.object.ok("starts", json!([])), json!(2), "the frame has started an instance");
    assert_eq!(client.ask_text("echo and back"), "and back");
}

fn ws_23_what_an_object_sends_on_a_socket_that_an_operator_has_closed_is_dropped_without_an_error() {
    let room = Room::new(hooked_node());
    let mut client = room.open();
    assert_eq!(client.ask_text("count"), "1");
    let number = room.number(0);
    room.close(&number).expect("closed");
    room.close(&number).expect_err("closed twice").assert_says("is being closed");
    assert_eq!(room.object.ok("broadcast", json!([null, "late"])), json!(0));
    room.object.ok("send_large", json!([3]));
    // Its own close ends that.
    room.object.ok("close_all", json!([1000, null]));
    room.object.fails("send_large", json!([3])).assert_says("send() after close()");
    assert_eq!((client.see(), client.see()), (over(), Seen::Lost));
    let note = json!("close 4000 \"over\" clean true");
    eventually("the object hears of the client's answer", || {
        room.object.ok("journal", json!([])).as_array().expect("a list").contains(&note).then_some(())
    });
    let error = room.close(&number).expect_err("it is gone");
    assert_eq!((error.code.as_str(), error.status), ("not-found", 404));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    og_3_an_operators_closing_frame_waits_behind_what_the_object_has_sent,
    og_6_an_operator_learns_that_a_frame_never_left_since_a_commit_before_it_failed,
    lc_10_an_operator_wakes_no_object_that_hibernates,
    ws_29_an_object_that_has_left_memory_is_reached_by_an_operator_without_an_instance,
    ws_23_what_an_object_sends_on_a_socket_that_an_operator_has_closed_is_dropped_without_an_error,
];
