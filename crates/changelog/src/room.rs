//! Room in prepared segments: what commits under way may need, and what the queue has been given.
//!
//! Records are packed into segments in the order of the queue, so where the queue's end will stand is
//! known before anything is written. A turn holds room while it commits, before its record exists; the
//! sum of all that is held fits whatever the order in which the records come. One segment is kept for
//! checkpoint records, without which no segment would ever become free again.
//!
//! Arithmetic only; `segment_pool` owns it.

use durabo_model::limits::NAME_CARRIED_BYTES_MAX;

use crate::codec::EncodedRecord;
use crate::frame::{HEADER_BYTES, PART_BYTES_MAX};

/// Segments that only checkpoint records may use.
const KEPT_SEGMENTS: u64 = 1;

/// Bytes that end a segment.
const SEAL_BYTES: u64 = HEADER_BYTES as u64;

/// What a record has beside its pages, at most: header, name, and fixed fields.
const RECORD_OVERHEAD_BYTES: u64 = (HEADER_BYTES + NAME_CARRIED_BYTES_MAX + FIXED_BYTES_MAX) as u64;

/// Length of the name, pages of the database, alarm, and number of pages.
const FIXED_BYTES_MAX: usize = 2 + 4 + 9 + 4;

/// How the segments that are ready are spoken for.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    segment: u64,
    /// Bytes left in the segment that the queue's last record will stand in.
    rest: u64,
    /// Segments that records of the queue will take and the log has not taken yet.
    owed: u64,
    /// Bytes held by commits under way.
    held: u64,
    /// Segments that they need if each of them begins a new one.
    held_segments: u64,
    /// The largest frame among them.
    frame_max: u64,
}

impl Room {
    pub(crate) fn new(segment: u64) -> Self {
        Self { segment, rest: 0, owed: 0, held: 0, held_segments: 0, frame_max: 0 }
    }

    /// Segments that records of the queue will take and the log has not taken yet.
    pub(crate) fn owed(&self) -> u64 {
        self.owed
    }

    /// Prepared segments that must not be given up at present.
    pub(crate) fn spoken_for(&self) -> u64 {
        self.owed.saturating_add(self.needed()).saturating_add(KEPT_SEGMENTS)
    }

    /// The log has taken a segment.
    pub(crate) fn taken(&mut self) {
        self.owed = self.owed.saturating_sub(1);
    }

    /// Holds room for a commit that holds `before` and adds `more` bytes of WAL, whole frames; gives what it
    /// holds then, `None` if that does not fit. `ready` counts prepared segments.
    pub(crate) fn hold(&mut self, before: u64, more: u64, ready: u64) -> Option<u64> {
        let overhead = if before == 0 { RECORD_OVERHEAD_BYTES } else { 0 };
        // At worst each page stands raw in the record. Its entry has a header of 7 bytes there and its frame
        // one of 24 in the WAL; what that leaves is more than the headers of the record's further parts.
        let after = before + overhead + more;
        let next = Self {
            held: self.held - before + after,
            held_segments: self.held_segments - self.alone(before) + self.alone(after),
            frame_max: self.frame_max.max(self.frame(after)),
            ..*self
        };
        if next.spoken_for() > ready {
            return None;
        }
        *self = next;
        Some(after)
    }

    /// Gives back what a commit held.
    pub(crate) fn give_back(&mut self, held: u64) {
        self.held -= held;
        self.held_segments -= self.alone(held);
        if self.held == 0 {
            self.frame_max = 0;
        }
    }

    /// The commit that held `held` has its record, which is now the last of the queue.
    pub(crate) fn queue_commit(&mut self, held: u64, record: &EncodedRecord) {
        debug_assert!(
            record.size_bytes() as u64 <= held,
            "BUG: a commit is larger than what was held for it"
        );
        self.give_back(held);
        (self.rest, self.owed) = self.behind(record);
    }

    /// A checkpoint's record becomes the last of the queue, if it and all that is held fit.
    pub(crate) fn queue_checkpoint(&mut self, record: &EncodedRecord, ready: u64) -> bool {
        let (rest, owed) = self.behind(record);
        let next = Self { rest, owed, ..*self };
        let fits = next.owed + next.needed() <= ready;
        if fits {
            *self = next;
        }
        fits
    }

    /// The end of the queue with `record` behind it, as the log will place it.
    fn behind(&self, record: &EncodedRecord) -> (u64, u64) {
        let (mut rest, mut owed) = (self.rest, self.owed);
        for frame in record.frame_sizes() {
            let bytes = frame as u64;
            if bytes + SEAL_BYTES > rest {
                owed += 1;
                rest = self.segment;
            }
            rest = rest.saturating_sub(bytes);
        }
        (rest, owed)
    }

