//! Bodies of requests and responses: whole, or in pieces.
//!
//! A body that is passed on without being read does not cross the object. A body that broke off is never
//! taken for whole: reading it fails where it ends.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::bindings::durabo::object::{http as wit, types};
use crate::bindings::{wit_future, wit_stream};
use crate::failure::{Failure, FailureKind};

/// Largest body that [`Body::bytes`] and its kin read, in bytes.
pub const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What [`Body::chunk`] reads at most at once, in bytes.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// The body of a request or response.
#[derive(Debug)]
pub struct Body {
    inner: wit::Body,
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self { inner: wit::Body::Empty }
    }

    /// A body that `write` writes piece by piece, while and after the handler returns. It is whole when
    /// `write` returns `Ok`; with an error it is cut, so that no reader takes it for whole.
    ///
    /// `write` runs beside the handler and keeps the object in memory until it has ended.
    pub fn stream<F>(write: impl FnOnce(BodyWriter) -> F) -> Self
    where
        F: Future<Output = Result<(), Failure>> + 'static,
    {
        let (data, pieces) = wit_stream::new::<u8>();
        let (end, told) = wit_future::new::<Result<(), types::Failure>>(|| {
            Err(Failure::new("the body was not written to its end").into())
        });
        let written = write(BodyWriter { data });
        wit_bindgen::spawn_local(async move {
            let result = written.await.map_err(Into::into);
            // Nobody may be there to read it.
            drop(end.write(result).await);
        });
        Self { inner: wit::Body::Chunks(wit::Chunks { data: pieces, end: told }) }
    }

    /// Its length, if the host gave it whole.
    pub fn len(&self) -> Option<usize> {
        match &self.inner {
            wit::Body::Empty => Some(0),
            wit::Body::Bytes(bytes) => Some(bytes.len()),
            wit::Body::Chunks(_) => None,
        }
    }

    /// Whether there is nothing in it for certain.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next piece, never an empty one; `None` when all was read. Waits for a body that is still arriving,
    /// which ends the turn; fails if the body breaks off. Not reading on stops the sender, dropping the body
    /// makes it give up.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match std::mem::replace(&mut self.inner, wit::Body::Empty) {
            wit::Body::Empty => Ok(None),
            wit::Body::Bytes(bytes) => Ok(Some(bytes)),
            wit::Body::Chunks(mut chunks) => loop {
                let (status, piece) = chunks.data.read(Vec::with_capacity(CHUNK_BYTES_MAX)).await;
                let has_ended = status == wit_bindgen::StreamResult::Dropped;
                if !piece.is_empty() {
                    self.inner = wit::Body::Chunks(chunks);
                    return Ok(Some(piece));
                }
                if has_ended {
                    chunks.end.await.map_err(Failure::from_host)?;
                    return Ok(None);
                }
            },
        }
    }

    /// All of it. Waits for a body that is still arriving, which ends the turn; fails with code
    /// `limit-exceeded` beyond [`BODY_BYTES_MAX`], and if the body breaks off.
    pub async fn bytes(self) -> Result<Vec<u8>, Failure> {
        match self.inner {
            wit::Body::Empty => Ok(Vec::new()),
            wit::Body::Bytes(bytes) => Ok(bytes),
            chunks @ wit::Body::Chunks(_) => {
                wit::collect(chunks, BODY_BYTES_MAX).await.map_err(Failure::from_host)
            }
        }
    }

    /// All of it as text. As [`bytes`](Self::bytes), and fails if it is not UTF-8.
    pub async fn text(self) -> Result<String, Failure> {
        String::from_utf8(self.bytes().await?)
            .map_err(|error| Failure::invalid_argument(format!("the body is not UTF-8: {error}")))
    }

    /// All of it read as JSON. As [`bytes`](Self::bytes), and fails if it is no JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_slice(&self.bytes().await?)
            .map_err(|error| Failure::invalid_argument(format!("the body is not the JSON expected: {error}")))
    }

    pub(crate) fn from_host(inner: wit::Body) -> Self {
        Self { inner }
    }

    pub(crate) fn into_host(self) -> wit::Body {
        self.inner
    }
}

impl<T: Into<Vec<u8>>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let inner = if bytes.is_empty() { wit::Body::Empty } else { wit::Body::Bytes(bytes) };
        Self { inner }
    }
}

/// Writes a body piece by piece; see [`Body::stream`].
pub struct BodyWriter {
    data: wit_bindgen::StreamWriter<u8>,
}

impl BodyWriter {
    /// Writes a piece. It leaves when everything that was written to storage before is durable (OG-3), and
    /// this returns when it has left: that ends the turn. Fails with kind `disconnected` once nobody reads
    /// any more.
    pub async fn write(&mut self, piece: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let left = self.data.write_all(piece.into()).await;
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::new("nobody reads the body any more")
            .with_kind(FailureKind::Disconnected)
            .with_code("body-unread"))
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}
