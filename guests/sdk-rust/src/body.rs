//! Bodies of requests and responses: whole, or in pieces.
//!
//! A body that is passed on without being read does not cross the object. A body that broke off is never
//! taken for whole: reading it fails where it ends, however often. The same holds for one of which a read or
//! a write was given up, since nobody knows what that had taken or sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    inner: Inner<wit::Chunks>,
}

/// What is left of a body.
#[derive(Debug)]
enum Inner<P> {
    /// Nothing: it had nothing, or all was read and its end is good.
    Empty,
    /// All of it.
    Bytes(Vec<u8>),
    /// The rest, which comes in pieces.
    Pieces(P),
    /// Nothing that is of use, for this reason: a part is missing.
    Broken(Failure),
}

/// What a body in pieces is read from.
trait Pieces {
    /// The next piece, never an empty one; `None` when there are no more.
    async fn next(&mut self) -> Option<Vec<u8>>;

    /// Whether that was all.
    async fn end(self) -> Result<(), Failure>;
}

impl Pieces for wit::Chunks {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let (status, piece) = self.data.read(Vec::with_capacity(CHUNK_BYTES_MAX)).await;
            if !piece.is_empty() {
                return Some(piece);
            }
            if status == wit_bindgen::StreamResult::Dropped {
                return None;
            }
        }
    }

    async fn end(self) -> Result<(), Failure> {
        self.end.await.map_err(Failure::from_host)
    }
}

impl<P: Pieces> Inner<P> {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        // A read that is dropped may take bytes along, so the body is broken until the read has come to an end.
        let waiting = Self::Broken(broken("a read of the body was given up; what it had taken is lost"));
        let (rest, read) = match std::mem::replace(self, waiting) {
            Self::Empty => (Self::Empty, Ok(None)),
            Self::Bytes(bytes) => (Self::Empty, Ok(Some(bytes))),
            Self::Broken(failure) => (Self::Broken(failure.clone()), Err(failure)),
            Self::Pieces(mut pieces) => match pieces.next().await {
                Some(piece) => (Self::Pieces(pieces), Ok(Some(piece))),
                None => match pieces.end().await {
                    Ok(()) => (Self::Empty, Ok(None)),
                    Err(failure) => (Self::Broken(failure.clone()), Err(failure)),
                },
            },
        };
        *self = rest;
        read
    }
}

fn broken(message: &str) -> Failure {
    Failure::new(message).with_kind(FailureKind::Disconnected).with_code("body-broken")
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self { inner: Inner::Empty }
    }

    /// A body that `write` writes piece by piece, while and after the handler returns. It is whole when
    /// `write` returns `Ok`; with an error it is cut, so that no reader takes it for whole, and so it is if a
    /// write was given up.
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
        let gap = Gap::default();
        let written = write(BodyWriter { data, gap: gap.clone() });
        wit_bindgen::spawn_local(async move {
            let result = written.await.and_then(|()| gap.check()).map_err(Into::into);
            // Nobody may be there to read it.
            drop(end.write(result).await);
        });
        Self { inner: Inner::Pieces(wit::Chunks { data: pieces, end: told }) }
    }

    /// Its length, if the host gave it whole.
    pub fn len(&self) -> Option<usize> {
        match &self.inner {
            Inner::Empty => Some(0),
            Inner::Bytes(bytes) => Some(bytes.len()),
            Inner::Pieces(_) | Inner::Broken(_) => None,
        }
    }

    /// Whether there is nothing in it for certain.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next piece, never an empty one; `None` when all was read. Waits for a body that is still arriving,
    /// which ends the turn; fails if the body breaks off, again and again. Not reading on stops the sender,
    /// dropping the body makes it give up.
    ///
    /// A read that is dropped while it waits breaks the body, code `body-broken`: it may have taken bytes
    /// along. To wait for something else meanwhile, keep the future and go on with it.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.inner.chunk().await
    }

    /// All of it. Waits for a body that is still arriving, which ends the turn; fails with code
    /// `limit-exceeded` beyond [`BODY_BYTES_MAX`], and if the body breaks off.
    pub async fn bytes(self) -> Result<Vec<u8>, Failure> {
        match self.inner {
            Inner::Empty => Ok(Vec::new()),
            Inner::Bytes(bytes) => Ok(bytes),
            Inner::Pieces(chunks) => {
                wit::collect(wit::Body::Chunks(chunks), BODY_BYTES_MAX).await.map_err(Failure::from_host)
            }
            Inner::Broken(failure) => Err(failure),
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

    pub(crate) fn from_host(body: wit::Body) -> Self {
        let inner = match body {
            wit::Body::Empty => Inner::Empty,
            wit::Body::Bytes(bytes) => Inner::Bytes(bytes),
            wit::Body::Chunks(chunks) => Inner::Pieces(chunks),
        };
        Self { inner }
    }

    pub(crate) fn into_host(self) -> wit::Body {
        match self.inner {
            Inner::Empty => wit::Body::Empty,
            Inner::Bytes(bytes) => wit::Body::Bytes(bytes),
            Inner::Pieces(chunks) => wit::Body::Chunks(chunks),
            // One that ends as this one did, so that its reader does not take it for whole either.
            Inner::Broken(failure) => Self::stream(|writer| async move {
                drop(writer);
                Err(failure)
            })
            .into_host(),
        }
    }
}

impl<T: Into<Vec<u8>>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let inner = if bytes.is_empty() { Inner::Empty } else { Inner::Bytes(bytes) };
        Self { inner }
    }
}

