//! The body of a request on its way in, which comes back if nobody read it to its end.
//!
//! A request that is refused early would leave bytes in the connection: the answer would be sent and
//! the connection cut, and a client that is still sending would see the cut and not the answer. So a
//! small rest is read and thrown away before the answer goes out.

use std::pin::Pin;
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
}

/// Where an unread rest comes back.
#[derive(Debug)]
pub struct Rest(Option<oneshot::Receiver<Incoming>>);

/// Prepares a request for whoever answers it.
pub fn watch_body(request: Request<Incoming>) -> (Request<ClientBody>, Rest) {
    // One that waits for `100 Continue` has sent nothing yet, and asking for its body would invite it.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return (request.map(|body| ClientBody { body: Some(body), rest: None }), Rest(None));
    }
    let (rest, back) = oneshot::channel();
    (request.map(|body| ClientBody { body: Some(body), rest: Some(rest) }), Rest(Some(back)))
}

impl Rest {
    /// Reads the rest away, if there is a small one. To be called when the answer is there.
    pub async fn read_away(self) {
        let Some(mut body) = self.0.and_then(|mut back| back.try_recv().ok()) else { return };
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
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
