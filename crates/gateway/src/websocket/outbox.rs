//! What is being written to the other side: frames as bytes, in order.
//!
//! Small frames are joined into one write; a large payload is written from where it lies, so that all receivers of a
//! broadcast share it. If it has to be masked, a part of it at a time is copied. Nothing is kept once all is written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use durabo_objects::socket::CloseReason;
use tokio::io::AsyncWrite;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::masks::{self, Mask, Masks};

/// Payloads up to this are copied behind their heads.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// No further frames are taken while so much is to be written.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// What is copied at once of a payload that has to be masked. Small, so that the copies of many sockets take little
/// memory, which nobody counts, and one large message does not hold up others.
const MASKED_BYTES: usize = 16 * 1024;

/// Pieces that are written at once.
const WRITTEN_PIECES: usize = 2;

/// Bytes on their way to the other side; by default it is a client, for which nothing is masked.
#[derive(Debug, Default)]
pub struct Outbox {
    /// If the other side is a server.
    masks: Option<Box<Masks>>,
    /// Never empty ones.
    pieces: VecDeque<Piece>,
    /// What comes behind them.
    joined: Vec<u8>,
    bytes: usize,
    /// Bytes that were written since the beginning.
    written: u64,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// The mask that is still to be put on, and where in their frame the bytes begin.
    to_mask: Option<(Mask, u64)>,
}

impl From<Vec<u8>> for Piece {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), to_mask: None }
    }
}

impl Outbox {
    /// For a server: each frame gets a mask.
    pub fn masked(masks: Masks) -> Self {
        Self { masks: Some(Box::new(masks)), ..Self::default() }
    }

    /// Whether a further frame may be taken.
    pub fn has_room(&self) -> bool {
        self.bytes < JOINED_BYTES_MAX
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that the connection has taken since the beginning.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes a text, which is UTF-8.
    pub fn text(&mut self, payload: Bytes) {
        self.frame(OpCode::Data(Data::Text), payload);
    }

    /// Takes bytes.
    pub fn binary(&mut self, payload: Bytes) {
        self.frame(OpCode::Data(Data::Binary), payload);
    }

    /// Takes a closing frame.
    pub fn close(&mut self, reason: CloseReason) {
        let payload = reason.map_or_else(Vec::new, |(code, reason)| {
            let mut payload = code.to_be_bytes().to_vec();
            payload.extend_from_slice(reason.as_bytes());
            payload
        });
        self.frame(OpCode::Control(Control::Close), payload.into());
    }

    /// Takes a ping without payload.
    pub fn ping(&mut self) {
        self.frame(OpCode::Control(Control::Ping), Bytes::new());
    }

    /// Takes the answer to a ping.
    pub fn pong(&mut self, payload: Vec<u8>) {
        self.frame(OpCode::Control(Control::Pong), payload.into());
    }

    fn frame(&mut self, opcode: OpCode, payload: Bytes) {
        let mask = self.masks.as_mut().map(|masks| masks.take());
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let before = self.joined.len();
        header
            .format(payload.len() as u64, &mut self.joined)
            .expect("BUG: a vector takes all that is written");
        let is_large = payload.len() > COPIED_BYTES_MAX;
        if !is_large {
            let at = self.joined.len();
            self.joined.extend_from_slice(&payload);
            if let Some(mask) = mask {
                masks::apply(&mut self.joined[at..], mask, 0);
            }
        }
        self.bytes += self.joined.len() - before;
        if is_large {
            self.bytes += payload.len();
            self.pieces.push_back(std::mem::take(&mut self.joined).into());
            self.pieces.push_back(Piece { bytes: payload, to_mask: mask.map(|mask| (mask, 0)) });
        }
    }

    /// Writes all there is.
    pub fn poll_write_all<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            if !self.joined.is_empty() {
                self.pieces.push_back(std::mem::take(&mut self.joined).into());
            }
            self.mask_next();
            let ready = |at| self.pieces.get(at).filter(|piece: &&Piece| piece.to_mask.is_none());
            let slices: [IoSlice<'_>; WRITTEN_PIECES] =
                std::array::from_fn(|at| IoSlice::new(ready(at).map_or(&[], |piece| &piece.bytes)));
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
        }
        Pin::new(io).poll_flush(cx)
    }

    /// Masks some of what is written next, if it has to be.
    fn mask_next(&mut self) {
        let mut next = self.pieces.iter_mut().take(WRITTEN_PIECES).enumerate();
        let Some((at, piece, (mask, begin))) =
            next.find_map(|(at, piece)| piece.to_mask.map(|to_mask| (at, piece, to_mask)))
        else {
            return;
        };
        let mut part = piece.bytes.split_to(piece.bytes.len().min(MASKED_BYTES)).to_vec();
        masks::apply(&mut part, mask, begin);
        piece.to_mask = Some((mask, begin + part.len() as u64));
        match piece.bytes.is_empty() {
            true => *piece = part.into(),
            false => self.pieces.insert(at, part.into()),
        }
    }

