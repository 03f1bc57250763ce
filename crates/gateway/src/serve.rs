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
mod tests;
