//! Reads a request's body whole, within a limit of bytes and of patience.
//!
//! A body that says beforehand that it is too large is refused before a byte of it is taken, so that a
//! client that waits for `100 Continue` does not send it.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::Body;

/// Room that is kept at once for a body that says how long it is; longer ones grow as they come.
const RESERVED_BYTES_MAX: u64 = 1024 * 1024;

/// A body as a connection or a test gives it.
pub trait RequestBody: Body<Data = Bytes, Error: Display> + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Display> + Send + 'static> RequestBody for B {}

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyFault {
    /// It is over the limit. Holds its length if the client said so.
    TooLarge(Option<u64>),
    /// The connection ended or the framing is bad.
    Broken(String),
    /// Nothing came for too long.
    Silent,
}

/// Length of a body as its sender declares it.
pub fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads up to `bytes_max` bytes.
pub async fn read_body(
    headers: &HeaderMap,
    body: impl RequestBody,
    bytes_max: usize,
    silence_max: Duration,
) -> Result<Bytes, BodyFault> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let declared = declared_bytes(headers);
    if declared.is_some_and(|length| length > bytes_max as u64) {
        return Err(BodyFault::TooLarge(declared));
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = next_frame(&mut body, silence_max).await? {
        // Trailers are not carried.
        let Ok(piece) = frame.into_data() else { continue };
        if first.len() + joined.len() + piece.len() > bytes_max {
            return Err(BodyFault::TooLarge(None));
        }
        // Most bodies are one piece, which need not be copied.
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(declared.unwrap_or_default().min(RESERVED_BYTES_MAX) as usize);
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

async fn next_frame<B: Body<Data = Bytes, Error: Display> + Unpin>(
    body: &mut B,
    silence_max: Duration,
) -> Result<Option<hyper::body::Frame<Bytes>>, BodyFault> {
    let frame = tokio::time::timeout(silence_max, body.frame()).await.map_err(|_| BodyFault::Silent)?;
    frame.transpose().map_err(|error| BodyFault::Broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    const SILENCE_MAX: Duration = Duration::from_secs(30);

    fn pieces(pieces: &'static [&'static [u8]]) -> impl RequestBody {
        let frames = pieces.iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_joined_from_its_pieces() {
        let none = HeaderMap::new();
        assert_eq!(
            read_body(&none, pieces(&[b"ab", b"", b"c", b"d"]), 4, SILENCE_MAX).await,
            Ok(Bytes::from("abcd"))
        );
        assert_eq!(read_body(&none, pieces(&[]), 4, SILENCE_MAX).await, Ok(Bytes::new()));
        assert_eq!(read_body(&none, Full::from("abc"), 4, SILENCE_MAX).await, Ok(Bytes::from("abc")));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_length_or_on_the_way() {
        let none = HeaderMap::new();
        assert_eq!(
            read_body(&none, pieces(&[b"abc", b"de"]), 4, SILENCE_MAX).await,
            Err(BodyFault::TooLarge(None))
        );
        let mut declared = HeaderMap::new();
        declared.insert(CONTENT_LENGTH, http::HeaderValue::from_static("5"));
        let untouched = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(read_body(&declared, untouched, 4, SILENCE_MAX).await, Err(BodyFault::TooLarge(Some(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_waited_for_without_end() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(read_body(&HeaderMap::new(), silent, 4, SILENCE_MAX).await, Err(BodyFault::Silent));
    }
}
