//! HTTP: the request that `fetch` gets and the response it returns, and requests to the outside.
//!
//! Any status is a success of the handler; a [`Failure`] that it returns reaches a client as 500 with the
//! error record (ST-4). Body and headers are the author's, framing and `content-length` the host's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::http as wit;
pub use crate::body::{BODY_BYTES_MAX, Body, BodyWriter};
use crate::failure::Failure;
use crate::url;

/// A request: as it was sent to the object, or to be sent to another object or the outside.
#[derive(Debug)]
pub struct Request {
    /// Without its body.
    inner: wit::Request,
    body: Body,
}

impl Request {
    /// A request without headers and body, to be [sent](Self::send) to the outside or given to the stub of
    /// another object. The URL is absolute; its host part is free text for an object.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self::from_host(wit::Request { method, url, headers: Vec::new(), body: wit::Body::Empty })
    }

    /// A `GET` request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// With one more header. Each character of the value is one byte, up to U+00FF.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.inner.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// With another body: bytes, a text, or a [`Body`].
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request to the outside, if the app's egress rules allow it (code `egress-denied`), and waits
    /// for the head of the response; any status is one. It leaves when everything that was written to storage
    /// before is durable (OG-3). Redirects are not followed, nothing is decompressed. Six requests of an event
    /// are under way at a time, others wait (LC-14). Dropping this gives the request up.
    pub async fn send(self) -> Result<Response, Failure> {
        wit::send(self.into_host()).await.map(Response::from_host).map_err(Failure::from_host)
    }

    /// The method as sent: `GET`, `POST`…
    pub fn method(&self) -> &str {
        &self.inner.method
    }

    /// The whole URL.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The path after the object's address, as sent; at least `/`.
    pub fn path(&self) -> &str {
        url::split(&self.inner.url).0
    }

    /// The segments of the path, each decoded.
    pub fn segments(&self) -> Vec<String> {
        url::segments(self.path())
    }

    /// The first value of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        url::query_value(url::split(&self.inner.url).1, name)
    }

    /// The first header of that name, in any letter case. Each byte of the value is one character.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.inner.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it asks for a WebSocket, which [`Sockets::accept`](crate::Sockets::accept) accepts.
    pub fn wants_websocket(&self) -> bool {
        self.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }

    /// All headers in the order of their arrival, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The whole body; see [`Body::bytes`].
    pub async fn bytes(self) -> Result<Vec<u8>, Failure> {
        self.body.bytes().await
    }

    /// The whole body as text; see [`Body::text`].
    pub async fn text(self) -> Result<String, Failure> {
        self.body.text().await
    }

    /// The whole body read as JSON; see [`Body::json`].
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        self.body.json().await
    }

    /// The body, to be read in pieces.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, to be kept or passed on; an empty one stays behind.
    pub fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::empty())
    }

    pub(crate) fn into_host(self) -> wit::Request {
        let Self { mut inner, body } = self;
        inner.body = body.into_host();
        inner
    }

    pub(crate) fn from_host(mut inner: wit::Request) -> Self {
        let body = std::mem::replace(&mut inner.body, wit::Body::Empty);
        Self { inner, body: Body::from_host(body) }
    }
}

/// An answer to a request: the object's own, another object's, or from outside.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    /// The client's end of a socket on its way to the client.
    upgrade: Option<wit::Upgrade>,
}

impl Response {
    /// A response without body. Valid are 200 to 599; the host refuses others.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::empty(), upgrade: None }
    }

    /// 200 with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200)
            .with_header("content-type", "text/plain; charset=utf-8")
            .with_body(text.into().into_bytes())
    }

    /// 200 with a value as JSON. Fails if the value has no JSON form.
    pub fn json(value: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self::new(200)
            .with_header("content-type", "application/json")
            .with_body(serde_json::to_vec(value)?))
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of that name, in any letter case. Each byte of the value is one character.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All headers in order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body, to be read in pieces.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, to be read whole or passed on.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// With another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more header. Each character of the value is one byte, up to U+00FF.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// 200 with a body that `write` writes piece by piece, while and after the handler returns; see
    /// [`Body::stream`].
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use durabo::{Response, timer};
    /// # fn events() -> Response {
    /// Response::stream(async |mut writer| {
    ///     for number in 0..3 {
    ///         writer.write(format!("data: {number}\n\n")).await?;
    ///         timer::sleep(Duration::from_secs(1)).await;
    ///     }
    ///     Ok(())
    /// })
    /// .with_header("content-type", "text/event-stream")
    /// # }
    /// ```
    pub fn stream<F>(write: impl FnOnce(BodyWriter) -> F) -> Self
    where
        F: Future<Output = Result<(), Failure>> + 'static,
    {
        Self::new(200).with_body(Body::stream(write))
    }

    /// With another body: bytes, a text, or a [`Body`].
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn from_host(response: wit::Response) -> Self {
        let wit::Response { status, headers, body, upgrade } = response;
        Self { status, headers, body: Body::from_host(body), upgrade }
    }

    pub(crate) fn into_host(self) -> wit::Response {
        wit::Response {
            status: self.status,
            headers: self.headers,
            body: self.body.into_host(),
            upgrade: self.upgrade,
        }
    }

    /// The response that opens a WebSocket.
    pub(crate) fn switching(upgrade: wit::Upgrade) -> Self {
        Self { upgrade: Some(upgrade), ..Self::new(101) }
    }
}
