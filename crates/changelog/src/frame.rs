//! Frames: the self-contained pieces that a record is written in, one of at most 1 MiB of payload.
//!
//! A frame proves by itself that it is whole (two checksums) and that it stands where it was written
//! (its log position), so that recycled segments need no zeroing. Layout: `docs/reference/change-log.md`.
//!
//! Used by `codec` (records to frames and back), `segment_log` (patches the position) and the scan.

use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::{Epoch, LogPosition, Sequence};
use durabo_model::time::Timestamp;
use thiserror::Error;

use crate::mutation::{Mutation, is_planted};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 112;

/// Most payload bytes of one frame. Bounds what one transaction can put between two others.
pub const PART_BYTES_MAX: usize = 1024 * 1024;

const MAGIC: [u8; 4] = *b"DLOG";
const VERSION: u16 = 1;
const AT_HEADER_CRC: usize = 8;
const AT_POSITION: usize = 16;
const AT_LENGTH: usize = 24;

/// What a record does, as its header says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Pages of one transaction.
    Commit,
    /// The object's file is up to a commit.
    Checkpoint,
    /// `delete-all`.
    Wipe,
    /// Set back to an earlier state.
    Restore,
    /// The object is gone.
    Deleted,
    /// The namespace is gone.
    NamespaceDeleted,
    /// End of a segment; the log goes on in the next. No record.
    Seal,
}

impl RecordKind {
    const ALL: [(RecordKind, u8); 7] = [
        (RecordKind::Commit, 1),
        (RecordKind::Checkpoint, 2),
        (RecordKind::Wipe, 3),
        (RecordKind::Restore, 4),
        (RecordKind::Deleted, 5),
        (RecordKind::NamespaceDeleted, 6),
        (RecordKind::Seal, 127),
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            RecordKind::Commit => 1,
            RecordKind::Checkpoint => 2,
            RecordKind::Wipe => 3,
            RecordKind::Restore => 4,
            RecordKind::Deleted => 5,
            RecordKind::NamespaceDeleted => 6,
            RecordKind::Seal => 127,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == code).map(|(kind, _)| *kind)
    }
}

/// All of a frame's header that is not about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Kind of the record.
    pub kind: RecordKind,
    /// The record's payload begins with the object's name.
    pub named: bool,
    /// Whose record it is.
    pub key: ObjectKey,
    /// Instance that made it.
    pub epoch: Epoch,
    /// Number of the commit.
    pub sequence: Sequence,
    /// Chain value of the whole record.
    pub chain: u32,
    /// The clock's time.
    pub raw_time: Timestamp,
    /// The object's time.
    pub time: Timestamp,
    /// This part, from 0.
    pub part: u32,
    /// Parts of the record.
    pub parts: u32,
}

/// Why bytes are not a frame of this place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Fewer bytes than the frame has.
    #[error("frame is cut off: it has {needed} bytes, {given} are there")]
    Truncated {
        /// Bytes of the whole frame, as far as known.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// It does not begin like a frame.
    #[error("no frame begins here")]
    Magic,
    /// A version that this program does not read.
    #[error("frame has version `{0}`, this program reads 1")]
    Version(u16),
    /// Header checksum.
    #[error("header checksum of the frame is wrong")]
    HeaderChecksum,
    /// It was written for another place: left over in a recycled segment.
    #[error("frame was written for position {0}")]
    Position(LogPosition),
    /// More payload than a frame may have.
    #[error("frame claims {0} bytes of payload, the limit is 1048576")]
    Length(u32),
    /// Encrypted with a key; none is known.
    #[error("frame needs key `{0}`, this program knows none")]
    Key(u32),
    /// Unknown kind.
    #[error("frame has the unknown kind `{0}`")]
    Kind(u8),
    /// Unknown flags.
    #[error("frame has unknown flags `{0:#04x}`")]
    Flags(u8),
    /// Part index and count do not fit.
    #[error("frame claims to be part {part} of {parts}")]
    Parts {
        /// Index.
        part: u32,
        /// Count.
        parts: u32,
    },
    /// Payload checksum.
    #[error("payload checksum of the frame is wrong")]
    PayloadChecksum,
}

