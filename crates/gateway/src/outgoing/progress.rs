//! The body of a request to the outside, and whether the other side gets on with it.
//!
//! Time that the object takes to write its body is no fault of the server, so only silence counts in which
//! the server has all that there is.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::sent_body::{BodyCut, SentBody};

/// Since when the server is to act; `None` while the object writes.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// Says that the request is about to be sent: the server is to act from now on, and not since its connection was
    /// asked for.
    pub fn begin(&self) {
        self.note(Some(Instant::now()));
    }

    fn note(&self, since: Option<Instant>) {
        *self.lock() = since;
    }

    /// Returns when the server has not got on for so long.
    pub async fn stalled(&self, silence_max: Duration) {
        loop {
            let since = self.lock().unwrap_or_else(Instant::now);
            let deadline = since + silence_max;
            sleep_until(deadline).await;
            if self.lock().is_some_and(|since| since + silence_max <= Instant::now()) {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().expect("BUG: the lock is never held over a panic")
    }
}

/// A body whose progress is noted.
#[derive(Debug)]
pub struct WatchedRequest {
    body: SentBody,
    progress: Progress,
}

impl WatchedRequest {
    /// The body, and where its progress shows.
    pub fn new(body: SentBody) -> (Self, Progress) {
        let progress = Progress(Arc::new(Mutex::new(Some(Instant::now()))));
        (Self { body, progress: progress.clone() }, progress)
    }
}

impl Body for WatchedRequest {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.note(if polled.is_pending() { None } else { Some(Instant::now()) });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use durabo_objects::body::{Body as ObjectBody, channel};
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    const SILENCE_MAX: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_last_piece_and_not_while_the_object_writes() {
        let (writer, pieces) = channel();
        let (mut body, progress) = WatchedRequest::new(ObjectBody::Pieces(pieces).into());
        assert!(body.frame().now_or_never().is_none());
        let stalled = tokio::time::timeout(SILENCE_MAX * 5, progress.stalled(SILENCE_MAX)).await;
        assert!(stalled.is_err(), "the object writes");
        writer.take(1);
        writer.let_out(Bytes::from("x"));
        assert!(body.frame().await.is_some());
        let asked = Instant::now();
        progress.stalled(SILENCE_MAX).await;
        assert_eq!(asked.elapsed(), SILENCE_MAX);
    }
}
