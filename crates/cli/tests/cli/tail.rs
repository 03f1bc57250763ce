//! `durabo tail`: shows what happens while it happens, and ends with the node.
//!
//! Drives the real binary.

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::node_process::{NodeProcess, durabo, folder};
use crate::waiting::DEADLINE;

/// A `durabo tail` that has begun; killed when dropped.
struct Tail {
    child: Child,
    /// What it prints, until it ends.
    lines: Receiver<String>,
    /// Open, since it says more at its end.
    _stderr: Lines<BufReader<ChildStderr>>,
}

impl Tail {
    fn of(node: &NodeProcess, args: &[&str]) -> Self {
        let data = node.data.to_str().expect("path");
        let args = [&["tail"], args, &["--control", &node.control, "--data", data]].concat();
        let mut child =
            durabo(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let first = stderr.next().expect("a line").expect("a text");
        assert_eq!(first, "watching");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, _stderr: stderr }
    }

    /// The next line, which comes when something happens.
    fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("nothing was told")
    }

    fn told(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Gone already if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fields(told: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| told[name].clone()).collect()
}

#[test]
fn the_life_of_a_socket_is_shown_from_its_opening_to_its_end() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    let deployed = node.ask(&["deploy", env!("DURABO_WEBSOCKET_COMPONENT"), "--app", "ws"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    let mut tail = Tail::of(&node, &["ws/Room/a", "--json"]);
    let stream = TcpStream::connect(&node.listen).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let url = format!("ws://{}/o/ws/Room/a/here?tags=x&secret=1", node.listen);
    let (mut client, _) = tungstenite::client(url, stream).expect("a WebSocket");
    let told = [tail.told(), tail.told()];
    let [fetch, opened] = &told;
    let expected = json!(["event", "fetch", "GET /here", "ok", "Room", "a"]);
    assert_eq!(fields(fetch, &["what", "handler", "detail", "outcome", "class", "name"]), expected);
    assert_eq!(fields(opened, &["what", "tags", "protocol"]), json!(["socketOpened", ["x"], null]));
    let socket = opened["socket"].clone();
    // Nobody asks for other objects.
    assert_eq!(node.call(&["ws/Room/b", "starts"]).code, Some(0));
    client.send(Message::text("fail for once")).expect("sent");
    let told = tail.told();
    let names = ["handler", "socket", "bytes", "outcome", "error"];
    assert_eq!(
        fields(&told, &names),
        json!(["websocketMessage", socket, 13, "failed", "for once"]),
        "{told}"
    );
    assert!(told["tookUs"].is_u64(), "{told}");
    client.send(Message::text("trap")).expect("sent");
    let told = tail.told();
    assert_eq!(fields(&told, &["outcome", "code"]), json!(["failed", "guest-trapped"]), "{told}");
    client.send(Message::text("abort enough")).expect("sent");
    let told = [tail.told(), tail.told()];
    let cut = told.iter().find(|told| told["what"] == "socketCut").unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(cut["socket"], socket);
    assert!(cut["why"].as_str().is_some_and(|why| why.contains("enough")), "{cut}");
}

#[test]
fn a_client_that_leaves_is_told_with_its_code_and_people_get_sentences() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    let deployed = node.ask(&["deploy", env!("DURABO_WEBSOCKET_COMPONENT"), "--app", "ws"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    let mut tail = Tail::of(&node, &["ws"]);
    let stream = TcpStream::connect(&node.listen).expect("a connection");
    let url = format!("ws://{}/o/ws/Room/a/", node.listen);
    let (mut client, _) = tungstenite::client(url, stream).expect("a WebSocket");
    assert!(tail.line().contains("  Room/a  fetch GET /  ok in "));
    let opened = tail.line();
    assert!(opened.contains("  Room/a  socket ") && opened.ends_with(" opened"), "{opened}");
    client.close(None).expect("closed");
    let closed = tail.line();
    assert!(closed.contains("  Room/a  socket ") && closed.ends_with(" closed with 1005"), "{closed}");
    assert!(tail.line().contains("  websocketClose socket "), "the object hears of it");
    assert_eq!(node.terminate().code(), Some(0));
    assert_eq!(tail.lines.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
    assert_eq!(tail.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_node_that_is_killed_is_not_taken_for_one_that_stops() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    let mut tail = Tail::of(&node, &["demo"]);
    node.kill();
    assert_eq!(tail.lines.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
    assert_eq!(tail.child.wait().expect("it ends").code(), Some(2));
}
