//! The bytes of a WAL in memory: each frame in a block of its own.
//!
//! So a WAL grows without a copy of what it has, and takes no more than that. Most objects have a few frames, to which
//! every turn adds one or two; copying them all for each was a sixth of what a small turn cost.
//!
//! Whoever reads or writes sees one row of bytes, as of any file; a frame's own page is handed out as it lies.

use durabo_changelog::record::PAGE_BYTES;

/// Bytes before the first frame of the WAL.
pub(crate) const WAL_HEADER_BYTES: usize = 32;

/// Bytes before each page of the WAL.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// Bytes of a frame: its header and its page.
pub(crate) const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;

/// A WAL, or any other file of SQLite's. Bytes that were never written are zeros.
#[derive(Debug, Default)]
pub(crate) struct FrameStore {
    header: [u8; WAL_HEADER_BYTES],
    frames: Vec<Box<[u8]>>,
    len: usize,
}

impl FrameStore {
    /// Bytes of the file.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.frames.capacity() * size_of::<Box<[u8]>>() + self.frames.len() * FRAME_BYTES
    }

    /// Reads what there is at `offset`; returns how many bytes that were.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: usize) -> usize {
        let count = self.len.saturating_sub(offset).min(buffer.len());
        let mut done = 0;
        while done < count {
            let block = self.block(offset + done);
            let part = block.len().min(count - done);
            buffer[done..done + part].copy_from_slice(&block[..part]);
            done += part;
        }
        count
    }

    /// Writes at `offset`; the file grows if it must.
    pub(crate) fn write_at(&mut self, new: &[u8], offset: usize) {
        self.grow(offset + new.len());
        let mut done = 0;
        while done < new.len() {
            let block = self.block_mut(offset + done);
            let part = block.len().min(new.len() - done);
            block[..part].copy_from_slice(&new[done..done + part]);
            done += part;
        }
    }

    /// Makes the file so long. What is cut off is given back.
    pub(crate) fn set_len(&mut self, len: usize) {
        if len >= self.len {
            return self.grow(len);
        }
        self.frames.truncate(frames_of(len));
        self.frames.shrink_to_fit();
        self.len = len;
        if len < WAL_HEADER_BYTES {
            self.header[len..].fill(0);
        } else if !(len - WAL_HEADER_BYTES).is_multiple_of(FRAME_BYTES) {
            self.block_mut(len).fill(0);
        }
    }

    /// A number in the header of a frame; the first frame has number 1.
    pub(crate) fn header_field(&self, frame: u32, offset: usize) -> u32 {
        let bytes = self.frames[frame as usize - 1][offset..offset + 4].try_into();
        u32::from_be_bytes(bytes.expect("BUG: four bytes"))
    }

    /// The page of a frame.
    pub(crate) fn image(&self, frame: u32) -> &[u8] {
        &self.frames[frame as usize - 1][FRAME_HEADER_BYTES..]
    }

    fn grow(&mut self, len: usize) {
        while self.frames.len() < frames_of(len) {
            self.frames.push(vec![0; FRAME_BYTES].into_boxed_slice());
        }
        self.len = self.len.max(len);
    }

    /// The bytes from `offset` on that lie in one piece.
    fn block(&self, offset: usize) -> &[u8] {
        match offset.checked_sub(WAL_HEADER_BYTES) {
            None => &self.header[offset..],
            Some(behind) => &self.frames[behind / FRAME_BYTES][behind % FRAME_BYTES..],
        }
    }

    fn block_mut(&mut self, offset: usize) -> &mut [u8] {
        match offset.checked_sub(WAL_HEADER_BYTES) {
            None => &mut self.header[offset..],
            Some(behind) => &mut self.frames[behind / FRAME_BYTES][behind % FRAME_BYTES..],
        }
    }
}

/// Frames that a file of so many bytes has begun.
fn frames_of(len: usize) -> usize {
    len.saturating_sub(WAL_HEADER_BYTES).div_ceil(FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use durabo_changelog::seeded::Seeded;

    use super::*;

    #[test]
    fn it_reads_as_one_row_of_bytes_whatever_is_written_cut_and_grown() {
        let (mut store, mut model) = (FrameStore::default(), Vec::new());
        let mut random = Seeded::new(7);
        let longest = (WAL_HEADER_BYTES + 5 * FRAME_BYTES) as u64;
        for step in 0..3000_u32 {
            let (at, count) = (random.below(longest) as usize, random.below(10_000) as usize);
            if random.chance(20) {
                store.set_len(at);
                model.resize(at, 0);
            } else {
                let new = vec![step as u8 | 1; count];
                store.write_at(&new, at);
                model.resize(model.len().max(at + count), 0);
                model[at..at + count].copy_from_slice(&new);
            }
            let from = random.below(longest) as usize;
            for (from, count) in [(0, model.len() + 1), (from, count)] {
                let mut seen = vec![9; count];
                let read = store.read_at(&mut seen, from);
                let expected = &model[from.min(model.len())..(from + count).min(model.len())];
                assert!(seen[..read] == *expected, "step {step}, from {from}");
            }
            assert_eq!(store.len(), model.len());
        }
    }

    #[test]
    fn a_frame_is_found_by_its_number() {
        let mut store = FrameStore::default();
        for number in 1..=3_u32 {
            let frame =
                [&number.to_be_bytes()[..], &[0; FRAME_HEADER_BYTES - 4], &[number as u8; PAGE_BYTES]];
            store.write_at(&frame.concat(), WAL_HEADER_BYTES + (number as usize - 1) * FRAME_BYTES);
        }
        assert_eq!((store.header_field(2, 0), store.header_field(3, 0)), (2, 3));
        assert_eq!(store.image(2), [2; PAGE_BYTES]);
    }

    #[test]
    fn it_takes_no_more_than_its_frames_and_gives_back_what_is_cut_off() {
        for frames in [0, 1, 2, 7, 300] {
            let mut store = FrameStore::default();
            store.set_len(WAL_HEADER_BYTES);
            for _ in 0..frames {
                store.write_at(&[2; FRAME_BYTES], store.len());
            }
            let (memory, bytes) = (store.memory_bytes(), frames * FRAME_BYTES);
            assert!(memory >= bytes && memory <= bytes + bytes / 100 + 64, "{memory} for {bytes}");
            store.set_len(WAL_HEADER_BYTES);
            assert_eq!(store.memory_bytes(), 0);
        }
    }

    #[test]
    fn what_was_written_stays_where_it_lies_when_more_is_written() {
        let mut store = FrameStore::default();
        store.write_at(&[2; FRAME_BYTES], WAL_HEADER_BYTES);
        let before = store.image(1).as_ptr();
        for _ in 0..1000 {
            store.write_at(&[3; FRAME_BYTES], store.len());
        }
        assert_eq!(store.image(1).as_ptr(), before, "it was copied");
    }
}
