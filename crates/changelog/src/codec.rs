//! Records to bytes and back.
//!
//! Encoding needs neither the log nor its position, so each object encodes on its own thread; the
//! position is patched in when the log writes the bytes. A large record becomes several frames, which
//! count only when the last one is there; frames of other objects may stand between them.
//!
//! Used by `storage` (encode), `segment_log` (place) and `scan` (decode).

use std::borrow::Cow;
use std::collections::BTreeMap;

use durabo_model::object::ObjectKey;
use durabo_model::sequence::{LogPosition, Sequence};

use crate::codec_error::CodecError;
use crate::frame::{
    FrameHeader, HEADER_BYTES, PART_BYTES_MAX, RecordKind, own_frame_bytes, place, read_frame, write_header,
};
use crate::payload;
use crate::record::Record;

/// A record, ready for `SegmentLog::append`.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    /// Whose record it is.
    pub key: ObjectKey,
    /// Its number.
    pub sequence: Sequence,
    /// Its chain value; the next record of the object is encoded with it.
    pub chain: u32,
    /// What it does.
    pub kind: RecordKind,
    bytes: Vec<u8>,
}

impl EncodedRecord {
    /// Bytes that it takes in the log, headers included.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The same record as one entry per part, so that a committer can write a large one over several
    /// batches with others between. They must be appended in this order, with no other record of the
    /// same object between; the record stands where its first part stands.
    pub fn into_parts(self) -> Vec<EncodedRecord> {
        let Self { key, sequence, chain, kind, bytes } = self;
        let mut parts = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (part, tail) = rest.split_at(own_frame_bytes(rest));
            parts.push(EncodedRecord { key, sequence, chain, kind, bytes: part.to_vec() });
            rest = tail;
        }
        parts
    }

    /// Its frames in order, to be given their places.
    pub(crate) fn frames_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let mut rest = self.bytes.as_mut_slice();
        std::iter::from_fn(move || {
            let whole = std::mem::take(&mut rest);
            if whole.is_empty() {
                return None;
            }
            let (frame, tail) = whole.split_at_mut(own_frame_bytes(whole));
            rest = tail;
            Some(frame)
        })
    }

    /// Bytes of each of its frames, in order.
    pub(crate) fn frame_sizes(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
            let bytes = own_frame_bytes(rest);
            at += bytes;
            Some(bytes)
        })
    }

    /// Bytes of its largest frame.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.frame_sizes().max().unwrap_or(0)
    }

    /// The bytes as they stand in the log from `position` on, if no segment ends between.
    pub fn placed(mut self, position: LogPosition) -> Vec<u8> {
        let mut at = position.0;
        for frame in self.frames_mut() {
            place(frame, LogPosition(at));
            at += frame.len() as u64;
        }
        self.bytes
    }
}

/// Encodes a record that follows one with the chain value `previous_chain` (0 for an object's first).
/// `record.chain` is not looked at; the new value is in the result.
pub fn encode(record: &Record, previous_chain: u32) -> EncodedRecord {
    encode_in_parts(record, previous_chain, PART_BYTES_MAX)
}

/// As [`encode`], with parts of at most `part_bytes` of payload.
pub(crate) fn encode_in_parts(record: &Record, previous_chain: u32, part_bytes: usize) -> EncodedRecord {
    let mut bytes = vec![0; HEADER_BYTES];
    payload::write(&mut bytes, record);
    let payload_bytes = bytes.len() - HEADER_BYTES;
    let parts = payload_bytes.div_ceil(part_bytes).max(1);
    let mut header = FrameHeader {
        kind: payload::kind_of(&record.body),
        named: record.name.is_some(),
        key: record.key,
        epoch: record.epoch,
        sequence: record.sequence,
        chain: 0,
        raw_time: record.raw_time,
        time: record.time,
        part: 0,
        parts: u32::try_from(parts).expect("BUG: a record of more parts than fit the disk"),
    };
    header.chain = chain_of(previous_chain, &header, &bytes[HEADER_BYTES..]);
    if parts == 1 {
        write_header(&mut bytes, &header);
    } else {
        let mut frames = Vec::with_capacity(payload_bytes + parts * HEADER_BYTES);
        for piece in bytes[HEADER_BYTES..].chunks(part_bytes) {
            let start = frames.len();
            frames.resize(start + HEADER_BYTES, 0);
            frames.extend_from_slice(piece);
            write_header(&mut frames[start..], &header);
            header.part += 1;
        }
        bytes = frames;
    }
    EncodedRecord {
        key: record.key,
        sequence: record.sequence,
        chain: header.chain,
        kind: header.kind,
        bytes,
    }
}

