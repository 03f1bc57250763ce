//! Many WebSockets on one object: one that is never read costs its queue and holds up no other, and when all clients
//! vanish together each end is handled once (WS-17, WS-20; B-41 of the reports from users).
//!
//! The node is a process of its own, so that its memory and its log can be looked at. What one socket does is tested in
//! the conformance suite, and how fast all this is by `tests/peers/bench/sockets.py`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};
use ureq::Agent;

use crate::idle_clients::allow_many_files;
use crate::kill_nine::agent;
use crate::node_process::{NodeProcess, durabo, folder};
use crate::sockets::{deploy, open};
use crate::waiting::{EndOnDrop, eventually, until_none_is_left};

/// Sockets of one object of which one is never read.
const SOCKETS: usize = 1000;
/// What is sent to that one: far more than the systems at both ends buffer for a connection.
const LARGE_FRAMES: usize = 24;
const LARGE_BYTES: usize = 1024 * 1024;
/// What may wait for it.
const QUEUED_BYTES_MAX: u64 = 256 * 1024;
/// What the node may take for it beyond what frames on their way need: its queue, and some chance.
const TAKEN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What the node says of it.
const FELL_BEHIND: &str = "its client does not take what is sent to it";

/// Clients that vanish together.
const VANISHING: usize = 2000;
/// Files that those who call meanwhile, and the object's database, keep open in the node.
const FILES_OF_CALLERS: usize = 8;
/// Times that one client comes and goes.
const RELOADS: usize = 200;

struct Rooms {
    node: NodeProcess,
    log: PathBuf,
    agent: Agent,
    _folder: TempDir,
}

impl Rooms {
    fn start(limits: &[&str]) -> Self {
        allow_many_files();
        let folder = folder();
        let (data, log) = (folder.path().join("data"), folder.path().join("log"));
        let mut command = durabo(&[&["serve"], limits].concat());
        // With one heap for all threads it does not depend on chance how much each of them has kept free.
        command.env("MALLOC_ARENA_MAX", "1");
        let node = NodeProcess::start_by(command, &data, &data, &log);
        deploy(&node);
        Self { node, log, agent: agent(), _folder: folder }
    }

    fn call(&self, object: &str, method: &str, arguments: &Value) -> Value {
        let url = format!("http://{}/rpc/ws/Room/{object}/{method}", self.node.listen);
        let mut answer = self.agent.post(url).send_json(arguments).expect("an answer");
        answer.body_mut().read_json().expect("JSON")
    }

    fn open(&self, object: &str, tag: &str) -> WebSocket<TcpStream> {
        open(&self.node, object, tag)
    }

    /// Asks the control plane.
    fn control(&self, path: &str) -> Value {
        let token = fs::read_to_string(self.node.data.join("token")).expect("a token");
        let asking = self.agent.get(format!("http://{}/v1/apps/ws/classes/Room/{path}", self.node.control));
        let asking = asking.header("authorization", format!("Bearer {}", token.trim()));
        asking.call().expect("an answer").body_mut().read_json().expect("JSON")
    }

    /// The socket of an object that was accepted first.
    fn first_socket(&self, object: &str) -> Value {
        self.control(&format!("objects/{object}/sockets?limit=1"))["sockets"][0].clone()
    }

    /// Waits until the object is in memory without an instance.
    fn wait_until_hibernated(&self, object: &str) {
        eventually("it hibernates", || {
            let page = self.control("objects");
            let mut objects = page["objects"].as_array().expect("a list").iter();
            objects.any(|listed| listed["name"] == object && listed["instance"] == json!(false))
        });
    }
}

#[track_caller]
fn text(client: &mut WebSocket<TcpStream>) -> String {
    loop {
        match client.read().expect("a frame") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?} came instead of a text"),
        }
    }
}

/// Most memory that the node has while as many frames as the one that never reads is sent go to one that does.
fn most_for_a_client_that_reads(rooms: &Rooms, large: &str) -> u64 {
    let mut client = rooms.open("b", "reads");
    let most = (0..LARGE_FRAMES).map(|_| {
        assert_eq!(rooms.call("b", "broadcast", &json!(["reads", large])), json!(1));
        let resident = rooms.node.resident_bytes();
        assert_eq!(text(&mut client).len(), LARGE_BYTES);
        eventually("it is known to be taken", || rooms.first_socket("b")["outgoing"]["bytes"] == json!(0));
        resident
    });
    most.max().expect("some frames")
}

