//! A body on its way out, of a response or a request: whole, or in pieces as its object writes them.
//!
//! A whole body is handed over in frames, so that whoever watches sees how far the other side has got with it.
//! A body that breaks off cuts the connection, so that nobody takes what was sent for all.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use durabo_model::failure::Failure;
use durabo_objects::body;
use hyper::body::{Body, Frame, SizeHint};

/// Largest frame of a whole body, in bytes. Taking one is a sign of life of the other side, which may be slow.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What is sent.
#[derive(Debug, Default)]
pub struct SentBody {
    body: body::Body,
    /// Why the body broke off, until what came before has had its chance to leave.
    cut: Option<BodyCut>,
}

/// The body broke off; what was sent of it is not all.
#[derive(Debug)]
pub struct BodyCut(Failure);

impl fmt::Display for BodyCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body broke off: {}", self.0)
    }
}

impl std::error::Error for BodyCut {}

impl<T: Into<body::Body>> From<T> for SentBody {
    fn from(body: T) -> Self {
        Self { body: body.into(), cut: None }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        match &mut self.body {
            body::Body::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            body::Body::Whole(bytes) => {
                let frame = bytes.split_to(bytes.len().min(FRAME_BYTES_MAX));
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            body::Body::Pieces(pieces) => match ready!(pieces.poll_piece(cx)) {
                None => Poll::Ready(None),
                Some(Ok(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some(Err(failure)) => {
                    // The server writes out what it has only when it has to wait.
                    self.cut = Some(BodyCut(failure));
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.body, body::Body::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.bytes().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_whole_body_is_sent_in_frames_whose_progress_shows() {
        let mut bytes = vec![b'a'; FRAME_BYTES_MAX];
        bytes.extend_from_slice(b"the rest");
        let mut body = SentBody::from(Bytes::from(bytes));
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            sizes.push((frame.expect("good").into_data().expect("data").len(), body.size_hint().exact()));
        }
        assert_eq!(sizes, [(FRAME_BYTES_MAX, Some(8)), (8, Some(0))]);
        assert!(body.is_end_stream());
    }
}
