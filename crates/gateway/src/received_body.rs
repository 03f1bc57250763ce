//! Bodies that come over a connection, of clients' requests and of servers' responses: short ones are read whole,
//! all others piece by piece.
//!
//! A piece is taken from the connection when it is asked for, so a reader that does not read on stops the
//! sender. A body whose client waits for `100 Continue` always comes in pieces, however short it is: the
//! client is told to go on by the first look at it, and not at all if nobody looks (B-54).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_objects::body::{self, PieceSource, Pieces};
use durabo_objects::client::Client;
use http::HeaderMap;
use http::header::EXPECT;
use tokio::time::{Sleep, sleep};

use crate::body::{BodyFault, BodyLimit, RequestBody, declared_bytes, read_body};

/// What a body may take that comes over a connection.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveLimit {
    /// Its bytes.
    pub bytes_max: u64,
    /// Longest silence while more of it is asked for.
    pub silence_max: Duration,
}

/// The body that belongs to a head with `headers`: for an object, as it is or in pieces.
pub async fn receive(
    headers: &HeaderMap,
    body: impl RequestBody,
    ReceiveLimit { bytes_max, silence_max }: ReceiveLimit,
) -> Result<body::Body, BodyFault> {
    if body.is_end_stream() {
        return Ok(body::Body::default());
    }
    let declared = body.size_hint().exact().or_else(|| declared_bytes(headers));
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(BodyFault::TooLarge(declared));
    }
    let is_short = declared.is_some_and(|bytes| bytes <= limits::BODY_INLINE_BYTES_MAX as u64);
    if is_short && !headers.contains_key(EXPECT) {
        let limit = BodyLimit { bytes_max: limits::BODY_INLINE_BYTES_MAX, silence_max, collected: None };
        let bytes = read_body(headers, body, limit).await?;
        return Ok(bytes.into());
    }
    let source = ConnectionPieces { body: Box::pin(body), bytes: 0, bytes_max, silence_max, silence: None };
    Ok(body::Body::Pieces(Pieces::new(source, declared)))
}

struct ConnectionPieces<B> {
    body: Pin<Box<B>>,
    bytes: u64,
    bytes_max: u64,
    silence_max: Duration,
    /// Ends when nothing came for too long while something was asked for.
    silence: Option<Pin<Box<Sleep>>>,
}

impl<B: RequestBody> PieceSource for ConnectionPieces<B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) else {
                let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.silence_max)));
                ready!(silence.as_mut().poll(cx));
                return Poll::Ready(Some(Err(BodyFault::Silent.broken_off(self.silence_max))));
            };
            self.silence = None;
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let fault = BodyFault::Broken(error.to_string());
                    return Poll::Ready(Some(Err(fault.broken_off(self.silence_max))));
                }
            };
            // Trailers are not carried.
            let Ok(piece) = frame.into_data() else { continue };
            self.bytes += piece.len() as u64;
            if self.bytes > self.bytes_max {
                let text = format!("the body is longer than {} bytes, which is the limit", self.bytes_max);
                return Poll::Ready(Some(Err(Failure::new(ErrorCode::BodyTooLarge, text))));
            }
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    /// Whoever sends over a connection learns of it by the connection.
    fn read_for(&mut self, _: &Client) {}
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use durabo_objects::body::Body;
    use futures::{StreamExt, stream};
    use http::HeaderValue;
    use http::header::CONTENT_LENGTH;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: ReceiveLimit = ReceiveLimit { bytes_max: 5, silence_max: Duration::from_secs(60) };

    fn body(pieces: &'static [&'static [u8]]) -> impl RequestBody {
        let frames = pieces.iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
        StreamBody::new(stream::iter(frames).chain(stream::pending()))
    }

    fn declaring(bytes: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(bytes))])
    }

    async fn pieces(headers: &HeaderMap, body: impl RequestBody) -> Pieces {
        match receive(headers, body, LIMIT).await {
            Ok(Body::Pieces(pieces)) => pieces,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_short_body_of_known_length_is_read_whole() {
        let whole = StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("abc")))]));
        assert_eq!(receive(&declaring("3"), whole, LIMIT).await, Ok(Body::from("abc")));
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_comes_in_pieces() {
        let mut pieces = pieces(&HeaderMap::new(), body(&[b"ab", b"", b"c"])).await;
        assert_eq!(pieces.bytes(), None);
        assert_eq!(pieces.piece().await, Some(Ok(Bytes::from("ab"))));
        assert_eq!(pieces.piece().await, Some(Ok(Bytes::from("c"))));
    }

    #[tokio::test]
    async fn b_54_a_client_that_waits_for_a_word_is_not_read_from_unasked() {
        let mut headers = declaring("3");
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        let untouched = stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("nobody asked for it")
        });
        assert_eq!(pieces(&headers, StreamBody::new(untouched)).await.bytes(), Some(3));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_length_or_breaks_off() {
        let refused = receive(&declaring("6"), body(&[]), LIMIT).await;
        assert_eq!(refused, Err(BodyFault::TooLarge(Some(6))));
        let mut pieces = pieces(&HeaderMap::new(), body(&[b"abcd", b"ef"])).await;
        assert!(pieces.piece().await.is_some_and(|piece| piece.is_ok()));
        let failure = pieces.piece().await.expect("a failure").expect_err("too long");
        assert_eq!(failure.code, "body-too-large");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_breaks_a_body_off_only_while_something_is_asked_for() {
        let mut pieces = pieces(&HeaderMap::new(), body(&[b"ab", b"c"])).await;
        assert!(pieces.piece().await.is_some_and(|piece| piece.is_ok()));
        tokio::time::advance(LIMIT.silence_max * 2).await;
        assert!(pieces.piece().await.is_some_and(|piece| piece.is_ok()));
        let asked = Instant::now();
        let failure = pieces.piece().await.expect("a failure").expect_err("silent");
        assert_eq!(failure.code, "body-broken");
        assert!(asked.elapsed() >= LIMIT.silence_max);
    }
}
