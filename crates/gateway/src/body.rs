//! Reads a request's body whole, within limits of bytes and of patience.
//!
//! What is collected counts until it is whole, over all clients, so that many that begin a large body and do
//! not end it cannot fill memory.
//!
//! A body that says beforehand that it is too large is refused before a byte of it is taken, so that a
//! client that waits for `100 Continue` does not send it.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::BODY_INLINE_BYTES_MAX;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::error_response::{Refused, refuse};

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
    /// All clients together have too much under way, more than so many bytes.
    NoRoom(usize),
}

/// A body as its sender is told of it.
#[derive(Debug, Clone, Copy)]
pub struct BodyName<'a> {
    /// Such as `the body`.
    pub name: &'a str,
    /// Its limit, in bytes.
    pub bytes_max: u64,
    /// The silence that it was allowed.
    pub silence_max: Duration,
}

impl BodyFault {
    /// What a reader is told who had asked for the body.
    pub fn broken_off(&self, silence_max: Duration) -> Failure {
        let reason = match self {
            Self::TooLarge(_) => "it is longer than it may be".to_owned(),
            Self::Broken(reason) => reason.clone(),
            Self::Silent => format!("nothing came for {} s", silence_max.as_secs_f64()),
            Self::NoRoom(_) => "too many bodies are arriving".to_owned(),
        };
        Failure::new(ErrorCode::BodyBroken, format!("the body broke off: {reason}"))
    }

    /// What the sender is told.
    pub fn refusal(self, BodyName { name, bytes_max, silence_max }: BodyName<'_>) -> Refused {
        match self {
            Self::TooLarge(declared) => {
                let size = declared.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes"));
                let text = format!("{name}: {size}, the limit is {bytes_max} bytes; send it in parts");
                refuse(ErrorCode::BodyTooLarge, text)
            }
            Self::Broken(reason) => {
                refuse(ErrorCode::InvalidBody, format!("{name}: it ended before it was whole ({reason})"))
            }
            Self::Silent => {
                let seconds = silence_max.as_secs_f64();
                refuse(ErrorCode::InvalidBody, format!("{name}: nothing came for {seconds} s; send it again"))
            }
            Self::NoRoom(max) => {
                let text =
                    format!("{name}: what is still arriving of all callers is over {max} bytes; retry later");
                refuse(ErrorCode::Overloaded, text)
            }
        }
    }
}

/// What one body may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit<'a> {
    /// Its bytes.
    pub bytes_max: usize,
    /// Longest silence.
    pub silence_max: Duration,
    /// Where it counts, beyond its first [`BODY_INLINE_BYTES_MAX`] bytes; `None` if it is bounded otherwise.
    pub collected: Option<&'a CollectedBytes>,
}

/// Bytes of bodies that are not whole yet, of all clients together.
#[derive(Debug, Clone)]
pub struct CollectedBytes {
    bytes: Arc<AtomicUsize>,
    max: usize,
}

impl CollectedBytes {
    /// Room for so many bytes.
    pub fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max }
    }
}

/// What one body counts, until this is dropped.
struct Counted<'a> {
    of: Option<&'a CollectedBytes>,
    bytes: usize,
}