/// Writes the header before a payload that already stands in `frame[HEADER_BYTES..]`. Position and
/// header checksum stay zero until [`place`].
pub(crate) fn write_header(frame: &mut [u8], header: &FrameHeader) {
    let (head, payload) = frame.split_at_mut(HEADER_BYTES);
    let length = u32::try_from(payload.len()).expect("BUG: frames are short");
    head.fill(0);
    head[0..4].copy_from_slice(&MAGIC);
    head[4..6].copy_from_slice(&VERSION.to_le_bytes());
    head[6] = header.kind.code();
    head[7] = u8::from(header.named);
    head[12..16].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    head[AT_LENGTH..28].copy_from_slice(&length.to_le_bytes());
    // 28..32: key id, zero: not encrypted
    head[32..36].copy_from_slice(&header.key.namespace.0.to_le_bytes());
    head[36..68].copy_from_slice(header.key.id.as_bytes());
    head[68..76].copy_from_slice(&header.epoch.0.to_le_bytes());
    head[76..84].copy_from_slice(&header.sequence.0.to_le_bytes());
    head[84..88].copy_from_slice(&header.chain.to_le_bytes());
    head[88..96].copy_from_slice(&header.raw_time.0.to_le_bytes());
    head[96..104].copy_from_slice(&header.time.0.to_le_bytes());
    head[104..108].copy_from_slice(&header.part.to_le_bytes());
    head[108..112].copy_from_slice(&header.parts.to_le_bytes());
}

