//! A response's body that notes when it is gone: until then the request counts as being answered, and its
//! connection is watched for signs that the client has left.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// Counts requests of one connection that are being answered.
#[derive(Debug, Clone, Default)]
pub struct Answering(Arc<AtomicUsize>);

/// One request that is being answered, until this is dropped.
#[derive(Debug)]
pub struct OneAnswer(Arc<AtomicUsize>);

impl Answering {
    /// Begins one.
    pub fn begin(&self) -> OneAnswer {
        self.0.fetch_add(1, Ordering::Relaxed);
        OneAnswer(self.0.clone())
    }

    /// Whether any is under way.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for OneAnswer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body and the answer that it belongs to.
#[derive(Debug)]
pub struct WatchedBody<B> {
    body: B,
    _answer: OneAnswer,
}

impl<B> WatchedBody<B> {
    /// The body of this answer, which ends with it.
    pub fn new(body: B, answer: OneAnswer) -> Self {
        Self { body, _answer: answer }
    }
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
