//! Handshakes of WebSockets that objects open: with whom, encrypted or not, and what becomes of the connection.
//!
//! What a handshake says is tested in `handshake`, and what goes over an open one in the conformance suite.

use durabo_model::limits::ObjectLimits;
use durabo_objects::loose_socket::LooseSocket;
use durabo_objects::outside::OpenedSocket;
use tungstenite::handshake::derive_accept_key;

use super::*;

/// Reads a handshake and agrees to it: its head.
async fn agree(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), more: &str) -> String {
    let head = read_head(stream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n{more}\r\n"
    );
    stream.write_all(answer.as_bytes()).await.expect("answered");
    stream.flush().await.expect("answered");
    head
}

/// Opens a socket to a server that answers with `text`.
async fn refused(text: &'static str) -> Failure {
    let (listener, address) = listen().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        answer(&mut stream, text).await
    };
    let client = client();
    let connecting = client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let (_, opened) = tokio::join!(serving, connecting);
    opened.expect_err("not a WebSocket")
}

#[tokio::test]
async fn ws_33_a_server_is_asked_for_a_websocket_and_its_sub_protocol_comes_back() {
    let (listener, address) = listen().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        (agree(&mut stream, "sec-websocket-protocol: v2\r\n").await, stream)
    };
    let mut request = request("GET", &format!("ws://{address}/feed?x=1"));
    request.headers.push(("sec-websocket-protocol".to_owned(), b"v1, v2".to_vec()));
    let client = client();
    let connecting = client.connect(rules(&["127.0.0.1"]), request);
    let ((head, _stream), opened) = tokio::join!(serving, connecting);
    assert_eq!(opened.expect("opened").protocol, "v2");
    assert!(head.starts_with("GET /feed?x=1 HTTP/1.1\r\n"), "{head}");
    for line in ["upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13", "x-a: b"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(head.contains(&format!("host: {address}\r\n")) && !head.contains("evil"), "{head}");
    assert!(!head.contains("sec-websocket-extensions") && !head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn ws_33_the_egress_rules_of_requests_hold_for_sockets() {
    for (texts, url) in [
        (&[][..], "ws://example.com/"),
        (&["example.com:443"], "ws://example.com/"),
        (&["*"], "ws://127.0.0.1:1/"),
        (&["*"], "wss://[::ffff:127.0.0.1]:1/"),
        (&["*"], "https://169.254.169.254/"),
    ] {
        let failure = client().connect(rules(texts), request("GET", url)).await.expect_err(url);
        assert_eq!(failure.code, "egress-denied", "{url}: {failure}");
    }
    let (_listener, address) = listen().await;
    let client = client_with(names([vec![address]]), RootCertStore::empty(), OutgoingLimits::default());
    let url = format!("ws://inside.test:{}/", address.port());
    let failure = client.connect(rules(&["*"]), request("GET", &url)).await.expect_err("refused");
    assert_eq!(failure.code, "egress-denied", "{failure}");
}

async fn connect_encrypted(host: &str, roots: RootCertStore) -> Result<OpenedSocket, Failure> {
    let (listener, address) = listen().await;
    let serving = async {
        if let Some(mut stream) = accept_encrypted(listener).await {
            agree(&mut stream, "").await;
        }
    };
    let client = client_with(names([vec![address]]), roots, OutgoingLimits::default());
    let url = format!("wss://{host}:{}/", address.port());
    tokio::join!(serving, client.connect(rules(&["*", "127.0.0.1"]), request("GET", &url))).1
}

#[tokio::test]
async fn ws_33_an_encrypted_socket_goes_to_a_server_that_is_trusted_for_that_name_only() {
    assert!(connect_encrypted("secure.test", trusted()).await.is_ok());
    for (host, roots) in [("other.test", trusted()), ("secure.test", another())] {
        let failure = connect_encrypted(host, roots).await.expect_err(host);
        assert_eq!(failure.code, "outgoing-failed", "{host}: {failure}");
    }
}

#[tokio::test]
async fn a_server_that_answers_otherwise_opens_nothing_and_its_status_is_told() {
    for status in ["200 OK", "401 x", "302 x\r\nlocation: /other"] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
        let failure = refused(Box::leak(text.into_boxed_str())).await;
        assert_eq!(failure.code, "outgoing-failed", "{failure}");
        assert!(failure.message.contains("instead of opening a WebSocket"), "{failure}");
        let details = failure.details.expect("details");
        let details: std::collections::BTreeMap<String, u16> =
            ciborium::from_reader(details.as_slice()).expect("a map");
        assert_eq!(Some(details["status"]), status[..3].parse().ok());
    }
    for text in ["", "what?\r\n\r\n", "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"] {
        let failure = refused(text).await;
        assert_eq!((failure.code.as_str(), failure.details), ("outgoing-failed", None), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_a_handshake_is_given_up() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { head_timeout: Duration::from_millis(50), ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let connecting = client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let failure = connecting.await.expect_err("given up");
    assert!(failure.code == "outgoing-failed" && failure.message.contains("0.05 s"), "{failure}");
    drop(listener);
}

#[tokio::test]
async fn a_socket_that_nobody_takes_closes_its_connection_and_gives_its_place_back() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { connections_max: 1, ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let connect = || client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    for _ in 0..2 {
        let serving = async {
            let (mut stream, _) = listener.accept().await.expect("accept");
            agree(&mut stream, "").await;
            stream
        };
        let (mut stream, opened) = tokio::join!(serving, connect());
        let opened = opened.expect("opened");
        let failure = connect().await.expect_err("the one place is taken");
        assert!(failure.message.contains("has 1 WebSockets to the outside"), "{failure}");
        drop(opened);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection is closed");
    }
}

#[tokio::test]
async fn sockets_leave_half_of_the_places_to_requests() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { connections_max: 2, ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let connect = || client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        agree(&mut stream, "").await;
    };
    let (_, opened) = tokio::join!(serving, connect());
    let _opened = opened.expect("opened");
    // Not since nobody answers it.
    let failure = connect().await.expect_err("their half is taken");
    assert!(failure.message.contains("has 1 WebSockets to the outside"), "{failure}");
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    };
    let sending = client.send(rules(&["127.0.0.1"]), request("GET", &format!("http://{address}/")));
    assert_eq!(tokio::join!(serving, sending).1.expect("there is a place").status, 200);
}

#[tokio::test]
async fn ws_32_a_node_that_stops_opens_no_sockets_and_does_not_wait_for_those_that_are_just_open() {
    let (listener, address) = listen().await;
    let parts = parts(OutgoingLimits::default());
    let sockets = parts.sockets.clone();
    let client = OutgoingClient::with(parts, Box::new(Names::default()), Arc::new(RootCertStore::empty));
    let connect = || client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        agree(&mut stream, "").await;
        stream
    };
    let (mut stream, opened) = tokio::join!(serving, connect());
    let opened = opened.expect("opened");
    sockets.stop().await;
    let (socket, end) = LooseSocket::joined(&ObjectLimits::default());
    (opened.start)(end);
    sockets.stop().now_or_never().expect("nothing is waited for");
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "a frame was sent");
    assert!(socket.next_event().is_none(), "the object was told");
    let failure = connect().await.expect_err("refused");
    assert_eq!(failure.code, "stopping", "{failure}");
}