#[test]
fn ws_17_a_socket_that_is_never_read_is_closed_and_a_thousand_others_get_every_frame_in_order() {
    let rooms = Rooms::start(&[
        "--limit=socket_outgoing_bytes_max=256KiB",
        "--limit=http.socket_close_timeout=1h",
        "--limit=http.socket_silence_max=1h",
        "--limit=hibernate_after=1h",
    ]);
    let mut deaf = rooms.open("a", "deaf");
    let mut others: Vec<_> = (1..SOCKETS).map(|_| rooms.open("a", "hears")).collect();
    let large = "x".repeat(LARGE_BYTES);
    // What calls of this size and a frame for each socket take for good is there before it is measured.
    for _ in 0..3 {
        assert_eq!(rooms.call("a", "broadcast", &json!(["nobody", large])), json!(0));
    }
    assert_eq!(rooms.call("a", "broadcast", &json!([null, "hi"])), json!(SOCKETS));
    let before = most_for_a_client_that_reads(&rooms, &large);
    let (mut most, mut most_queued) = (before, 0);
    for number in 0..LARGE_FRAMES {
        rooms.call("a", "broadcast", &json!(["deaf", large]));
        let sent_to = rooms.call("a", "broadcast", &json!([null, number.to_string()]));
        assert!(sent_to.as_u64() >= Some(SOCKETS as u64 - 1), "{sent_to}");
        most = most.max(rooms.node.resident_bytes());
        most_queued = most_queued.max(rooms.first_socket("a")["outgoing"]["bytes"].as_u64().expect("bytes"));
    }
    let closing = rooms.first_socket("a");
    assert_eq!(
        (&closing["tags"], &closing["state"]),
        (&json!(["deaf"]), &json!("closing")),
        "too little was sent"
    );
    for client in &mut others {
        assert_eq!(text(client), "hi");
        for number in 0..LARGE_FRAMES {
            assert_eq!(text(client), number.to_string());
        }
    }
    println!("a socket that is never read takes {} KiB, {most_queued} bytes queued", (most - before) / 1024);
    assert!(most - before <= TAKEN_BYTES_MAX, "{} bytes", most - before);
    // One frame passes whatever its size.
    assert!(most_queued <= QUEUED_BYTES_MAX + LARGE_BYTES as u64, "{most_queued} bytes were queued");
    // When it reads at last, it finds what the systems have kept for it, whole, and then why nothing more comes.
    let mut came = 0;
    let end = loop {
        match deaf.read().expect("a frame") {
            Message::Text(text) if text.len() == LARGE_BYTES => came += 1,
            Message::Text(text) => assert!(text.len() < 3, "{} bytes", text.len()),
            other => break other,
        }
    };
    assert!(came < LARGE_FRAMES, "all frames were kept");
    let Message::Close(Some(CloseFrame { code, .. })) = end else { panic!("{end:?} is no closing frame") };
    assert_eq!(u16::from(code), 1013);
    let log = fs::read_to_string(&rooms.log).expect("a log");
    assert_eq!(log.matches(FELL_BEHIND).count(), 1, "{log}");
}

/// Calls an object until it is told to stop; how often it was answered.
fn call_on(rooms: &Rooms, object: &str, is_over: &AtomicBool) -> u32 {
    let mut answers = 0;
    while !is_over.load(Ordering::Relaxed) {
        assert_eq!(rooms.call(object, "listed", &json!([null])), json!(0));
        answers += 1;
    }
    answers
}

#[test]
fn b_41_when_all_clients_vanish_each_end_is_handled_once_and_no_ghost_is_left() {
    let rooms = Rooms::start(&["--limit=hibernate_after=100ms", "--limit=close_after=1h"]);
    assert_eq!(rooms.call("b", "listed", &json!([null])), json!(0));
    let files_before = rooms.node.open_files();
    let clients: Vec<_> = (0..VANISHING).map(|number| rooms.open("a", &number.to_string())).collect();
    assert_eq!(rooms.call("a", "listed", &json!([null])), json!(VANISHING));
    rooms.wait_until_hibernated("a");
    let is_over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let calling = scope.spawn(|| call_on(&rooms, "b", &is_over));
        let ended = EndOnDrop(&is_over);
        drop(clients);
        until_none_is_left("sockets", || {
            rooms.call("a", "listed", &json!([null])).as_u64().expect("a number of them")
        });
        drop(ended);
        calling.join().expect("another object answers meanwhile")
    });
    println!("meanwhile another object has answered {answers} times");
    assert!(answers > 0);
    eventually("all connections are let go of", || {
        rooms.node.open_files() <= files_before + FILES_OF_CALLERS
    });
    let journal = rooms.call("a", "journal", &json!([]));
    let ends: Vec<&str> = journal.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(ends.iter().filter(|line| line.starts_with("close 1006 ")).count(), VANISHING);
    let tags: BTreeSet<&str> =
        ends.iter().filter_map(|line| line.split_once("tags ")).map(|(_, tags)| tags).collect();
    assert_eq!((ends.len(), tags.len()), (2 * VANISHING, VANISHING), "some ends came twice");
    for number in 0..RELOADS {
        let mut client = rooms.open("a", "reloads");
        if number % 2 == 0 {
            let away = CloseFrame { code: 1001.into(), reason: "".into() };
            client.close(Some(away)).expect("sent");
        }
    }
    let mut last = rooms.open("a", "reloads");
    eventually("one socket is left", || rooms.call("a", "listed", &json!(["reloads"])) == json!(1));
    assert_eq!(rooms.call("a", "broadcast", &json!([null, "you alone"])), json!(1));
    assert_eq!(text(&mut last), "you alone");
}