impl Counted<'_> {
    /// Counts a body that has grown to `bytes`. False if there is no room for that.
    fn grow(&mut self, bytes: usize) -> bool {
        let Some(of) = self.of else { return true };
        let more = bytes.saturating_sub(BODY_INLINE_BYTES_MAX) - self.bytes;
        self.bytes += more;
        of.bytes.fetch_add(more, Ordering::Relaxed) + more <= of.max || more == 0
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(of) = self.of {
            of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Length of a body as its sender declares it.
pub fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body to its end.
pub async fn read_body(
    headers: &HeaderMap,
    body: impl RequestBody,
    BodyLimit { bytes_max, silence_max, collected }: BodyLimit<'_>,
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
    let mut counted = Counted { of: collected, bytes: 0 };
    while let Some(frame) = next_frame(&mut body, silence_max).await? {
        // Trailers are not carried.
        let Ok(piece) = frame.into_data() else { continue };
        let bytes = first.len() + joined.len() + piece.len();
        if bytes > bytes_max {
            return Err(BodyFault::TooLarge(None));
        }
        if !counted.grow(bytes) {
            return Err(BodyFault::NoRoom(collected.map_or(0, |collected| collected.max)));
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

    const LIMIT: BodyLimit<'static> =
        BodyLimit { bytes_max: 4, silence_max: Duration::from_secs(30), collected: None };

    fn pieces(pieces: &'static [&'static [u8]]) -> impl RequestBody {
        let frames = pieces.iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_joined_from_its_pieces() {
        let none = HeaderMap::new();
        assert_eq!(read_body(&none, pieces(&[b"ab", b"", b"c", b"d"]), LIMIT).await, Ok(Bytes::from("abcd")));
        assert_eq!(read_body(&none, pieces(&[]), LIMIT).await, Ok(Bytes::new()));
        assert_eq!(read_body(&none, Full::from("abc"), LIMIT).await, Ok(Bytes::from("abc")));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_length_or_on_the_way() {
        let none = HeaderMap::new();
        assert_eq!(read_body(&none, pieces(&[b"abc", b"de"]), LIMIT).await, Err(BodyFault::TooLarge(None)));
        let mut declared = HeaderMap::new();
        declared.insert(CONTENT_LENGTH, http::HeaderValue::from_static("5"));
        let untouched = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(read_body(&declared, untouched, LIMIT).await, Err(BodyFault::TooLarge(Some(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_waited_for_without_end() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(read_body(&HeaderMap::new(), silent, LIMIT).await, Err(BodyFault::Silent));
    }

    #[test]
    fn a_sender_is_told_the_true_cause() {
        let name = BodyName { name: "the body", bytes_max: 4, silence_max: Duration::from_secs(7) };
        for (fault, code, text) in [
            (BodyFault::TooLarge(Some(5)), "body-too-large", "5 bytes, the limit is 4 bytes"),
            (BodyFault::TooLarge(None), "body-too-large", "more, the limit is 4 bytes"),
            (BodyFault::Broken("bad chunk".to_owned()), "invalid-body", "bad chunk"),
            (BodyFault::Silent, "invalid-body", "nothing came for 7 s"),
            (BodyFault::NoRoom(15), "overloaded", "of all callers is over 15 bytes"),
        ] {
            let failure = fault.refusal(name).failure;
            assert_eq!(failure.code, code);
            assert!(failure.message.contains(text), "{failure}");
            assert_eq!(failure.flags.overloaded, code == "overloaded");
        }
    }

    #[tokio::test]
    async fn bodies_that_do_not_end_share_their_room_and_give_it_back() {
        const LARGE: usize = BODY_INLINE_BYTES_MAX + 10;
        let collected = CollectedBytes::new(15);
        let limit = BodyLimit { bytes_max: LARGE, collected: Some(&collected), ..LIMIT };
        let begun = |bytes| {
            let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; bytes])))]);
            StreamBody::new(futures::StreamExt::chain(first, stream::pending()))
        };
        let none = HeaderMap::new();
        let mut one = Box::pin(read_body(&none, begun(LARGE), limit));
        assert!(futures::FutureExt::now_or_never(&mut one).is_none());
        assert_eq!(read_body(&none, begun(LARGE), limit).await, Err(BodyFault::NoRoom(15)));
        let small = Full::from(vec![0; BODY_INLINE_BYTES_MAX]);
        assert!(read_body(&none, small, limit).await.is_ok(), "small ones need no room");
        drop(one);
        assert!(read_body(&none, Full::from(vec![0; LARGE]), limit).await.is_ok());
        assert_eq!(collected.bytes.load(Ordering::Relaxed), 0);
    }
}