    fn wrote(&mut self, mut written: usize) {
        self.bytes -= written;
        self.written += written as u64;
        while written > 0 {
            let first = self.pieces.front_mut().expect("BUG: more was written than there is");
            let of_first = written.min(first.bytes.len());
            bytes::Buf::advance(&mut first.bytes, of_first);
            written -= of_first;
            if first.bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::super::masks::tests::Counting;
    use super::*;

    async fn written(fill: impl FnOnce(&mut Outbox)) -> Vec<u8> {
        let mut outbox = Outbox::default();
        fill(&mut outbox);
        let (mut client, mut server) = tokio::io::duplex(64);
        let write = async {
            poll_fn(|cx| outbox.poll_write_all(&mut server, cx)).await.expect("written");
            drop(server);
        };
        let mut bytes = Vec::new();
        let (_, read) = futures::join!(write, client.read_to_end(&mut bytes));
        read.expect("read");
        assert!(outbox.is_empty() && outbox.pieces.capacity() == 0 && outbox.joined.capacity() == 0);
        bytes
    }

    #[tokio::test]
    async fn frames_leave_in_order_each_with_its_head() {
        let large = vec![7; 70_000];
        let payload = Bytes::from(large.clone());
        let bytes = written(|outbox| {
            outbox.text("hi".into());
            outbox.binary(payload);
            outbox.pong(b"p".to_vec());
            outbox.ping();
            outbox.close(Some((3001, "done".to_owned())));
        });
        let mut expected = vec![0x81, 2, b'h', b'i', 0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70];
        expected.extend(large);
        expected.extend([0x8a, 1, b'p', 0x89, 0, 0x88, 6, 0x0b, 0xb9]);
        expected.extend(b"done");
        assert_eq!(bytes.await, expected);
    }

    #[tokio::test]
    async fn frames_for_a_server_are_masked_each_with_a_mask_of_its_own() {
        let payload = vec![7; 70_000];
        let mut outbox = Outbox::masked(Masks::new(Arc::new(Counting::default())));
        outbox.text("hi".into());
        outbox.binary(payload.clone().into());
        outbox.close(None);
        let (mut node, mut server) = tokio::io::duplex(64);
        let write = async {
            poll_fn(|cx| outbox.poll_write_all(&mut node, cx)).await.expect("written");
            drop(node);
        };
        let mut bytes = Vec::new();
        let (_, read) = futures::join!(write, server.read_to_end(&mut bytes));
        read.expect("read");
        assert_eq!(bytes[..8], [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]);
        assert_eq!(bytes[8..][..14], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 5, 6, 7, 8]);
        let masked = &bytes[22..][..payload.len()];
        assert!(masked.chunks(4).all(|chunk| chunk == [7 ^ 5, 7 ^ 6, 0, 7 ^ 8]));
        assert_eq!(bytes[22 + payload.len()..], [0x88, 0x80, 9, 10, 11, 12]);
    }

    /// A payload that tells when nobody has it any more.
    struct Counted {
        bytes: Vec<u8>,
        _held: Arc<()>,
    }

    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    #[tokio::test]
    async fn a_large_payload_is_masked_a_part_at_a_time_and_held_until_all_of_it_is() {
        let payload: Vec<u8> = (0..200_001_u32).map(|byte| byte as u8).collect();
        let held = Arc::new(());
        let mut outbox = Outbox::masked(Masks::new(Arc::new(Counting::default())));
        outbox.binary(Bytes::from_owner(Counted { bytes: payload.clone(), _held: held.clone() }));
        let (mut node, mut server) = tokio::io::duplex(10_000);
        let mut bytes = Vec::new();
        loop {
            let written = futures::poll!(poll_fn(|cx| outbox.poll_write_all(&mut node, cx)));
            let copied = outbox.pieces.iter().filter(|piece| piece.to_mask.is_none());
            let copied: usize = copied.map(|piece| piece.bytes.len()).sum();
            assert!(copied <= WRITTEN_PIECES * MASKED_BYTES, "{copied} bytes are copied");
            let is_held = Arc::strong_count(&held) == 2;
            assert_eq!(is_held, outbox.pieces.iter().any(|piece| piece.to_mask.is_some()));
            if let Poll::Ready(written) = written {
                written.expect("written");
                break;
            }
            assert!(is_held || bytes.len() > 100_000, "let go of early");
            server.read_buf(&mut bytes).await.expect("read");
        }
        drop(node);
        server.read_to_end(&mut bytes).await.expect("read");
        let mut unmasked = bytes.split_off(14);
        masks::apply(&mut unmasked, [1, 2, 3, 4], 0);
        assert!(unmasked == payload, "another payload came");
    }

    #[tokio::test]
    async fn an_empty_closing_frame_has_no_code() {
        assert_eq!(written(|outbox| outbox.close(None)).await, [0x88, 0]);
    }

    #[test]
    fn no_more_is_taken_while_much_is_to_be_written() {
        let mut outbox = Outbox::default();
        while outbox.has_room() {
            outbox.binary(vec![0; 1024].into());
        }
        assert!(outbox.bytes < JOINED_BYTES_MAX + 2 * 1024);
    }
}