/// Gives a frame its place in the log and completes its header checksum.
pub(crate) fn place(frame: &mut [u8], position: LogPosition) {
    frame[AT_POSITION..AT_POSITION + 8].copy_from_slice(&position.0.to_le_bytes());
    let crc = header_crc(frame);
    frame[AT_HEADER_CRC..AT_HEADER_CRC + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The frame that ends a segment, for this place.
pub(crate) fn seal(position: LogPosition) -> [u8; HEADER_BYTES] {
    let mut frame = [0; HEADER_BYTES];
    let header = FrameHeader {
        kind: RecordKind::Seal,
        named: false,
        key: ObjectKey { namespace: NamespaceNumber(0), id: ObjectId::from_bytes([0; 32]) },
        epoch: Epoch(0),
        sequence: Sequence(0),
        chain: 0,
        raw_time: Timestamp(0),
        time: Timestamp(0),
        part: 0,
        parts: 1,
    };
    write_header(&mut frame, &header);
    place(&mut frame, position);
    frame
}

/// Bytes of the frame that starts `bytes`; only for frames made by [`write_header`].
pub(crate) fn own_frame_bytes(bytes: &[u8]) -> usize {
    HEADER_BYTES + u32_at(bytes, AT_LENGTH) as usize
}

/// Reads a header that must stand at `position`; returns it with the length of its payload.
pub(crate) fn read_header(bytes: &[u8], position: LogPosition) -> Result<(FrameHeader, usize), FrameError> {
    if bytes.len() < HEADER_BYTES {
        return Err(FrameError::Truncated { needed: HEADER_BYTES, given: bytes.len() });
    }
    if bytes[0..4] != MAGIC {
        return Err(FrameError::Magic);
    }
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if u32_at(bytes, AT_HEADER_CRC) != header_crc(bytes) {
        return Err(FrameError::HeaderChecksum);
    }
    let found = LogPosition(u64_at(bytes, AT_POSITION));
    if found != position && !is_planted(Mutation::AcceptStalePosition) {
        return Err(FrameError::Position(found));
    }
    let length = u32_at(bytes, AT_LENGTH);
    if length as usize > PART_BYTES_MAX {
        return Err(FrameError::Length(length));
    }
    if u32_at(bytes, 28) != 0 {
        return Err(FrameError::Key(u32_at(bytes, 28)));
    }
    let kind = RecordKind::from_code(bytes[6]).ok_or(FrameError::Kind(bytes[6]))?;
    if bytes[7] > 1 {
        return Err(FrameError::Flags(bytes[7]));
    }
    let (part, parts) = (u32_at(bytes, 104), u32_at(bytes, 108));
    if part >= parts {
        return Err(FrameError::Parts { part, parts });
    }
    let mut id = [0; 32];
    id.copy_from_slice(&bytes[36..68]);
    let header = FrameHeader {
        kind,
        named: bytes[7] == 1,
        key: ObjectKey { namespace: NamespaceNumber(u32_at(bytes, 32)), id: ObjectId::from_bytes(id) },
        epoch: Epoch(u64_at(bytes, 68)),
        sequence: Sequence(u64_at(bytes, 76)),
        chain: u32_at(bytes, 84),
        raw_time: Timestamp(u64_at(bytes, 88)),
        time: Timestamp(u64_at(bytes, 96)),
        part,
        parts,
    };
    Ok((header, length as usize))
}

/// Checks the payload that follows a header that was accepted.
pub(crate) fn check_payload(header: &[u8], payload: &[u8]) -> Result<(), FrameError> {
    if crc32fast::hash(payload) == u32_at(header, 12) { Ok(()) } else { Err(FrameError::PayloadChecksum) }
}

/// Reads the frame that must stand at `position`; returns its header and its payload.
pub(crate) fn read_frame(bytes: &[u8], position: LogPosition) -> Result<(FrameHeader, &[u8]), FrameError> {
    let (header, length) = read_header(bytes, position)?;
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + length);
    let payload =
        payload.ok_or(FrameError::Truncated { needed: HEADER_BYTES + length, given: bytes.len() })?;
    check_payload(bytes, payload)?;
    Ok((header, payload))
}

fn header_crc(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..AT_HEADER_CRC]);
    hasher.update(&frame[AT_HEADER_CRC + 4..HEADER_BYTES]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: LogPosition = LogPosition(4096);

    fn refused(change: impl Fn(&mut [u8; HEADER_BYTES])) -> FrameError {
        let mut frame = seal(HERE);
        change(&mut frame);
        let crc = header_crc(&frame).to_le_bytes();
        frame[AT_HEADER_CRC..AT_HEADER_CRC + 4].copy_from_slice(&crc);
        read_frame(&frame, HERE).expect_err("damaged")
    }

    #[test]
    fn a_sound_frame_is_read() {
        let frame = seal(HERE);
        let (header, payload) = read_frame(&frame, HERE).expect("sound");
        assert_eq!((header.kind, payload.len()), (RecordKind::Seal, 0));
    }

    #[test]
    fn each_damage_has_its_own_error() {
        assert_eq!(refused(|frame| frame[0] = 0), FrameError::Magic);
        assert_eq!(refused(|frame| frame[4] = 2), FrameError::Version(2));
        assert_eq!(refused(|frame| frame[6] = 99), FrameError::Kind(99));
        assert_eq!(refused(|frame| frame[7] = 2), FrameError::Flags(2));
        assert_eq!(refused(|frame| frame[12] ^= 1), FrameError::PayloadChecksum);
        assert_eq!(refused(|frame| frame[16] ^= 1), FrameError::Position(LogPosition(4097)));
        assert_eq!(refused(|frame| frame[27] = 1), FrameError::Length(1 << 24));
        assert_eq!(refused(|frame| frame[24] = 1), FrameError::Truncated { needed: 113, given: 112 });
        assert_eq!(refused(|frame| frame[28] = 5), FrameError::Key(5));
        assert_eq!(refused(|frame| frame[104] = 1), FrameError::Parts { part: 1, parts: 1 });
        let mut frame = seal(HERE);
        frame[84] ^= 1;
        assert_eq!(read_frame(&frame, HERE), Err(FrameError::HeaderChecksum));
        let cut = FrameError::Truncated { needed: HEADER_BYTES, given: 111 };
        assert_eq!(read_frame(&seal(HERE)[..111], HERE), Err(cut));
    }

    #[test]
    fn codes_and_kinds_match() {
        for (kind, code) in RecordKind::ALL {
            assert_eq!((kind.code(), RecordKind::from_code(code)), (code, Some(kind)));
        }
    }
}
