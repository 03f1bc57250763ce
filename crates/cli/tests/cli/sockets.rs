//! `durabo sockets`: lists the WebSockets of a node, sends to them and closes them.
//!
//! Drives the real binary. That a frame of an operator overtakes nothing is tested in the conformance suite.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};
use tungstenite::client::client_with_config;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::node_process::{NodeProcess, Ran, durabo, folder, ran};
use crate::waiting::{DEADLINE, eventually};

const READ_BUFFER_BYTES: usize = 4 * 1024;

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Deploys the guest with the classes `Room` and `Caller` as app `ws`.
pub fn deploy(node: &NodeProcess) {
    let deployed = node.ask(&["deploy", env!("DURABO_WEBSOCKET_COMPONENT"), "--app", "ws"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
}

/// A client of an object of class `Room`.
pub fn open(node: &NodeProcess, name: &str, tags: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(&node.listen).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let url = format!("ws://{}/o/ws/Room/{name}/?tags={tags}", node.listen);
    // Small, since some tests have many.
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    client_with_config(url, stream, Some(config)).unwrap_or_else(|error| panic!("no WebSocket: {error}")).0
}

fn list(node: &NodeProcess, args: &[&str]) -> Value {
    json(&node.ask(&[&["sockets", "ls"], args, &["--json"]].concat()))
}

/// Numbers of what is listed.
fn numbers(list: &Value) -> Vec<String> {
    let sockets = list["sockets"].as_array().into_iter().flatten();
    sockets.map(|socket| socket["socket"].as_str().expect("a number").to_owned()).collect()
}

fn assert_refused(ran: &Ran, says: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(says), "`{says}` is not in {ran:?}");
}

#[test]
fn sockets_are_listed_by_object_class_and_app_and_page_by_page() {
    let folder = folder();
    let node = NodeProcess::start_with_lasting_objects(&folder.path().join("data"));
    deploy(&node);
    let _clients = [open(&node, "a", "x,y"), open(&node, "a", ""), open(&node, "b", "z")];
    let of_a = list(&node, &["ws/Room/a"]);
    let first = &of_a["sockets"][0];
    let told = ["class", "name", "state", "tags", "protocol", "live", "keepAwake"].map(|field| &first[field]);
    let expected =
        [json!("Room"), json!("a"), json!("open"), json!(["x", "y"]), json!(null), json!(true), json!(false)];
    assert_eq!(told.to_vec(), expected.iter().collect::<Vec<_>>(), "{first}");
    let nothing = json!({"messages": 0, "bytes": 0});
    assert_eq!((&first["outgoing"], &first["incoming"]), (&nothing, &nothing));
    assert_eq!((numbers(&of_a).len(), &of_a["more"]), (2, &json!(false)));
    assert_eq!(list(&node, &["ws/Door"]), json!({"sockets": [], "more": false}));

    let all = list(&node, &["ws"]);
    assert_eq!((numbers(&all).len(), &all), (3, &list(&node, &["ws/Room"])));
    let mut read = Vec::new();
    let mut after = String::new();
    loop {
        let behind = ["--after", &after];
        let page =
            list(&node, &[&["ws", "--limit", "1"], &behind[..if after.is_empty() { 0 } else { 2 }]].concat());
        read.extend(page["sockets"].as_array().expect("a list").clone());
        let last = read.last().expect("one at least");
        after =
            format!("{}-{}", last["id"].as_str().expect("id"), last["socket"].as_str().expect("a number"));
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(json!(read), all["sockets"]);

    let table = node.ask(&["sockets", "ls", "ws/Room/a", "--limit", "1"]);
    let row: Vec<_> = table.stdout.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
    assert_eq!((row[0], row[1]), (numbers(&of_a)[0].as_str(), "open"), "{table:?}");
    assert_eq!(row[row.len() - 2..], ["x,y", "Room/a"], "{table:?}");
    assert!(table.stderr.contains("there are more; go on with `--after "), "{table:?}");
}

#[test]
fn texts_and_bytes_are_sent_from_the_command_line_a_file_and_standard_input() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    deploy(&node);
    let mut client = open(&node, "a", "");
    let number = numbers(&list(&node, &["ws"])).remove(0);
    let send = ["sockets", "send", "ws/Room/a", &number];
    assert_eq!(node.ask(&[&send[..], &["grüße"]].concat()).stdout, "sent\n");
    assert_eq!(client.read().expect("a text"), Message::text("grüße"));
    let file = folder.path().join("bytes");
    fs::write(&file, [0, 255, 10]).expect("file");
    let binary = ["--binary", file.to_str().expect("path"), "--json"];
    assert_eq!(json(&node.ask(&[&send[..], &binary].concat())), json!({"done": "sent"}));
    assert_eq!(client.read().expect("bytes"), Message::binary(vec![0, 255, 10]));
    for (flags, input, expected) in [
        (&[][..], &b"from a pipe"[..], Message::text("from a pipe")),
        (&["--binary", "-"], &[1, 2], Message::binary(vec![1, 2])),
    ] {
        let data = node.data.to_str().expect("path");
        let args = [&send[..], flags, &["--control", &node.control, "--data", data]].concat();
        let piped = || Stdio::piped();
        let mut child =
            durabo(&args).stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
        let ended = ran(child.wait_with_output().expect("it ends"));
        assert_eq!(ended.stdout, "sent\n", "{ended:?}");
        assert_eq!(client.read().expect("a message"), expected);
    }
}

#[test]
fn a_socket_is_closed_with_code_and_reason_and_the_object_hears_of_the_clients_answer() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    deploy(&node);
    let mut client = open(&node, "a", "");
    let number = numbers(&list(&node, &["ws"])).remove(0);
    let close = ["sockets", "close", "ws/Room/a", &number, "--code", "4000", "--reason", "go home"];
    assert_eq!(node.ask(&close).stdout, "the closing frame is on its way\n");
    let Message::Close(Some(frame)) = client.read().expect("a frame") else { panic!("no closing frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "go home"));
    // Reading on sends the client's answer and ends with the connection.
    while client.read().is_ok() {}
    let heard = "close 4000 \"go home\" clean true";
    let has_heard = || {
        let journal = json(&node.call(&["ws/Room/a", "journal"]));
        journal.as_array().is_some_and(|notes| notes.contains(&json!(heard)))
    };
    eventually("the object hears of it", has_heard);
    assert_refused(&node.ask(&close), "not-found");
    assert_eq!(numbers(&list(&node, &["ws"])), [""; 0]);
}

#[test]
fn an_object_out_of_memory_starts_no_instance_for_an_operators_frames() {
    let folder = folder();
    let data = folder.path().join("data");
    let limits = ["--limit", "hibernate_after=1ms", "--limit", "close_after=1ms"];
    let node = NodeProcess::start_with(&limits, &data, &data.with_extension("log"));
    deploy(&node);
    let mut client = open(&node, "a", "");
    let is_out = || list(&node, &["ws"])["sockets"][0]["live"] == json!(false);
    eventually("it leaves memory", is_out);
    let number = numbers(&list(&node, &["ws"])).remove(0);
    assert_eq!(node.ask(&["sockets", "send", "ws/Room/a", &number, "anyone?"]).stdout, "sent\n");
    assert_eq!(client.read().expect("a text"), Message::text("anyone?"));
    // One when the socket was accepted, and one for this call.
    assert_eq!(json(&node.call(&["ws/Room/a", "starts"])), json!(2));
    let closed = node.ask(&["sockets", "close", "ws/Room/a", &number]);
    assert_eq!(closed.code, Some(0), "{closed:?}");
    assert_eq!(client.read().expect("a frame"), Message::Close(None));
}

#[test]
fn what_cannot_be_sent_or_closed_is_refused_with_its_code() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    deploy(&node);
    let _client = open(&node, "a", "");
    let number = numbers(&list(&node, &["ws"])).remove(0);
    let ask = |command: &str, rest: &[&str]| node.ask(&[&["sockets", command], rest].concat());
    assert_refused(&ask("ls", &["nothing"]), "app-not-found");
    assert_refused(&ask("ls", &["ws/Hall"]), "class-not-found");
    assert_refused(&ask("ls", &["ws", "--after", "1"]), "invalid-argument");
    assert_refused(&ask("send", &["ws/Room/a", "1", "x"]), "not-found");
    assert_refused(&ask("send", &["ws/Room/b", &number, "x"]), "not-found");
    assert_refused(&ask("send", &["nothing/Room/a", &number, "x"]), "app-not-found");
    assert_refused(&ask("send", &["ws/Room/a", &number, "--binary", "no-such-file"]), "no-such-file");
    assert_refused(&ask("send", &["ws/Room/a", "x", "y"]), "'x'");
    for code in ["999", "1005", "5000"] {
        assert_refused(
            &ask("close", &["ws/Room/a", &number, "--code", code]),
            "Invalid WebSocket close code",
        );
    }
    let long = "x".repeat(124);
    assert_refused(&ask("close", &["ws/Room/a", &number, "--code", "1000", "--reason", &long]), "123 bytes");
    assert_refused(&ask("close", &["ws/Room/a", &number, "--reason", "x"]), "--code");
    assert_eq!(list(&node, &["ws"])["sockets"][0]["state"], "open", "a refused command did something");
}
