//! Sends requests of objects to the outside and brings their responses back, or the WebSocket that one has opened.
//!
//! No redirect is followed, nothing is decompressed, no cookie is kept, and no proxy of the environment is
//! asked: what the object said is sent, and what came is returned. Work is done in the threads of HTTP, and
//! given up when the object gives it up.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use durabo_model::egress::EgressRules;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{self, OutgoingLimits};
use durabo_model::random::Random;
use durabo_objects::body;
use durabo_objects::event::{Headers, HttpRequest, HttpResponse};
use durabo_objects::outside::{OpenedSocket, Outside};
use futures::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::connect::{Connection, Connector};
use super::handshake::{NotAgreed, OutgoingHandshake};
use super::lookup::{FindAddresses, Lookups, SystemNames};
use super::progress::{Progress, WatchedRequest};
use super::target::Target;
use super::trust::{self, ReadRoots, Trust};
use crate::hop_by_hop::is_hop_by_hop;
use crate::received_body::{ReceiveLimit, receive};
use crate::sent_body::SentBody;
use crate::task_end::failure_of_task;
use crate::websocket::masks::Masks;
use crate::websocket::tasks::{OutgoingConnection, SocketTasks};

/// Sends requests; clones are the same client.
#[derive(Clone)]
pub struct OutgoingClient(Arc<Inner>);

struct Inner {
    tasks: Handle,
    connector: Connector,
    limits: OutgoingLimits,
    /// One for each connection that may be made.
    places: Arc<Semaphore>,
    /// Half as many for WebSockets, which stay long: they would leave none for requests.
    socket_places: Arc<Semaphore>,
    random: Arc<dyn Random>,
    sockets: Arc<SocketTasks>,
}

/// What a client works with.
pub struct ClientParts {
    /// Where its work is done.
    pub tasks: Handle,
    /// What its requests may take.
    pub limits: OutgoingLimits,
    /// For keys and masks of WebSockets.
    pub random: Arc<dyn Random>,
    /// Where WebSockets go on once they are open.
    pub sockets: Arc<SocketTasks>,
}

/// A task that ends with its owner.
struct OwnedTask<T>(JoinHandle<T>);

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OutgoingClient {
    /// A client that trusts the certificates that the system trusts, read when the first request needs them.
    pub fn new(parts: ClientParts) -> Self {
        Self::with(parts, Box::new(SystemNames), Arc::new(trust::of_system))
    }

    /// A client that finds addresses by `names` and trusts what `read_roots` gives.
    pub(super) fn with(parts: ClientParts, names: Box<dyn FindAddresses>, read_roots: ReadRoots) -> Self {
        let ClientParts { tasks, limits, random, sockets } = parts;
        let lookups = Lookups::new(tasks.clone(), names, limits.lookups_max);
        let connector = Connector::new(lookups, Trust::new(read_roots), &limits);
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        let places = semaphore(limits.connections_max);
        let socket_places = semaphore(sockets_max(&limits));
        Self(Arc::new(Inner { tasks, connector, limits, places, socket_places, random, sockets }))
    }

    /// Does `work` in the client's threads, until it has ended or nobody waits for it any more.
    fn run<T, W>(&self, work: impl FnOnce(Arc<Inner>) -> W) -> BoxFuture<'static, Result<T, Failure>>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let (inner, work) = (self.0.clone(), work(self.0.clone()));
        Box::pin(async move {
            let mut task = OwnedTask(inner.tasks.spawn(work));
            (&mut task.0).await.unwrap_or_else(|ended| Err(failure_of_task(ended)))
        })
    }
}

