//! What clients of the server see: answers, bounds, stops, and a connection that becomes a WebSocket.
//!
//! Servers here are real ones, on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Plain};
use std::sync::mpsc::channel;

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use http_body_util::{Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::*;
use crate::websocket::handshake::handshake;

/// How long is waited for what should come soon.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Its address, what stops it, and its task.
type Server = (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>);

/// A server that answers each request with `ok` once `release` says so.
async fn server(limits: ServeLimits, release: watch::Receiver<bool>) -> Server {
    server_at("127.0.0.1", limits, release).await
}

async fn server_at(host: &str, limits: ServeLimits, release: watch::Receiver<bool>) -> Server {
    let listener = TcpListener::bind((host, 0)).await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = oneshot::channel();
    let answer = move |_| {
        let mut release = release.clone();
        async move {
            drop(release.wait_for(|open| *open).await);
            Response::new(Full::new(Bytes::from_static(b"ok")))
        }
    };
    let stopped = async { drop(stopped.await) };
    (address, stop, tokio::spawn(serve(tcp(listener), answer, limits, stopped)))
}

fn http_limits(change: impl FnOnce(&mut HttpLimits)) -> ServeLimits {
    let mut limits = ServeLimits::default();
    change(&mut limits.http);
    limits
}

async fn ask(address: SocketAddr, head: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(head).await.expect("write");
    let mut answer = Vec::new();
    // The server may close before it has read all; what it said first is what counts.
    while stream.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {}
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_and_a_stop_ends_an_idle_server() {
    let (_open, release) = watch::channel(true);
    // Nobody else listens at this address, so that none gets the port when it is free again.
    let (address, stop, served) = server_at("127.0.0.2", ServeLimits::default(), release).await;
    assert!(ask(address, GET).await.ends_with("\r\n\r\nok"));
    stop.send(()).expect("serving");
    served.await.expect("served");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_under_way_is_finished_after_the_stop() {
    let (open, release) = watch::channel(false);
    let (address, stop, served) = server(ServeLimits::default(), release).await;
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("write");
    // The answer waits for us, so by now the request is certain to be under way or queued.
    while open.receiver_count() < 3 {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("serving");
    open.send_replace(true);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.ends_with("ok"), "{answer}");
    served.await.expect("served");
}

#[tokio::test]
async fn what_does_not_end_is_cut_when_the_drain_time_is_over() {
    let (open, release) = watch::channel(false);
    let limits = ServeLimits { drain: Duration::from_millis(20), ..ServeLimits::default() };
    let (address, stop, served) = server(limits, release).await;
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(GET).await.expect("write");
    while open.receiver_count() < 3 {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("serving");
    served.await.expect("served");
    let mut answer = Vec::new();
    assert_eq!(stream.read_to_end(&mut answer).await.unwrap_or_default(), 0);
}

/// Such a request has no bytes to come that would wake its connection.
#[tokio::test]
async fn st_10_a_client_that_leaves_before_the_first_byte_of_its_answer_is_noticed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let answer = move |request: Request<ClientBody>| {
        let (begun, mut released) = (begun.clone(), released.clone());
        async move {
            begun.send("begun").expect("the test listens");
            if request.uri() == "/first" {
                drop(released.wait_for(|released| *released).await);
                return Response::new(Full::new(Bytes::from_static(b"ok")));
            }
            let client = request.extensions().get::<Client>().expect("a client").clone();
            // The object's task, which goes on also if the connection is broken.
            tokio::spawn(async move {
                poll_fn(|cx| client.poll_gone(cx)).await;
                begun.send("gone").expect("the test listens");
            });
            std::future::pending().await
        }
    };
    let _serving = tokio::spawn(serve(tcp(listener), answer, ServeLimits::default(), std::future::pending()));
    for is_behind_another in [false, true] {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        if is_behind_another {
            stream.write_all(b"GET /first HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("write");
            assert_eq!(has_begun.recv().await, Some("begun"));
        }
        stream.write_all(GET).await.expect("write");
        if is_behind_another {
            // By now the watch has read the second one, or it is as if both had come at once.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            release.send_replace(true);
        }
        assert_eq!(has_begun.recv().await, Some("begun"));
        drop(stream);
        let noticed = tokio::time::timeout(ANSWER_MAX, has_begun.recv()).await;
        assert_eq!(noticed.expect("noticed"), Some("gone"), "behind another: {is_behind_another}");
    }
}

/// Whoever takes a little must be seen to do so: the system must not wait for much before it takes more.
#[tokio::test]
async fn a_client_that_takes_a_little_makes_room_for_more() {
    const LITTLE_BYTES: usize = 256 * 1024;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (written, mut seen) = watch::channel(0_u64);
    let answer = move |_| {
        let written = written.clone();
        let piece = move |()| {
            written.send_modify(|pieces| *pieces += 1);
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024])))
        };
        async { Response::new(StreamBody::new(futures::stream::repeat(()).map(piece))) }
    };
    let _serving = tokio::spawn(serve(tcp(listener), answer, ServeLimits::default(), std::future::pending()));
    // The client's system must not wait for much either before it tells that there is room.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("connect");
    stream.write_all(GET).await.expect("write");
    // Far more than the system holds in all.
    for taken in 0..60 {
        let before = *seen.borrow_and_update();
        stream.read_exact(&mut vec![0; LITTLE_BYTES]).await.expect("more");
        let more = tokio::time::timeout(ANSWER_MAX, seen.wait_for(|pieces| *pieces > before));
        assert!(
            more.await.is_ok(),
            "nothing was written after {taken} times {LITTLE_BYTES} bytes were taken"
        );
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_costs_neither_the_answer_nor_the_connection() {
    let (_open, release) = watch::channel(true);
    let (address, _stop, _served) = server(ServeLimits::default(), release).await;
    let mut requests = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40000\r\n\r\n".to_vec();
    requests.resize(requests.len() + 40_000, b'x');
    requests.extend_from_slice(GET);
    let answers = ask(address, &requests).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_is_not_given_it_in_vain() {
    let (_open, release) = watch::channel(true);
    let (address, _stop, _served) = server(ServeLimits::default(), release).await;
    let head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n";
    let answer = ask(address, head).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let (_open, release) = watch::channel(true);
    let (address, _stop, _served) = server(ServeLimits::default(), release).await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-a: {}\r\n\r\n", "a".repeat(200_000));
    let answer = ask(address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_dropped() {
    let (_open, release) = watch::channel(true);
    let limits = http_limits(|http| http.head_timeout = Duration::from_millis(20));
    let (address, _stop, _served) = server(limits, release).await;
    assert!(!ask(address, b"GET / HT").await.contains("ok"));
}

#[tokio::test]
async fn further_connections_wait_while_all_others_are_answered() {
    let (open, release) = watch::channel(false);
    let limits = http_limits(|http| http.connections_max = 1);
    let (address, _stop, _served) = server(limits, release).await;
    let mut first = TcpStream::connect(address).await.expect("first");
    first.write_all(GET).await.expect("write");
    while open.receiver_count() < 3 {
        tokio::task::yield_now().await;
    }
    let (tell, told) = oneshot::channel();
    let second = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("second");
        stream.write_all(GET).await.expect("write");
        tell.send(()).expect("the test waits");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    });
    told.await.expect("written");
    // Whoever came later is answered by another server of this runtime: by now the second would have been, too.
    let (_other_open, other_release) = watch::channel(true);
    let (other, _other_stop, _other_served) = server(ServeLimits::default(), other_release).await;
    assert!(ask(other, GET).await.ends_with("ok"));
    assert_eq!(open.receiver_count(), 3, "only the first is answered");
    open.send_replace(true);
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.expect("read");
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(second.await.expect("second").ends_with("ok"));
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_one_that_waits() {
    let (_open, release) = watch::channel(true);
    let limits = http_limits(|http| http.connections_max = 2);
    let (address, _stop, _served) = server(limits, release).await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("write");
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            assert!(stream.read_buf(&mut answer).await.expect("read") > 0, "{answer:?}");
        }
        idle.push(stream);
    }
    let mut rest = Vec::new();
    assert_eq!(idle[0].read_to_end(&mut rest).await.unwrap_or_default(), 0, "the first is closed");
}

const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

#[test]
fn an_open_connection_needs_nothing_of_the_runtime_that_serves_http() {
    let (of_http, of_sockets, (opened, is_open)) = (runtime(), runtime(), channel());
    let listener = of_http.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("bound");
    let sockets = of_sockets.handle().clone();
    let answer = move |request: Request<_>| {
        let (parts, _) = request.into_parts();
        let handshake = handshake(&parts).expect("a good one").expect("a WebSocket");
        let (opened, mut response) = (opened.clone(), Response::new(Empty::<Bytes>::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        handshake.answer(response.headers_mut(), "");
        let connection = handshake.connection;
        sockets.spawn(async move {
            let (mut read, mut write) = split(TokioIo::new(connection.opened().await.expect("open")));
            opened.send(()).expect("the test waits");
            copy(&mut read, &mut write).await.expect("an echo");
        });
        async move { response }
    };
    of_http.spawn(serve(tcp(listener), answer, ServeLimits::default(), std::future::pending()));
    let mut client = Plain::connect(address).expect("connected");
    client.set_read_timeout(Some(ANSWER_MAX)).expect("set");
    client.write_all(ASKED).expect("sent");
    is_open.recv_timeout(ANSWER_MAX).expect("the connection is open");
    of_http.shutdown_timeout(ANSWER_MAX);
    client.write_all(b"ping").expect("sent");
    let mut came = Vec::new();
    while !came.ends_with(b"ping") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an echo");
        came.push(byte[0]);
    }
    assert!(came.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&came));
}
