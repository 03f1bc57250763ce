//! Requests to the outside against servers of this machine, reached under names that only the tests know.
//!
//! Which rules allow what is tested in `model`; here is that they are asked, and when.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use durabo_model::egress::EgressRules;
use durabo_model::failure::Failure;
use durabo_model::limits::{HttpLimits, OutgoingLimits};
use durabo_model::random::Random;
use durabo_objects::body::{Body, channel};
use durabo_objects::event::{HttpRequest, HttpResponse};
use durabo_objects::outside::Outside;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::client::{ClientParts, OutgoingClient};
use super::lookup::FindAddresses;
use crate::websocket::tasks::SocketTasks;

mod sockets;

/// Answers in the order given, one a question.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<VecDeque<Vec<SocketAddr>>>>);

impl FindAddresses for Names {
    fn find(&self, host: String, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let answer = self.0.lock().expect("lock").pop_front();
        let answer = answer.ok_or_else(|| io::Error::other(format!("nobody was to ask for `{host}`")));
        async move { answer }.boxed()
    }
}

fn names(answers: impl IntoIterator<Item = Vec<SocketAddr>>) -> Names {
    Names(Arc::new(Mutex::new(answers.into_iter().collect())))
}

/// Counts instead.
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn parts(limits: OutgoingLimits) -> ClientParts {
    let sockets = Arc::new(SocketTasks::new(Handle::current(), &HttpLimits::default()));
    ClientParts { tasks: Handle::current(), limits, random: Arc::new(Counting::default()), sockets }
}

fn client_with(names: Names, roots: RootCertStore, limits: OutgoingLimits) -> OutgoingClient {
    OutgoingClient::with(parts(limits), Box::new(names), Arc::new(move || roots.clone()))
}

fn client() -> OutgoingClient {
    client_with(Names::default(), RootCertStore::empty(), OutgoingLimits::default())
}

fn rules(texts: &[&str]) -> Arc<EgressRules> {
    Arc::new(EgressRules::parse(texts).expect("rules"))
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: vec![("x-a".to_owned(), b"b".to_vec()), ("host".to_owned(), b"evil".to_vec())],
        body: Body::default(),
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = listener.local_addr().expect("address");
    (listener, address)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("more of the head"));
    }
    String::from_utf8(head).expect("UTF-8")
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str) -> String {
    let head = read_head(stream).await;
    stream.write_all(text.as_bytes()).await.expect("answered");
    stream.flush().await.expect("answered");
    head
}

/// Sends a request to a server that answers with `text`: what the server saw, and what came back.
async fn exchange(request: HttpRequest, text: &'static str) -> (String, Result<HttpResponse, Failure>) {
    let (listener, address) = listen().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        answer(&mut stream, text).await
    };
    let request = HttpRequest { url: request.url.replace("SERVER", &address.to_string()), ..request };
    let client = client();
    tokio::join!(serving, client.send(rules(&["127.0.0.1"]), request))
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_its_response_comes_back() {
    let text = "HTTP/1.1 418 x\r\nX-C: d\r\nset-cookie: a\r\nset-cookie: b\r\nkeep-alive: 1\r\ncontent-length: 3\r\n\r\ntea";
    let (seen, response) = exchange(request("PATCH", "http://SERVER/a?b=%20"), text).await;
    assert!(seen.starts_with("PATCH /a?b=%20 HTTP/1.1\r\n") && seen.contains("x-a: b\r\n"), "{seen}");
    assert!(seen.contains("host: 127.0.0.1:") && !seen.contains("evil"), "{seen}");
    let response = response.expect("a response");
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-c", "set-cookie", "set-cookie", "content-length"]);
    assert_eq!((response.status, response.body), (418, Body::from("tea")));
}