/// Chain value of a record: CRC-32 of the previous value, the lasting fields of the header, and the
/// payload of all parts together. A checkpoint is no link: it carries the value of the commit whose
/// number it bears, since commits go on while its file is synced.
pub(crate) fn chain_of(previous_chain: u32, header: &FrameHeader, payload: &[u8]) -> u32 {
    if header.kind == RecordKind::Checkpoint {
        return previous_chain;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&previous_chain.to_le_bytes());
    hasher.update(&[header.kind.code(), u8::from(header.named)]);
    hasher.update(&header.epoch.0.to_le_bytes());
    hasher.update(&header.sequence.0.to_le_bytes());
    hasher.update(&header.raw_time.0.to_le_bytes());
    hasher.update(&header.time.0.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Decodes the record whose parts stand one after the other from `position` on, checking its chain;
/// returns it and the bytes it took. Damage of each kind has its own error.
pub fn decode(
    bytes: &[u8],
    position: LogPosition,
    previous_chain: u32,
) -> Result<(Record, usize), CodecError> {
    let mut joiner = Joiner::default();
    let mut at = 0;
    loop {
        let (header, payload) = read_frame(&bytes[at..], LogPosition(position.0 + at as u64))?;
        at += HEADER_BYTES + payload.len();
        match joiner.add(&header, payload)? {
            Joined::Complete(payload) => {
                if chain_of(previous_chain, &header, &payload) != header.chain {
                    return Err(CodecError::Chain);
                }
                return Ok((record_of(&header, &payload)?, at));
            }
            Joined::Open => {}
            Joined::Orphan => return Err(CodecError::PartOrder { part: header.part, parts: header.parts }),
        }
    }
}

/// The record of a header and a whole payload.
pub(crate) fn record_of(header: &FrameHeader, payload: &[u8]) -> Result<Record, CodecError> {
    let (name, body) = payload::read(header.kind, header.named, payload)?;
    Ok(Record {
        key: header.key,
        epoch: header.epoch,
        sequence: header.sequence,
        chain: header.chain,
        raw_time: header.raw_time,
        time: header.time,
        name,
        body,
    })
}

/// What a frame did to its record.
pub(crate) enum Joined<'a> {
    /// It completed it; this is the payload of all parts.
    Complete(Cow<'a, [u8]>),
    /// More parts must come.
    Open,
    /// A later part without the first, which may stand before the place where reading began.
    Orphan,
}

/// Joins the parts of records of any number of objects.
#[derive(Default)]
pub(crate) struct Joiner {
    open: BTreeMap<ObjectKey, (FrameHeader, Vec<u8>)>,
}

impl Joiner {
    /// Takes the next frame of the log.
    pub(crate) fn add<'a>(
        &mut self,
        header: &FrameHeader,
        payload: &'a [u8],
    ) -> Result<Joined<'a>, CodecError> {
        let wrong = CodecError::PartOrder { part: header.part, parts: header.parts };
        match self.open.get_mut(&header.key) {
            None if header.parts == 1 => Ok(Joined::Complete(Cow::Borrowed(payload))),
            None if header.part == 0 => {
                self.open.insert(header.key, (*header, payload.to_vec()));
                Ok(Joined::Open)
            }
            None => Ok(Joined::Orphan),
            Some((last, joined)) => {
                if *header != (FrameHeader { part: last.part.wrapping_add(1), ..*last }) {
                    return Err(wrong);
                }
                joined.extend_from_slice(payload);
                last.part = header.part;
                if header.part + 1 < header.parts {
                    return Ok(Joined::Open);
                }
                let (_, joined) = self.open.remove(&header.key).ok_or(wrong)?;
                Ok(Joined::Complete(Cow::Owned(joined)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameError;
    use crate::record::{AlarmChange, FileMark, PageContent, PageEntry, RecordBody};
    use crate::seeded::Seeded;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;
    use durabo_model::sequence::Epoch;
    use durabo_model::time::Timestamp;

    const HERE: LogPosition = LogPosition(777);

    fn record(sequence: u64, body: RecordBody) -> Record {
        Record {
            key: ObjectKey { namespace: NamespaceNumber(3), id: ObjectId::from_bytes([5; 32]) },
            epoch: Epoch::new(2, 9),
            sequence: Sequence(sequence),
            chain: 0,
            raw_time: Timestamp(1000),
            time: Timestamp(1001),
            name: (sequence == 1).then(|| "räume/7".to_owned()),
            body,
        }
    }

    fn commit(pages: usize) -> RecordBody {
        let page = |at: usize| PageEntry {
            number: at as u32 + 1,
            content: match at % 3 {
                0 => PageContent::Raw(vec![at as u8; 4096]),
                1 => PageContent::Lz4(vec![1, 2, 3]),
                _ => PageContent::Difference(vec![0, 0, 1, 0, 9]),
            },
        };
        RecordBody::Commit {
            database_pages: 70,
            alarm: AlarmChange::Set(Timestamp(5)),
            pages: (0..pages).map(page).collect(),
        }
    }

    fn wipe(pages: Vec<PageContent>) -> RecordBody {
        let page = |(number, content)| PageEntry { number, content };
        let pages = (1..).zip(pages).map(page).collect();
        RecordBody::Wipe { database_pages: 2, alarm: AlarmChange::Cleared, pages }
    }

    fn samples() -> Vec<Record> {
        let mark = FileMark { file_bytes: 8192, first_page_crc: 77 };
        let cleared =
            RecordBody::Commit { database_pages: 1, alarm: AlarmChange::Cleared, pages: Vec::new() };
        let bodies = [
            commit(5),
            cleared,
            RecordBody::Checkpoint { through: Sequence(2), mark },
            wipe(vec![PageContent::Raw(vec![7; 4096]), PageContent::Lz4(vec![1, 2])]),
            RecordBody::Restore,
            RecordBody::Deleted,
            RecordBody::NamespaceDeleted,
        ];
        (1..).zip(bodies).map(|(sequence, body)| record(sequence, body)).collect()
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        let mut chain = 0;
        for mut record in samples() {
            let encoded = encode(&record, chain);
            record.chain = encoded.chain;
            let bytes = encoded.clone().placed(HERE);
            assert_eq!(decode(&bytes, HERE, chain), Ok((record, bytes.len())));
            assert_eq!(decode(&bytes, HERE, chain ^ 1), Err(CodecError::Chain));
            chain = encoded.chain;
        }
    }

    #[test]
    fn large_records_become_parts_of_at_most_one_mebibyte() {
        let mut record = record(4, commit(3000));
        let encoded = encode(&record, 1);
        record.chain = encoded.chain;
        assert!(encoded.frame_bytes_max() <= HEADER_BYTES + PART_BYTES_MAX);
        assert_eq!(encoded.clone().into_parts().len(), 4);
        let bytes = encoded.placed(HERE);
        assert_eq!(decode(&bytes, HERE, 1), Ok((record, bytes.len())));
    }

    #[test]
    fn parts_in_the_wrong_order_are_refused() {
        let parts = encode_in_parts(&record(2, commit(3)), 0, 1000).into_parts();
        assert!(parts.len() > 3);
        for order in [[0, 2], [1, 0], [0, 0]] {
            let first = parts[order[0]].clone().placed(HERE);
            let place = LogPosition(HERE.0 + first.len() as u64);
            let bytes = [first, parts[order[1]].clone().placed(place)].concat();
            assert!(matches!(decode(&bytes, HERE, 0), Err(CodecError::PartOrder { .. })), "{order:?}");
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let bytes = encode_in_parts(&record(1, commit(4)), 0, 3000).placed(HERE);
        for end in 0..bytes.len() {
            let cut = decode(&bytes[..end], HERE, 0);
            assert!(matches!(cut, Err(CodecError::Frame(FrameError::Truncated { .. }))), "{end}");
        }
    }

    #[test]
    fn a_record_of_another_place_is_refused() {
        let bytes = encode(&record(1, commit(1)), 0).placed(HERE);
        assert_eq!(decode(&bytes, LogPosition(0), 0), Err(FrameError::Position(HERE).into()));
    }

    #[test]
    fn random_damage_is_never_accepted_and_never_panics() {
        let mut random = Seeded::new(11);
        for sample in samples() {
            let bytes = encode_in_parts(&sample, 0, 3000).placed(HERE);
            for _ in 0..2000 {
                let mut damaged = bytes.clone();
                for _ in 0..=random.below(4) {
                    let at = random.below(damaged.len() as u64) as usize;
                    match random.below(3) {
                        0 => damaged[at] ^= 1 << random.below(8),
                        1 => damaged[at] = random.draw() as u8,
                        _ => damaged.truncate(at.max(1)),
                    }
                }
                assert!(damaged == bytes || decode(&damaged, HERE, 0).is_err());
            }
        }
    }

    #[test]
    fn payloads_with_sound_checksums_and_nonsense_inside_are_refused() {
        let mut random = Seeded::new(12);
        let mut payload_of = |sample: &Record| {
            let mut payload = Vec::new();
            payload::write(&mut payload, sample);
            for _ in 0..=random.below(3) {
                let at = random.below(payload.len() as u64 + 1) as usize;
                match random.below(3) {
                    0 if at < payload.len() => payload[at] = random.draw() as u8,
                    1 => payload.truncate(at),
                    _ => payload.insert(at, random.draw() as u8),
                }
            }
            payload
        };
        for _ in 0..20_000 {
            for sample in &samples()[..4] {
                // Whatever comes out, it must come out without a panic or a huge allocation.
                let kind = payload::kind_of(&sample.body);
                let _ = payload::read(kind, sample.name.is_some(), &payload_of(sample));
            }
        }
        let huge = [70, 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(payload::read(RecordKind::Commit, false, &huge), Err(CodecError::PageCount(0xffff_ffff)));
        assert_eq!(payload::read(RecordKind::Deleted, false, &[0]), Err(CodecError::Trailing(1)));
        assert_eq!(payload::read(RecordKind::Wipe, false, &huge), Err(CodecError::PageCount(0xffff_ffff)));
        assert_eq!(payload::read(RecordKind::Seal, false, &[]), Err(CodecError::Seal));
        assert_eq!(payload::read(RecordKind::Commit, false, &[1, 0, 0, 0, 3]), Err(CodecError::Alarm(3)));
        assert_eq!(payload::read(RecordKind::Wipe, true, &[1, 0, 0xff]), Err(CodecError::Name));
    }

    #[test]
    fn a_wipe_with_a_difference_to_what_it_wiped_is_refused() {
        let difference = PageContent::Difference(vec![0, 0, 1, 0, 9]);
        let bytes =
            encode(&record(1, wipe(vec![PageContent::Raw(vec![7; 4096]), difference])), 0).placed(HERE);
        assert_eq!(decode(&bytes, HERE, 0), Err(CodecError::WipeDifference(2)));
    }
}
