//! Standard output and error of a guest as lines of the node's log.
//!
//! Never waits and never fails, so that a guest's print is no turn end. At most one unfinished line
//! per stream is held; a longer one is cut in pieces. The end of standard error is kept: that is
//! where a panic leaves its message.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use durabo_model::limits;
use durabo_model::object::ObjectIdentity;
use durabo_objects::event::EventId;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::log_quota::LogQuota;

/// Bytes of standard error that are kept for failure texts.
pub const TAIL_BYTES_MAX: usize = 4096;

/// Taken at once from the guest; bounds a single call, not the stream.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// No event, or more than one.
const NO_EVENT: u64 = u64::MAX;

/// The event to which a line belongs, where that is certain: if it is the only one in the guest.
#[derive(Debug, Clone)]
pub struct SoleEvent(Arc<AtomicU64>);

impl Default for SoleEvent {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NO_EVENT)))
    }
}

impl SoleEvent {
    /// Says which event it is.
    pub fn set(&self, event: Option<EventId>) {
        self.0.store(event.map_or(NO_EVENT, |event| event.0), Ordering::Relaxed);
    }

    fn get(&self) -> Option<EventId> {
        Some(self.0.load(Ordering::Relaxed)).filter(|event| *event != NO_EVENT).map(EventId)
    }
}

/// Who writes.
#[derive(Clone)]
pub struct LineSource {
    /// Object and class.
    pub identity: Arc<ObjectIdentity>,
    /// Event, if it is the only one.
    pub event: SoleEvent,
    /// How much may be logged; both streams and `log` share it.
    pub quota: Arc<LogQuota>,
}

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Lines at level `info`.
    Stdout,
    /// Lines at level `warn`, with a tail.
    Stderr,
}

/// One stream of one instance. Clones share it.
#[derive(Clone)]
pub struct GuestOutput(Arc<Inner>);

struct Inner {
    source: LineSource,
    stream: Stream,
    text: Mutex<Text>,
}

#[derive(Debug, Default)]
struct Text {
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl GuestOutput {
    /// A stream without text.
    pub fn new(source: LineSource, stream: Stream) -> Self {
        Self(Arc::new(Inner { source, stream, text: Mutex::default() }))
    }

    /// The last bytes written, from the start of a line where that is possible. For standard error.
    pub fn tail(&self) -> String {
        let text = self.0.lock();
        let tail = text.tail.as_slice();
        let from = if tail.len() < TAIL_BYTES_MAX { 0 } else { line_start(tail) };
        String::from_utf8_lossy(&tail[from..]).trim().to_owned()
    }

    /// Forgets the tail: what was said so far explains nothing that follows.
    pub fn clear_tail(&self) {
        self.0.lock().tail.clear();
    }

    /// Logs what is left of an unfinished line.
    pub fn finish(&self) {
        self.0.finish();
    }

    fn write_all(&self, bytes: &[u8]) {
        let mut text = self.0.lock();
        if self.0.stream == Stream::Stderr {
            keep_tail(&mut text.tail, bytes);
        }
        split_lines(&mut text.line, bytes, limits::LOG_LINE_BYTES_MAX, |line| self.0.log(line));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) {
        let line = std::mem::take(&mut self.lock().line);
        if !line.is_empty() {
            self.log(&line);
        }
    }

    fn log(&self, line: &[u8]) {
        if !self.source.quota.admits(line.len()) {
            return;
        }
        let line = String::from_utf8_lossy(line);
        let class = self.source.identity.class.as_str();
        let object = self.source.identity.key.id;
        let event = self.source.event.get().map(|event| event.to_string());
        match self.stream {
            Stream::Stdout => tracing::info!(target: "guest", class, %object, event, "{line}"),
            Stream::Stderr => tracing::warn!(target: "guest", class, %object, event, "{line}"),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Calls `log` for each line that ends in `bytes`, and keeps the rest in `line`.
fn split_lines(line: &mut Vec<u8>, mut bytes: &[u8], line_bytes_max: usize, log: impl Fn(&[u8])) {
    while !bytes.is_empty() {
        let room = line_bytes_max - line.len();
        let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(room.min(bytes.len()));
        line.extend_from_slice(&bytes[..taken]);
        bytes = &bytes[taken..];
        if end.is_some() {
            bytes = &bytes[1..];
        } else if line.len() < line_bytes_max {
            return;
        }
        log(line.strip_suffix(b"\r").unwrap_or(line));
        line.clear();
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
    let excess = (tail.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
    tail.drain(..excess);
    tail.extend_from_slice(bytes);
}

fn line_start(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_all(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn lines(writes: &[&str], line_bytes_max: usize) -> (Vec<String>, String) {
        let lines = RefCell::new(Vec::new());
        let mut rest = Vec::new();
        for write in writes {
            split_lines(&mut rest, write.as_bytes(), line_bytes_max, |line| {
                lines.borrow_mut().push(String::from_utf8_lossy(line).into_owned());
            });
        }
        (lines.into_inner(), String::from_utf8_lossy(&rest).into_owned())
    }

    #[test]
    fn lines_are_split_over_writes_and_an_unfinished_one_is_kept() {
        let (done, rest) = lines(&["a\nb", "c\r\n\nd"], 100);
        assert_eq!(done, ["a", "bc", ""]);
        assert_eq!(rest, "d");
    }

    #[test]
    fn a_line_over_the_limit_is_cut_in_pieces() {
        let (done, rest) = lines(&["abcdefgh\nxy"], 3);
        assert_eq!(done, ["abc", "def", "gh"]);
        assert_eq!(rest, "xy");
        assert_eq!(lines(&["abc\nd\n"], 3).0, ["abc", "d"]);
    }

    #[test]
    fn the_tail_keeps_the_last_bytes() {
        let mut tail = Vec::new();
        for number in 0..1000 {
            keep_tail(&mut tail, format!("line {number}\n").as_bytes());
        }
        assert_eq!(tail.len(), TAIL_BYTES_MAX);
        assert!(tail.ends_with(b"line 999\n"));
        keep_tail(&mut tail, &[b'x'; 2 * TAIL_BYTES_MAX]);
        assert_eq!(tail, [b'x'; TAIL_BYTES_MAX]);
    }
}