#[tokio::test]
async fn ws_32_a_node_that_stops_waits_for_the_sockets_that_are_open_and_not_for_long() {
    let (listener, address) = listen().await;
    let parts = parts(OutgoingLimits::default());
    let sockets = parts.sockets.clone();
    let client = OutgoingClient::with(parts, Box::new(Names::default()), Arc::new(RootCertStore::empty));
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        agree(&mut stream, "").await;
        stream
    };
    let connecting = client.connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let (mut stream, opened) = tokio::join!(serving, connecting);
    let (socket, end) = LooseSocket::joined(&ObjectLimits::default());
    (opened.expect("opened").start)(end);
    // The server never answers a closing frame, so time alone ends the wait: it passes as soon as all wait for it.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    sockets.stop().await;
    let waited = begun.elapsed();
    tokio::time::resume();
    let answer_max = HttpLimits::default().socket_close_timeout;
    assert!(waited > Duration::ZERO && waited < answer_max, "{waited:?}");
    assert!(socket.next_event().is_none(), "the object was told");
    assert_eq!(stream.read_u8().await.expect("a frame"), 0x88, "a closing frame");
}

/// Takes longer to find a host than a server has for its answer.
struct SlowNames(SocketAddr);

impl FindAddresses for SlowNames {
    fn find(&self, _host: String, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = vec![self.0];
        async move {
            tokio::time::pause();
            tokio::time::advance(OutgoingLimits::default().head_timeout * 2).await;
            tokio::time::resume();
            Ok(found)
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_time_for_an_answer_begins_when_there_is_a_connection() {
    let (listener, address) = listen().await;
    let client = || {
        let hour = Duration::from_secs(3600);
        let limits = OutgoingLimits { connect_timeout: hour, ..OutgoingLimits::default() };
        OutgoingClient::with(parts(limits), Box::new(SlowNames(address)), Arc::new(RootCertStore::empty))
    };
    let rules = || rules(&["*", "127.0.0.1"]);
    let url = |scheme| format!("{scheme}://slow.test:{}/", address.port());
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        agree(&mut stream, "").await;
    };
    let (_, opened) = tokio::join!(serving, client().connect(rules(), request("GET", &url("ws"))));
    assert!(opened.is_ok(), "{:?}", opened.err());
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    };
    let (_, answered) = tokio::join!(serving, client().send(rules(), request("GET", &url("http"))));
    assert_eq!(answered.expect("answered").status, 200);
}

#[tokio::test]
async fn a_handshake_that_is_given_up_closes_its_connection() {
    let (listener, address) = listen().await;
    let connecting = client().connect(rules(&["127.0.0.1"]), request("GET", &format!("ws://{address}/")));
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        read_head(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        stream = serving => stream,
        _ = connecting => panic!("nobody answered"),
    };
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection is closed");
}
