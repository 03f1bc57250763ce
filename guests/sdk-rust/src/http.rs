//! HTTP: the request that `fetch` gets and the response it returns.
//!
//! Any status is a success of the handler; a [`Failure`] that it returns reaches a client as 500 with the
//! error record (ST-4). Body and headers are the author's, framing and `content-length` the host's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::http as wit;
use crate::failure::Failure;
use crate::url;

/// Largest body that [`Request::bytes`] and its kin read, in bytes: the limit of the node.
pub const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A request, as it was sent to the object.
#[derive(Debug)]
pub struct Request {
    inner: wit::Request,
}

impl Request {
    /// A request to another object, without body. The URL is absolute; its host part is free text.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { inner: wit::Request { method, url, headers: Vec::new(), body: wit::Body::Empty } }
    }

    /// With one more header. Each character of the value is one byte, up to U+00FF.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.inner.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// With another body.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.inner.body = wit::Body::Bytes(body.into());
        self
    }

    pub(crate) fn into_host(self) -> wit::Request {
        self.inner
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

    /// All headers in the order of their arrival, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The whole body. Waits for a body that is still arriving, which ends the turn; fails with code
    /// `limit-exceeded` beyond [`BODY_BYTES_MAX`], and if the body breaks off.
    pub async fn bytes(self) -> Result<Vec<u8>, Failure> {
        match self.inner.body {
            wit::Body::Empty => Ok(Vec::new()),
            wit::Body::Bytes(bytes) => Ok(bytes),
            chunks @ wit::Body::Chunks(_) => {
                wit::collect(chunks, BODY_BYTES_MAX).await.map_err(Failure::from_host)
            }
        }
    }

    /// The whole body as text. As [`bytes`](Self::bytes), and fails if it is not UTF-8.
    pub async fn text(self) -> Result<String, Failure> {
        String::from_utf8(self.bytes().await?)
            .map_err(|error| Failure::invalid_argument(format!("the body is not UTF-8: {error}")))
    }

    /// The whole body read as JSON. As [`bytes`](Self::bytes), and fails if it is no JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_slice(&self.bytes().await?)
            .map_err(|error| Failure::invalid_argument(format!("the body is not the JSON expected: {error}")))
    }

    pub(crate) fn from_host(inner: wit::Request) -> Self {
        Self { inner }
    }
}

/// An answer to a request.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A response without body. Valid are 200 to 599; the host refuses others.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
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

    /// With another body.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// All headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The whole body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A response of another object. Waits for a body that is still arriving.
    pub(crate) async fn from_host(response: wit::Response) -> Result<Self, Failure> {
        let wit::Response { status, headers, body, upgrade: _ } = response;
        let body = match body {
            wit::Body::Empty => Vec::new(),
            wit::Body::Bytes(bytes) => bytes,
            chunks @ wit::Body::Chunks(_) => {
                wit::collect(chunks, BODY_BYTES_MAX).await.map_err(Failure::from_host)?
            }
        };
        Ok(Self { status, headers, body })
    }

    pub(crate) fn into_host(self) -> wit::Response {
        let body = if self.body.is_empty() { wit::Body::Empty } else { wit::Body::Bytes(self.body) };
        wit::Response { status: self.status, headers: self.headers, body, upgrade: None }
    }
}