    /// New segments that all that is held may need, in whatever order it comes.
    fn needed(&self) -> u64 {
        if self.held == 0 || self.held + SEAL_BYTES <= self.rest {
            return 0;
        }
        // A segment is left when the next frame does not fit, so this much of it is used.
        let used = self.segment.saturating_sub(self.frame_max + SEAL_BYTES);
        let together = if used == 0 { u64::MAX } else { self.held.div_ceil(used) };
        together.min(self.held_segments)
    }

    /// Segments that a record of so many bytes needs if it begins a new one.
    fn alone(&self, bytes: u64) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let frame = self.frame(bytes);
        let frames_each = ((self.segment - SEAL_BYTES) / frame).max(1);
        bytes.div_ceil(frame).div_ceil(frames_each)
    }

    fn frame(&self, bytes: u64) -> u64 {
        let part = (PART_BYTES_MAX + HEADER_BYTES) as u64;
        bytes.min(part).min(self.segment - SEAL_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{encode, encode_in_parts};
    use crate::record::{AlarmChange, PAGE_BYTES, PageContent, PageEntry, RecordBody};
    use crate::samples::commit;
    use crate::seeded::Seeded;

    const MIB: u64 = 1024 * 1024;

    /// A page in the WAL.
    const FRAME_BYTES: u64 = 4096 + 24;

    #[test]
    fn room_is_held_only_in_prepared_segments_and_one_of_them_is_kept() {
        let mut room = Room::new(8 * MIB);
        assert_eq!(room.hold(0, 4096, 1), None);
        let held = room.hold(0, 4096, 2).expect("one besides the kept one");
        assert!(held >= 4096 + RECORD_OVERHEAD_BYTES);
        assert_eq!(room.hold(0, 8 * MIB, 2), None, "more than one segment together");
        room.give_back(held);
        assert_eq!(room.hold(0, 64 * MIB, 8), None);
        assert!(room.hold(0, 64 * MIB, 11).is_some());
    }

    #[test]
    fn what_is_held_for_a_commit_is_what_its_record_takes_at_most_and_little_more() {
        for pages in [1, 2, 4, 100, 256, 257, 3000] {
            let mut room = Room::new(8 * MIB);
            let mut held = 0;
            for _ in 0..pages {
                held = room.hold(held, FRAME_BYTES, 100).expect("room");
            }
            let page = |number| PageEntry { number, content: PageContent::Raw(vec![7; PAGE_BYTES]) };
            let mut record = commit(1, 1, 0);
            record.name = Some("x".repeat(NAME_CARRIED_BYTES_MAX));
            record.body = RecordBody::Commit {
                database_pages: pages,
                alarm: AlarmChange::Set(record.time),
                pages: (1..=pages).map(page).collect(),
            };
            let needed = encode(&record, 0).size_bytes() as u64;
            assert!(needed <= held, "{pages} pages: {needed} needed, {held} held");
            assert!(held <= needed + needed / 100, "{pages} pages: {needed} needed, {held} held");
        }
    }

    #[test]
    fn a_checkpoints_record_may_use_the_kept_segment_but_not_what_is_held() {
        let mut room = Room::new(16 * 1024);
        let record = encode(&commit(1, 1, 1), 0);
        assert!(!room.queue_checkpoint(&record, 0));
        let held = room.hold(0, 20_000, 3).expect("fits");
        assert!(room.queue_checkpoint(&record, 3));
        assert!(!room.queue_checkpoint(&record, 2));
        room.give_back(held);
        assert!(room.queue_checkpoint(&record, 2));
    }

    #[test]
    fn what_was_held_always_fits_in_whatever_order_the_records_come() {
        for seed in 0..300 {
            let mut random = Seeded::new(seed);
            let segment = 16 * 1024 * (1 + random.below(4));
            let mut room = Room::new(segment);
            let ready = 3 + random.below(8);
            let mut open: Vec<(u64, u64)> = Vec::new();
            for _ in 0..200 {
                if random.chance(60) {
                    let bytes = (1 + random.below(2)) * FRAME_BYTES;
                    if let Some(held) = room.hold(0, bytes, ready + room.owed()) {
                        open.push((held, bytes));
                    }
                } else if !open.is_empty() {
                    let (held, bytes) = open.swap_remove(random.below(open.len() as u64) as usize);
                    let mut record = commit(1, 1, 0);
                    record.name = Some("x".repeat(bytes.min(1024) as usize));
                    let encoded = encode_in_parts(&record, 0, 500);
                    assert!(encoded.size_bytes() as u64 <= held, "seed {seed}");
                    room.queue_commit(held, &encoded);
                }
            }
            let before = room.owed();
            for (held, _) in open {
                let mut record = commit(1, 1, 0);
                record.name = Some("x".repeat(1024));
                room.queue_commit(held, &encode(&record, 0));
            }
            assert!(room.owed() - before <= ready, "seed {seed}");
        }
    }
}