impl Outside for OutgoingClient {
    fn send(
        &self,
        rules: Arc<EgressRules>,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, Failure>> {
        self.run(|inner| async move { inner.send(&rules, request).await })
    }

    fn connect(
        &self,
        rules: Arc<EgressRules>,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<OpenedSocket, Failure>> {
        self.run(|inner| async move { inner.connect(&rules, request).await })
    }
}

impl Inner {
    async fn send(&self, rules: &EgressRules, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let target = Target::parse(&request.url)?;
        let (request, progress) = request_for(&target, request)?;
        let place = self.place(&target)?;
        let connection = self.connector.connect(&target, rules).await?;
        let is_head = request.method() == Method::HEAD;
        let (connection, mut sender) = self.speak(&target, connection, place).await?;
        progress.begin();
        let response = self.head(&target, sender.send_request(request), progress).await?;
        self.response_of(&target, response, is_head, connection).await
    }

    async fn connect(&self, rules: &EgressRules, mut request: HttpRequest) -> Result<OpenedSocket, Failure> {
        let target = Target::parse_websocket(&request.url)?;
        let handshake = OutgoingHandshake::new(&mut request, &*self.random)?;
        let (mut request, progress) = request_for(&target, request)?;
        handshake.ask(request.headers_mut());
        if self.sockets.is_stopping() {
            return Err(Failure::new(ErrorCode::Stopping, "the node stops and opens no WebSockets"));
        }
        let places = [self.socket_place(&target)?, self.place(&target)?];
        let connection = self.connector.connect(&target, rules).await?;
        // The places are the socket's, and not those of the connection before it is one.
        let (_connection, mut sender) = self.speak(&target, connection, ()).await?;
        progress.begin();
        let response = self.head(&target, sender.send_request(request), progress).await?;
        let (parts, body) = response.into_parts();
        let protocol = handshake.agreed(&parts).map_err(|reason| not_agreed(&target, &reason))?;
        let upgraded = hyper::upgrade::on(Response::from_parts(parts, body));
        let io = upgraded.await.map_err(|error| target.failed(&causes(&error)))?;
        let outgoing = OutgoingConnection { io, masks: Masks::new(self.random.clone()), places };
        let (tasks, sockets) = (self.tasks.clone(), self.sockets.clone());
        let start = Box::new(move |client| sockets.start_outgoing(&tasks, outgoing, client));
        Ok(OpenedSocket { protocol, start })
    }

    /// A place for one more connection. Nobody waits here: a slow server would hold up requests to all others.
    fn place(&self, target: &Target) -> Result<OwnedSemaphorePermit, Failure> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            let max = self.limits.connections_max;
            target.failed(&format!("the node has {max} requests to the outside under way; retry later"))
        })
    }

    /// A place for one more WebSocket, besides the one for its connection.
    fn socket_place(&self, target: &Target) -> Result<OwnedSemaphorePermit, Failure> {
        self.socket_places.clone().try_acquire_owned().map_err(|_| {
            let max = sockets_max(&self.limits);
            target.failed(&format!("the node has {max} WebSockets to the outside; retry later"))
        })
    }

    /// The head of the response, if it comes in time.
    async fn head(
        &self,
        target: &Target,
        response: impl Future<Output = hyper::Result<Response<Incoming>>>,
        progress: Progress,
    ) -> Result<Response<Incoming>, Failure> {
        tokio::select! {
            response = response => response.map_err(|error| target.failed(&causes(&error))),
            () = progress.stalled(self.limits.head_timeout) => {
                let seconds = self.limits.head_timeout.as_secs_f64();
                Err(target.failed(&format!("no response within {seconds} s")))
            }
        }
    }

    /// Speaks HTTP over a connection; `held` is let go when that has ended.
    async fn speak(
        &self,
        target: &Target,
        connection: Box<dyn Connection>,
        held: impl Send + 'static,
    ) -> Result<(OwnedTask<()>, http1::SendRequest<WatchedRequest>), Failure> {
        let spoken = http1::Builder::new()
            .max_buf_size(limits::HEADERS_BYTES_MAX)
            .handshake::<_, WatchedRequest>(TokioIo::new(connection));
        let (sender, connection) = spoken.await.map_err(|error| target.failed(&causes(&error)))?;
        let driven = self.tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                // Whoever waits for the response or its body learns of it there.
                tracing::debug!(%error, "connection to the outside ended");
            }
            drop(held);
        });
        Ok((OwnedTask(driven), sender))
    }

    async fn response_of(
        &self,
        target: &Target,
        response: Response<Incoming>,
        is_head: bool,
        connection: OwnedTask<()>,
    ) -> Result<HttpResponse, Failure> {
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        if !(200..=599).contains(&status) {
            return Err(target.failed(&format!("it answered with status {status}")));
        }
        let headers = headers_of(&parts.headers);
        if is_head {
            return Ok(HttpResponse { status, headers, body: body::Body::default(), upgrade: None });
        }
        let silence_max = self.limits.body_silence_max;
        let body = ServerBody { body, _connection: connection };
        // Without the fields: its length is what the connection makes of them.
        let limit = ReceiveLimit { bytes_max: u64::MAX, silence_max };
        let body = receive(&HeaderMap::new(), body, limit).await;
        let body = body.map_err(|fault| fault.broken_off(silence_max))?;
        Ok(HttpResponse { status, headers, body, upgrade: None })
    }
}

