//! An object's WebSocket to a server outside, encrypted: whom the system trusts, and nobody else (WS-33).
//!
//! The node is a process of its own, since what a system trusts is told by its environment. The server has a
//! certificate for `127.0.0.1` of a root that nothing else knows; how hosts are checked is tested in the gateway.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{Message, WebSocket};

use crate::kill_nine::agent;
use crate::node_process::{NodeProcess, durabo, folder};
use crate::waiting::{DEADLINE, eventually};

/// What a connection has come to: a WebSocket, or why it is none.
type Opened = Result<WebSocket<StreamOwned<ServerConnection, TcpStream>>, String>;

/// A file of the folder of certificates.
fn certificate(name: &str) -> String {
    format!("{}/tests/cli/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn server_config() -> Arc<ServerConfig> {
    let chain = CertificateDer::from_pem_file(certificate("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(certificate("server.key.pem")).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key);
    Arc::new(config.expect("a server"))
}

/// Serves encrypted WebSockets for as long as the process lives: its URL, and what each connection has come to.
fn serve() -> (String, Receiver<Opened>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("wss://{}/feed", listener.local_addr().expect("an address"));
    let (tell, opened) = channel();
    thread::spawn(move || accept(&listener, &tell));
    (url, opened)
}

fn accept(listener: &TcpListener, tell: &Sender<Opened>) {
    let config = server_config();
    for stream in listener.incoming().flatten() {
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let connection = ServerConnection::new(config.clone()).expect("a connection");
        // A client that does not trust the server goes away.
        let opened = tungstenite::accept(StreamOwned::new(connection, stream));
        // A test that does not ask for it has ended.
        drop(tell.send(opened.map_err(|error| error.to_string())));
    }
}

/// Starts a node whose system trusts what is in a file, with objects that may open sockets to this machine.
fn start(folder: &Path, trusted: &str) -> NodeProcess {
    // No ping comes where a frame is waited for.
    let mut command = durabo(&["serve", "--limit=http.socket_silence_max=1h"]);
    command.env("SSL_CERT_FILE", certificate(trusted)).env_remove("SSL_CERT_DIR");
    let data = folder.join("data");
    let node = NodeProcess::start_by(command, &data, &data, &folder.join("log"));
    let config = folder.join("durabo.toml");
    fs::write(&config, "[egress]\nallow = [\"127.0.0.1\"]\n").expect("a configuration");
    let config = config.to_str().expect("path");
    let deployed =
        node.ask(&["deploy", env!("DURABO_WEBSOCKET_COMPONENT"), "--app", "ws", "--config", config]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    node
}

/// Calls a method of an object of class `Caller`: its answer, or the failure.
fn call(node: &NodeProcess, method: &str, arguments: &Value) -> Value {
    let url = format!("http://{}/rpc/ws/Caller/a/{method}", node.listen);
    let asking = agent().post(url).config().http_status_as_error(false).build();
    asking.send_json(arguments).expect("an answer").body_mut().read_json().expect("JSON")
}

#[test]
fn ws_33_an_object_and_a_server_that_the_system_trusts_talk_over_an_encrypted_socket() {
    let folder = folder();
    let node = start(folder.path(), "root.pem");
    let (url, opened) = serve();
    let socket = call(&node, "open", &json!([url, [], ["feed"]]));
    assert!(socket.is_u64(), "{socket}");
    let mut there = opened.recv_timeout(DEADLINE).expect("a connection").expect("a WebSocket");
    there.send(Message::text("ask why")).expect("sent");
    assert_eq!(there.read().expect("a frame"), Message::text("answer to why"));
    let long = "ü".repeat(300 * 1024);
    there.send(Message::text(format!("ask {long}"))).expect("sent");
    assert_eq!(there.read().expect("a frame"), Message::text(format!("answer to {long}")));
    assert_eq!(call(&node, "say", &json!([socket, "news"])), Value::Null);
    assert_eq!(there.read().expect("a frame"), Message::text("news"));
    call(&node, "shut", &json!([socket, 3001, "done"]));
    let Message::Close(Some(frame)) = there.read().expect("a frame") else { panic!("no closing frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (3001, "done"));
    // Reading on sends the answer and ends with the connection.
    while there.read().is_ok() {}
    let note = json!(["close 3001 \"done\" clean true closed true"]);
    eventually("it hears of the end", || call(&node, "journal", &json!([])) == note);
}

#[test]
fn ws_33_a_server_that_the_system_does_not_trust_gets_no_socket() {
    let folder = folder();
    // Nobody has a certificate of this one.
    let node = start(folder.path(), "server.pem");
    let (url, opened) = serve();
    let refused = call(&node, "open", &json!([url, [], []]));
    assert_eq!(refused["error"]["code"], "outgoing-failed", "{refused}");
    assert_eq!(call(&node, "listed", &json!([])), json!(0));
    let opened = opened.recv_timeout(DEADLINE).expect("a connection");
    assert!(opened.is_err(), "the server has opened a WebSocket");
}
