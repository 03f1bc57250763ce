//! Serves connections of a bound listener until it is told to stop, then lets those that are under way
//! finish.
//!
//! HTTP/1.1 with limits on what a client can hold: size of the head, time to send it, connections at
//! once. Each connection is a task that this function owns and joins.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::serve::{Listener, ListenerExt, TapIo};
use durabo_model::limits::{self, HttpLimits};
use durabo_objects::client::Client;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client_body::{ClientBody, watch_body};
use crate::client_link::{ClientLink, Sign};
use crate::seats::{Seat, Seats};
use crate::sockets;
use crate::watched_body::{Answering, WatchedBody};

/// Limits of one listener; an operator may set them.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// What clients may take.
    pub http: HttpLimits,
    /// How long requests under way may go on after the stop signal.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { http: HttpLimits::default(), drain: Duration::from_secs(30) }
    }
}

/// A TCP listener whose connections are prepared for answers, small and large.
pub fn tcp(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(|stream| {
        // It works without, only not as well.
        if let Err(error) = sockets::prepare(stream) {
            tracing::debug!(%error, "a connection could not be prepared");
        }
    })
}

/// Accepts connections and answers their requests with `answer` until `stop` is done. Returns when all
/// connections are closed, or when `limits.drain` has passed and the rest were cut.
pub async fn serve<L, A, F, B>(
    mut listener: L,
    answer: A,
    serve_limits: ServeLimits,
    stop: impl Future<Output = ()>,
) where
    L: Listener<Io = TcpStream>,
    A: Fn(Request<ClientBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + Send + 'static,
{
    let (closing, is_closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let http = Arc::new(serve_limits.http.clone());
    let mut stop = pin!(stop);
    let seats = Seats::default();
    // The client that comes next, and whether an idle connection was told to make room for it.
    let (mut next, mut is_one_leaving) = (None, false);
    loop {
        let is_full = connections.len() >= serve_limits.http.connections_max;
        if !is_full && let Some(io) = next.take() {
            seats.is_enough();
            let seat = seats.take();
            connections.spawn(connection(io, answer.clone(), http.clone(), is_closing.clone(), seat));
        } else if next.is_some() && !is_one_leaving {
            is_one_leaving = seats.free_one();
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => {
                is_one_leaving = false;
                report(ended);
            }
            () = seats.changed(), if next.is_some() => is_one_leaving = false,
            (io, _) = listener.accept(), if next.is_none() => next = Some(io),
        }
    }
    // The port is free for a successor while the last requests end.
    drop(listener);
    closing.send_replace(true);
    let drained = tokio::time::timeout(serve_limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut at the end of the drain time");
        connections.shutdown().await;
    }
}

async fn connection<A, F, B>(
    io: TcpStream,
    answer: A,
    http: Arc<HttpLimits>,
    mut is_closing: watch::Receiver<bool>,
    seat: Seat,
) where
    A: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static,
{
    let link = ClientLink::new(io, http.write_timeout);
    let (watched, client, answering) = (link.clone(), Client::new(), Answering::default());
    let service = service_fn(|mut request| {
        let one = answering.begin();
        request.extensions_mut().insert(client.clone());
        if request.extensions().get::<OnUpgrade>().is_some() {
            // Whoever takes the connection over moves it to threads of its own.
            request.extensions_mut().insert(watched.clone());
        }
        let (request, rest) = watch_body(request);
        let response = answer(request);
        async {
            let mut response = response.await;
            if !rest.read_away().await {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response.map(|body| WatchedBody::new(body, one)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(http.head_timeout)
        .max_buf_size(limits::HEADERS_BYTES_MAX)
        // A client may shut down its sending side and still wait for the answer (B-55).
        .half_close(true)
        .serve_connection(TokioIo::new(link), service)
        .with_upgrades();
    let mut served = pin!(served);
    // An error here means that the sender is gone, which is a stop as well.
    let mut stopped = pin!(async { drop(is_closing.wait_for(|closing| *closing).await) });
    let mut is_stopping = false;
    let ended = poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            served.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = served.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        // Behind the server, which does not look while it answers, and may just have begun to.
        if answering.is_any()
            && !client.is_gone()
            && let Poll::Ready(sign) = watched.poll_sign(cx)
        {
            // What was read here the server may be waiting for.
            cx.waker().wake_by_ref();
            match sign {
                Sign::Sends => {}
                Sign::Ended => client.leave(),
                Sign::Broken(error) => {
                    client.leave();
                    return Poll::Ready(Err(error.to_string()));
                }
            }
        }
        // What the client has not taken of an answer is under way too.
        let is_idle = !answering.is_any() && !watched.is_writing();
        seat.poll_go(cx, is_idle).map(|()| Err("closed to make room for another client".to_owned()))
    });
    if let Err(error) = ended.await {
        // The client's doing: it left, sent what is no HTTP, or was idle while others waited.
        tracing::debug!(%error, "connection ended");
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "connection task failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use futures::StreamExt;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    /// A server that answers each request with `ok` once `release` says so.
    async fn server(
        limits: ServeLimits,
        release: watch::Receiver<bool>,
    ) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
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
        let (address, stop, served) = server(ServeLimits::default(), release).await;
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
        let _serving =
            tokio::spawn(serve(tcp(listener), answer, ServeLimits::default(), std::future::pending()));
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
            let noticed = tokio::time::timeout(Duration::from_secs(10), has_begun.recv()).await;
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
        let _serving =
            tokio::spawn(serve(tcp(listener), answer, ServeLimits::default(), std::future::pending()));
        // The client's system must not wait for much either before it tells that there is room.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a small buffer");
        let mut stream = socket.connect(address).await.expect("connect");
        stream.write_all(GET).await.expect("write");
        // Far more than the system holds in all.
        for taken in 0..60 {
            let before = *seen.borrow_and_update();
            stream.read_exact(&mut vec![0; LITTLE_BYTES]).await.expect("more");
            let more =
                tokio::time::timeout(Duration::from_secs(10), seen.wait_for(|pieces| *pieces > before));
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
        let second = tokio::spawn(async move { ask(address, GET).await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
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
}