/// WebSockets among the connections that may be made.
fn sockets_max(limits: &OutgoingLimits) -> usize {
    limits.connections_max.div_ceil(2)
}

/// The body of a response, with the task that brings it.
struct ServerBody {
    body: Incoming,
    _connection: OwnedTask<()>,
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request as it is sent. The node's are host, framing and what belongs to the connection.
fn request_for(
    target: &Target,
    request: HttpRequest,
) -> Result<(Request<WatchedRequest>, Progress), Failure> {
    let invalid = |text: String| Failure::new(ErrorCode::InvalidArgument, text);
    let method = Method::from_bytes(request.method.as_bytes())
        .ok()
        .filter(|method| *method != Method::CONNECT)
        .ok_or_else(|| invalid(format!("method `{}` cannot be sent", request.method.escape_debug())))?;
    if request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade")) {
        return Err(invalid("a request to the outside cannot ask for an upgrade".to_owned()));
    }
    let (body, progress) = WatchedRequest::new(SentBody::from(request.body));
    let mut sent = Request::new(body);
    *sent.method_mut() = method;
    *sent.uri_mut() =
        target.path.parse().map_err(|error| invalid(format!("the path cannot be sent: {error}")))?;
    let headers = sent.headers_mut();
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("`{}` is not the name of a header", name.escape_debug())))?;
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .map_err(|_| invalid(format!("the value of header `{name}` cannot be sent")))?;
        if name != header::HOST && name != header::CONTENT_LENGTH && !is_hop_by_hop(name.as_str()) {
            headers.append(name, value);
        }
    }
    let host = HeaderValue::try_from(&target.authority)
        .map_err(|_| invalid("the host cannot be sent".to_owned()))?;
    headers.insert(header::HOST, host);
    // The HTTP library leaves it out where there is no body; some servers refuse a request that does not say so.
    let expects_body = matches!(*sent.method(), Method::POST | Method::PUT | Method::PATCH);
    if expects_body && sent.body().is_end_stream() {
        sent.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    // The library would take it that a `GET` or `HEAD` of unknown length has no body.
    if !sent.body().is_end_stream() && sent.body().size_hint().exact().is_none() {
        sent.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let headers = sent.headers_mut();
    // A connection serves one request.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok((sent, progress))
}

/// Says why a server's answer opens no WebSocket; its status is in the details, so that an object can tell.
fn not_agreed(target: &Target, reason: &NotAgreed) -> Failure {
    match reason {
        NotAgreed::Wrong(text) => target.failed(text),
        NotAgreed::Status(status) => {
            let status = status.as_u16();
            let text = format!("it answered with status {status} instead of opening a WebSocket");
            let mut details = Vec::new();
            ciborium::into_writer(&BTreeMap::from([("status", status)]), &mut details)
                .expect("BUG: a vector takes all that is written");
            Failure { details: Some(details), ..target.failed(&text) }
        }
    }
}

fn headers_of(headers: &HeaderMap) -> Headers {
    let kept = headers.iter().filter(|(name, _)| !is_hop_by_hop(name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// An error with all that caused it.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
