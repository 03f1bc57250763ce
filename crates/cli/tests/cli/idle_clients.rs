//! Ten thousand clients that open a connection and leave it: the node's memory is bounded, and others are
//! served as before.
//!
//! In a process of its own, so that its memory can be looked at.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::node_process::{NodeProcess, folder};

const CLIENTS: u64 = 10_000;
/// What a connection takes in the node at most: its task, and the buffers of HTTP, 8 KiB each way.
const BYTES_PER_CLIENT_MAX: u64 = 24 * 1024;
/// Connections beyond those that the node is to hold, for the calls meanwhile.
const SPARE: u64 = 50;

/// Lets this process open as many files as it may; how many these are, unless there is no limit.
pub fn allow_many_files() -> Option<u64> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("more files");
    most
}

/// Half as many as the files that a process may open, which is all of them on most systems: this one has others, and
/// the node keeps a fifth for itself.
fn clients() -> u64 {
    allow_many_files().map_or(CLIENTS, |most| CLIENTS.min(most / 2))
}

/// A node that has the files for so many connections, and closes none for being idle.
fn start(data: &Path, connections: u64) -> NodeProcess {
    let connections = format!("--limit=http.connections_max={connections}");
    let flags = [
        connections.as_str(),
        // What objects and WebSockets may take is taken from connections.
        "--limit=live_objects_max=10",
        "--limit=http.sockets_max=10",
        "--limit=http.head_timeout=1h",
    ];
    NodeProcess::start_with(&flags, data, &data.with_extension("log"))
}

fn open(node: &NodeProcess) -> TcpStream {
    TcpStream::connect(&node.listen).expect("a connection")
}

/// Sends a request and reads its answer; the connection stays open.
fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let mut some = [0; 1024];
        let read = stream.read(&mut some).expect("an answer");
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn ten_thousand_idle_connections_take_little_memory_and_hold_up_nobody() {
    let data = folder();
    let clients = clients();
    let node = start(data.path(), clients + SPARE);
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).code, Some(0));
    let before = node.resident_bytes();
    let mut idle = Vec::new();
    for number in 0..clients {
        let mut stream = open(&node);
        // Some have never sent anything.
        if number % 2 == 0 {
            ask(&mut stream);
        }
        idle.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(node.call(&["demo/Counter/a", "increment"]).code, Some(0));
    }
    let taken = node.resident_bytes().saturating_sub(before);
    assert!(node.open_files() as u64 >= clients, "some are not there any more");
    println!("{clients} idle connections take {} bytes each", taken / clients);
    assert!(taken / clients <= BYTES_PER_CLIENT_MAX, "{taken} bytes for {clients} connections");
    // Beyond the limit those that came first make room.
    let mut late: Vec<_> = (0..clients / 10).map(|_| open(&node)).collect();
    late.iter_mut().for_each(ask);
    assert_eq!(node.call(&["demo/Counter/a", "get"]).stdout.trim(), "21");
}