/// Writes a body piece by piece; see [`Body::stream`].
pub struct BodyWriter {
    data: wit_bindgen::StreamWriter<u8>,
    gap: Gap,
}

/// Whether a body that is written has a gap, as the writer and whoever ends the body see it.
#[derive(Clone, Default)]
struct Gap(Arc<AtomicBool>);

impl Gap {
    /// Fails if there is a gap.
    fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            return Err(broken("a write of the body was given up; a part of it may have left"));
        }
        Ok(())
    }

    /// Makes a write. There is a gap if it is dropped before it has ended.
    async fn write<T>(&self, write: impl Future<Output = T>) -> Result<T, Failure> {
        self.check()?;
        self.0.store(true, Ordering::Relaxed);
        let written = write.await;
        self.0.store(false, Ordering::Relaxed);
        Ok(written)
    }
}

impl BodyWriter {
    /// Writes a piece. It leaves when everything that was written to storage before is durable (OG-3), and
    /// this returns when it has left: that ends the turn. Fails with kind `disconnected` once nobody reads
    /// any more.
    ///
    /// A write that is dropped while it waits may have sent a part of its piece: later ones fail with code
    /// `body-broken`, and the body is cut.
    pub async fn write(&mut self, piece: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let left = self.gap.write(self.data.write_all(piece.into())).await?;
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Pieces that are there, and the end; without one, more are to come.
    struct Arriving {
        pieces: Vec<&'static str>,
        end: Option<Result<(), Failure>>,
    }

    impl Pieces for Arriving {
        async fn next(&mut self) -> Option<Vec<u8>> {
            if !self.pieces.is_empty() {
                return Some(self.pieces.remove(0).into());
            }
            if self.end.is_none() {
                pending::<()>().await;
            }
            None
        }

        async fn end(self) -> Result<(), Failure> {
            self.end.expect("an end")
        }
    }

    fn arriving(pieces: &[&'static str], end: Option<Result<(), Failure>>) -> Inner<Arriving> {
        Inner::Pieces(Arriving { pieces: pieces.to_vec(), end })
    }

    /// What a future comes to at once; it is dropped in any case.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn read<P: Pieces>(body: &mut Inner<P>) -> Result<Option<Vec<u8>>, Failure> {
        at_once(body.chunk()).expect("a read that does not wait")
    }

    #[test]
    fn a_body_is_empty_only_after_a_good_end() {
        let mut body = arriving(&["a", "b"], Some(Ok(())));
        for piece in ["a", "b"] {
            assert_eq!(read(&mut body).expect("good").expect("a piece"), piece.as_bytes());
        }
        assert!(matches!(body, Inner::Pieces(_)));
        for _ in 0..2 {
            assert_eq!(read(&mut body).expect("good"), None);
            assert!(matches!(body, Inner::Empty));
        }
    }

    #[test]
    fn a_body_that_broke_off_does_so_at_every_read() {
        let mut body = arriving(&["a"], Some(Err(Failure::new("too much").with_code("body-too-large"))));
        assert_eq!(read(&mut body).expect("good").expect("a piece"), b"a");
        for _ in 0..2 {
            assert_eq!(read(&mut body).expect_err("broken").code(), "body-too-large");
        }
        assert_eq!(Body { inner: Inner::Broken(broken("gone")) }.len(), None);
    }

    #[test]
    fn a_read_that_is_dropped_while_it_waits_breaks_the_body() {
        let mut body = arriving(&[], None);
        assert!(at_once(body.chunk()).is_none());
        for _ in 0..2 {
            assert_eq!(read(&mut body).expect_err("broken").code(), "body-broken");
        }
    }

    #[test]
    fn a_write_that_is_dropped_while_it_waits_leaves_a_gap() {
        let gap = Gap::default();
        assert_eq!(at_once(gap.write(ready(1))).expect("written").expect("no gap yet"), 1);
        gap.check().expect("no gap yet");
        assert!(at_once(gap.write(pending::<()>())).is_none());
        let refused = at_once(gap.write(ready(2))).expect("at once");
        assert_eq!(refused.expect_err("a gap").code(), "body-broken");
        assert_eq!(gap.check().expect_err("a gap").code(), "body-broken");
    }
}
