//! Sockets that arrive in the same moment, some of which never come to be (LC-10, LC-11, WS-29; B-36 of the reports
//! from users).
//!
//! Each case has a node of its own, whatever the variant. A thousand sockets, and clients that vanish together, are
//! tested beside the command line.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::case::{Case, cases};
use crate::connection::Connection;
use crate::{Object, WebSocket, eventually, guest};

use super::standing::hibernating_node;

/// Objects at the same time, and how often each thread takes a new one.
const OBJECTS: usize = 10;
const ROUNDS: usize = 5;

fn fresh() -> Object {
    hibernating_node().fresh(guest::WEBSOCKET, "Room")
}

/// Opens so many sockets of a cold object at once.
fn open_together(room: &Object, count: usize) -> Vec<WebSocket> {
    let all_are_here = Barrier::new(count);
    let open = || {
        all_are_here.wait();
        WebSocket::open(hibernating_node(), room, "/")
    };
    thread::scope(|scope| {
        let opening: Vec<_> = (0..count).map(|_| scope.spawn(open)).collect();
        opening.into_iter().map(|client| client.join().expect("a client panicked")).collect()
    })
}

/// Asks for a socket, which takes the object a while.
fn ask(room: &Object) -> Connection {
    let fields = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut connection = hibernating_node().connect();
    connection.send_head(&format!("GET /o/{}/slow", room.address()), &fields);
    connection
}

fn wait_for_note(room: &Object, beginning: &str) {
    eventually(&format!("{beginning:?} is noted"), || {
        let journal = room.ok("journal", json!([]));
        let mut lines = journal.as_array().expect("a list").iter().filter_map(|line| line.as_str());
        lines.any(|line| line.starts_with(beginning)).then_some(())
    });
}

/// A message finds the object asleep, wakes it once, and leaves all sockets as they were.
fn assert_sleeps_and_wakes(room: &Object, clients: &mut [WebSocket]) {
    room.wait_until_hibernated();
    let starts = || room.listed().expect("it is in memory")["starts"].as_u64().expect("a number");
    let before = starts();
    assert_eq!(clients[0].ask_text("count"), "1", "memory was kept");
    assert_eq!(starts(), before + 1);
    assert_eq!(room.ok("listed", json!([null])), json!(clients.len()));
}

/// Sockets that arrive together: a fresh object that has them, and their clients.
fn crowd(count: usize) -> (Object, Vec<WebSocket>) {
    let room = fresh();
    let clients = open_together(&room, count);
    (room, clients)
}

/// The same, and a client that leaves in the midst.
fn crowd_that_lost_one(count: usize) -> (Object, Vec<WebSocket>) {
    let room = fresh();
    let leaving = ask(&room);
    let clients = open_together(&room, count);
    wait_for_note(&room, "asked");
    drop(leaving);
    wait_for_note(&room, "close 1006");
    (room, clients)
}

fn b_36_sockets_that_arrive_together_let_the_object_hibernate_also_if_one_leaves_in_the_midst() {
    // Asked for first by the case's own thread, which says so if there cannot be such a node.
    hibernating_node();
    thread::scope(|scope| {
        for thread in 0..OBJECTS {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let count = 2 + (thread + round) % 9;
                    let (room, mut clients) = match round {
                        0 => crowd_that_lost_one(count),
                        _ => crowd(count),
                    };
                    assert_sleeps_and_wakes(&room, &mut clients);
                }
            });
        }
    });
}

/// What this module shows.
pub(super) const CASES: &[Case] =
    cases![b_36_sockets_that_arrive_together_let_the_object_hibernate_also_if_one_leaves_in_the_midst,];
