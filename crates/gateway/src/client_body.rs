//! The body of a request on its way in, which comes back if nobody read it to its end.
//!
//! A request that is refused early would leave bytes in the connection: the answer would be sent and
//! the connection cut, and a client that is still sending would see the cut and not the answer. So a
//! small rest is read and thrown away before the answer goes out. A body that was announced with
//! `Expect: 100-continue` and that nobody asked for may come or not: nothing tells it from the next request,
//! so the connection has to end with the answer (RFC 9110, 10.1.1).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest rest that is read for the sake of the answer, in bytes; whoever sends more may be cut off.
const REST_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for a rest. Stops a client that announces a body and never sends it.
const REST_WAIT_MAX: Duration = Duration::from_secs(2);

/// A body as a connection gives it to whoever answers.
#[derive(Debug)]
pub struct ClientBody {
    body: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
    is_asked_for: Option<Arc<AtomicBool>>,
}

/// What nobody read of a body.
#[derive(Debug)]
pub enum Rest {
    /// There was no body.
    Nothing,
    /// It comes back here, if there is one.
    Back(oneshot::Receiver<Incoming>),
    /// The client waits for a word before it sends the body; whether it was given.
    Announced(Arc<AtomicBool>),
}

/// Prepares a request for whoever answers it.
pub fn watch_body(request: Request<Incoming>) -> (Request<ClientBody>, Rest) {
    if request.body().is_end_stream() {
        return (request.map(|body| ClientBody::new(body, None, None)), Rest::Nothing);
    }
    // It has sent nothing yet, and asking for its body would invite it.
    if request.headers().contains_key(EXPECT) {
        let asked = Arc::new(AtomicBool::new(false));
        return (
            request.map(|body| ClientBody::new(body, None, Some(asked.clone()))),
            Rest::Announced(asked),
        );
    }
    let (rest, back) = oneshot::channel();
    (request.map(|body| ClientBody::new(body, Some(rest), None)), Rest::Back(back))
}

impl Rest {
    /// Reads the rest away, if there is a small one. To be called when the answer is there. False if the
    /// connection cannot carry another request.
    pub async fn read_away(self) -> bool {
        let mut back = match self {
            Self::Nothing => return true,
            Self::Announced(asked) => return asked.load(Ordering::Acquire),
            Self::Back(back) => back,
        };
        let Ok(mut body) = back.try_recv() else { return true };
        let read = async {
            let mut left = REST_BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(bytes) else { return };
                left = rest;
            }
        };
        // In vain: the answer is sent and the connection cut.
        drop(timeout(REST_WAIT_MAX, read).await);
        true
    }
}

impl ClientBody {
    fn new(
        body: Incoming,
        rest: Option<oneshot::Sender<Incoming>>,
        is_asked_for: Option<Arc<AtomicBool>>,
    ) -> Self {
        Self { body: Some(body), rest, is_asked_for }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(asked) = &self.is_asked_for {
            asked.store(true, Ordering::Release);
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let (Some(body), Some(rest)) = (self.body.take(), self.rest.take())
            && !body.is_end_stream()
        {
            // The connection may have ended meanwhile.
            drop(rest.send(body));
        }
    }
}