#[tokio::test]
async fn a_method_that_expects_a_body_says_that_there_is_none() {
    for (method, says_so) in
        [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)]
    {
        let (seen, response) = exchange(request(method, "http://SERVER/"), "HTTP/1.1 204 x\r\n\r\n").await;
        assert_eq!(response.expect("a response").status, 204);
        assert_eq!(seen.contains("content-length: 0\r\n"), says_so, "{seen}");
        assert!(!seen.contains("transfer-encoding"), "{seen}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_nothing_is_decompressed() {
    let text = "HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nno";
    let (_, response) = exchange(request("GET", "http://SERVER/"), text).await;
    let response = response.expect("a response");
    assert_eq!((response.status, response.body), (302, Body::from("no")));
    assert!(response.headers.contains(&("content-encoding".to_owned(), b"gzip".to_vec())));
}

#[tokio::test]
async fn a_long_response_comes_in_pieces_and_one_that_breaks_off_says_so() {
    let text = "HTTP/1.1 200 x\r\ncontent-length: 1000000\r\n\r\nthe beginning";
    let (_, response) = exchange(request("GET", "http://SERVER/"), text).await;
    let Body::Pieces(mut pieces) = response.expect("a response").body else { panic!("in pieces") };
    assert_eq!(pieces.bytes(), Some(1_000_000));
    assert_eq!(pieces.piece().await, Some(Ok(Bytes::from("the beginning"))));
    let failure = pieces.piece().await.expect("more").expect_err("broken off");
    assert_eq!(failure.code, "body-broken");
}

#[tokio::test]
async fn a_response_of_unknown_length_comes_in_pieces() {
    let text = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let (_, response) = exchange(request("GET", "http://SERVER/"), text).await;
    let Body::Pieces(mut pieces) = response.expect("a response").body else { panic!("in pieces") };
    let mut all = Vec::new();
    while let Some(piece) = pieces.piece().await {
        all.extend_from_slice(&piece.expect("good"));
    }
    assert_eq!((pieces.bytes(), &all[..]), (None, &b"abc"[..]));
}

async fn assert_sent_in_pieces(method: &str) {
    let (listener, address) = listen().await;
    let (writer, pieces) = channel();
    let mut request = request(method, &format!("http://{address}/"));
    request.headers.push(("transfer-encoding".to_owned(), b"gzip".to_vec()));
    request.body = Body::Pieces(pieces);
    let sending = tokio::spawn(client().send(rules(&["127.0.0.1"]), request));
    let (mut stream, _) = listener.accept().await.expect("accept");
    let head = read_head(&mut stream).await;
    assert!(head.starts_with(method) && head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("gzip") && !head.contains("content-length"), "{head}");
    for piece in ["ab", "c"] {
        writer.take(piece.len());
        writer.let_out(Bytes::from(piece));
        let mut chunk = vec![0; piece.len() + 5];
        stream.read_exact(&mut chunk).await.expect("a chunk");
        assert_eq!(chunk, format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
    }
    writer.close();
    writer.end(Ok(()));
    stream.read_exact(&mut [0; 5]).await.expect("the end");
    stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").await.expect("answered");
    assert_eq!(sending.await.expect("sent").expect("a response").status, 204, "{method}");
}

#[tokio::test]
async fn a_body_in_pieces_is_sent_as_it_is_written_whatever_the_method() {
    for method in ["POST", "DELETE", "GET", "HEAD"] {
        assert_sent_in_pieces(method).await;
    }
}

#[tokio::test]
async fn what_no_rule_allows_is_refused_before_anything_is_asked() {
    for (texts, url) in [
        (&[][..], "http://example.com/"),
        (&["other.com", "10.0.0.0/8"], "http://example.com/"),
        (&["example.com:443"], "http://example.com/"),
        (&["*"], "http://127.0.0.1:1/"),
        (&["*"], "http://169.254.169.254/latest/meta-data"),
        (&["*"], "http://[::ffff:127.0.0.1]:1/"),
        (&["*"], "http://[::1]:1/"),
    ] {
        let failure = client().send(rules(texts), request("GET", url)).await.expect_err(url);
        assert_eq!(failure.code, "egress-denied", "{url}: {failure}");
    }
}

#[tokio::test]
async fn a_name_whose_address_is_not_allowed_is_refused_after_it_was_found() {
    let (_listener, address) = listen().await;
    for found in
        [address.to_string(), format!("[::ffff:127.0.0.1]:{}", address.port()), "0.0.0.0:1".to_owned()]
    {
        let names = names([vec![found.parse().expect("address")]]);
        let client = client_with(names, RootCertStore::empty(), OutgoingLimits::default());
        let url = format!("http://inside.test:{}/", address.port());
        let failure =
            client.send(rules(&["*", "10.0.0.0/8"]), request("GET", &url)).await.expect_err("refused");
        assert_eq!(failure.code, "egress-denied", "{found}: {failure}");
    }
}

#[tokio::test]
async fn the_connection_is_made_to_the_address_that_was_checked() {
    let (listener, address) = listen().await;
    // The first is not allowed and the second is; a second question would be answered by neither.
    let names = names([vec!["10.0.0.1:1".parse().expect("address"), address]]);
    let client = client_with(names.clone(), RootCertStore::empty(), OutgoingLimits::default());
    let url = format!("http://named.test:{}/", address.port());
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        answer(&mut stream, "HTTP/1.1 204 x\r\n\r\n").await
    };
    let sent = client.send(rules(&["named.test", "127.0.0.1"]), request("GET", &url));
    let (seen, response) = tokio::join!(serving, sent);
    assert_eq!(response.expect("a response").status, 204);
    assert!(seen.contains("host: named.test:"), "{seen}");
    assert!(names.0.lock().expect("lock").is_empty());
}

/// Accepts one encrypted connection with a certificate for `secure.test`; `None` if the client does not trust it.
async fn accept_encrypted(listener: TcpListener) -> Option<TlsStream<TcpStream>> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("test_certificates/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("test_certificates/server.key.pem"));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("certificate")], key.expect("key"))
        .expect("a server");
    let (stream, _) = listener.accept().await.expect("accept");
    TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()
}

/// Serves one encrypted request.
async fn serve_encrypted(listener: TcpListener) {
    // A client that does not trust it goes away.
    if let Some(mut stream) = accept_encrypted(listener).await {
        answer(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 6\r\n\r\nsecret").await;
    }
}

async fn ask_encrypted(host: &str, roots: RootCertStore) -> Result<HttpResponse, Failure> {
    let (listener, address) = listen().await;
    tokio::spawn(serve_encrypted(listener));
    let client = client_with(names([vec![address]]), roots, OutgoingLimits::default());
    let url = format!("https://{host}:{}/", address.port());
    client.send(rules(&["*", "127.0.0.1"]), request("GET", &url)).await
}

fn trusted() -> RootCertStore {
    let root = CertificateDer::from_pem_slice(include_bytes!("test_certificates/root.pem")).expect("root");
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    roots
}

fn another() -> RootCertStore {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("test_certificates/server.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.expect("certificate")).expect("a root");
    roots
}

#[tokio::test]
async fn an_encrypted_request_goes_to_a_server_that_is_trusted_for_that_name_only() {
    let response = ask_encrypted("secure.test", trusted()).await.expect("trusted");
    assert_eq!(response.body, Body::from("secret"));
    for (host, roots) in
        [("other.test", trusted()), ("secure.test", another()), ("secure.test", RootCertStore::empty())]
    {
        let failure = ask_encrypted(host, roots).await.expect_err(host);
        assert_eq!(failure.code, "outgoing-failed", "{host}: {failure}");
    }
}

#[tokio::test]
async fn trusted_certificates_are_read_at_the_first_request_that_needs_them_and_once() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let read_roots = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        trusted()
    };
    let ((first, first_address), (second, second_address)) = (listen().await, listen().await);
    let names = Box::new(names([vec![first_address], vec![second_address]]));
    let client = OutgoingClient::with(parts(OutgoingLimits::default()), names, Arc::new(read_roots));
    assert_eq!(reads.load(Ordering::SeqCst), 0);
    for (listener, address) in [(first, first_address), (second, second_address)] {
        tokio::spawn(serve_encrypted(listener));
        let url = format!("https://secure.test:{}/", address.port());
        client.send(rules(&["*", "127.0.0.1"]), request("GET", &url)).await.expect("trusted");
        assert_eq!(reads.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { head_timeout: Duration::from_millis(50), ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let sent = client.send(rules(&["127.0.0.1"]), request("GET", &format!("http://{address}/")));
    let failure = sent.await.expect_err("given up");
    assert!(failure.code == "outgoing-failed" && failure.message.contains("0.05 s"), "{failure}");
    drop(listener);
}

#[tokio::test]
async fn what_is_no_response_is_an_error() {
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 200 x\r\nx-a: {}\r\n\r\n", "a".repeat(200_000)).into_boxed_str());
    for text in ["", "what?\r\n\r\n", "HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n", long] {
        let (_, response) = exchange(request("GET", "http://SERVER/"), text).await;
        assert_eq!(response.expect_err("no response").code, "outgoing-failed");
    }
    // Bound, so that nobody else gets its port, and not listening.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    let sent = client().send(rules(&["127.0.0.1"]), request("GET", &format!("http://{address}/")));
    assert_eq!(sent.await.expect_err("nobody listens").code, "outgoing-failed");
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let (listener, address) = listen().await;
    let sending = client().send(rules(&["127.0.0.1"]), request("GET", &format!("http://{address}/")));
    let serving = async {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.expect("accept");
        read_head(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        stream = serving => stream,
        _ = sending => panic!("nobody answered"),
    };
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection is closed");
}

#[tokio::test]
async fn upgrades_tunnels_and_odd_urls_are_refused() {
    let mut upgrade = request("GET", "http://127.0.0.1:1/");
    upgrade.headers.push(("Upgrade".to_owned(), b"websocket".to_vec()));
    for request in [upgrade, request("CONNECT", "http://127.0.0.1:1/"), request("GET", "file:///etc/passwd")]
    {
        let failure = client().send(rules(&["127.0.0.1"]), request).await.expect_err("refused");
        assert_eq!(failure.code, "invalid-argument");
    }
}

#[tokio::test]
async fn a_request_beyond_those_that_the_node_may_have_under_way_fails_at_once() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { connections_max: 1, ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let url = format!("http://{address}/");
    let send = || client.send(rules(&["127.0.0.1"]), request("GET", &url));
    let first = tokio::spawn(send());
    let (mut stream, _) = listener.accept().await.expect("accept");
    let failure = send().await.expect_err("one is under way");
    assert_eq!(failure.code, "outgoing-failed");
    assert!(failure.message.contains("has 1 requests to the outside under way"), "{failure}");
    answer(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 1000000\r\n\r\nbegun").await;
    let response = first.await.expect("no panic").expect("a response");
    assert!(send().await.is_err(), "its body is open");
    drop(response);
    // The place is free when the task of the connection has ended.
    let second = loop {
        let mut sending = send();
        tokio::select! {
            failed = &mut sending => drop(failed.expect_err("nobody answers")),
            accepted = listener.accept() => break accepted.expect("accept"),
        }
    };
    drop(second);
}

/// Never finds anything.
struct SilentNames;

impl FindAddresses for SilentNames {
    fn find(&self, _host: String, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        std::future::pending().boxed()
    }
}

#[tokio::test]
async fn a_host_that_is_not_found_in_time_is_given_up() {
    let limits = OutgoingLimits { connect_timeout: Duration::from_millis(50), ..OutgoingLimits::default() };
    let client = OutgoingClient::with(parts(limits), Box::new(SilentNames), Arc::new(RootCertStore::empty));
    let failure =
        client.send(rules(&["*"]), request("GET", "http://a.example/")).await.expect_err("given up");
    assert!(failure.code == "outgoing-failed" && failure.message.contains("0.05 s"), "{failure}");
}

#[tokio::test]
async fn a_response_that_falls_silent_breaks_off() {
    let (listener, address) = listen().await;
    let limits = OutgoingLimits { body_silence_max: Duration::from_millis(50), ..OutgoingLimits::default() };
    let client = client_with(Names::default(), RootCertStore::empty(), limits);
    let sending =
        tokio::spawn(client.send(rules(&["127.0.0.1"]), request("GET", &format!("http://{address}/"))));
    let (mut stream, _) = listener.accept().await.expect("accept");
    answer(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 1000000\r\n\r\nbegun").await;
    let Body::Pieces(mut pieces) = sending.await.expect("no panic").expect("a response").body else {
        panic!("in pieces")
    };
    assert_eq!(pieces.piece().await, Some(Ok(Bytes::from("begun"))));
    assert_eq!(pieces.piece().await.expect("more").expect_err("silent").code, "body-broken");
}
