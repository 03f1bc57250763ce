//! One file of the simulated disk: what reads show, what is on the disk, and the writes between.
//!
//! Content is kept in shared pages, so that a sync or a power loss costs as much as was written and
//! not as much as the file holds. Pages of zeros take no room. Used by `simulated_disk` alone.

use std::sync::Arc;

use crate::seeded::Seeded;

const PAGE: usize = 4096;
const SECTOR: u64 = 512;
/// How many of the sectors that a torn write did not bring to the disk hold neither old nor new bytes.
const GARBLED_PERCENT: u64 = 5;

/// Bytes of a file; what lies beyond `len` in the last page is zero.
#[derive(Clone, Default)]
struct Content {
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
    len: u64,
}

impl Content {
    fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let count = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let at = offset as usize + done;
            let (page, start) = (at / PAGE, at % PAGE);
            let step = (PAGE - start).min(count - done);
            match &self.pages[page] {
                Some(bytes) => buffer[done..done + step].copy_from_slice(&bytes[start..start + step]),
                None => buffer[done..done + step].fill(0),
            }
            done += step;
        }
        count
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let (page, start) = (at / PAGE, at % PAGE);
            let step = (PAGE - start).min(bytes.len() - done);
            let piece = &bytes[done..done + step];
            let zeros = piece.iter().all(|byte| *byte == 0);
            if zeros && step == PAGE {
                self.pages[page] = None;
            } else if !zeros || self.pages[page].is_some() {
                let target = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(target)[start..start + step].copy_from_slice(piece);
            }
            done += step;
        }
    }

    fn set_len(&mut self, len: u64) {
        self.pages.resize((len as usize).div_ceil(PAGE), None);
        let used = len as usize % PAGE;
        if len < self.len
            && used != 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[used..].fill(0);
        }
        self.len = len;
    }
}

/// Something done to the file since its last sync.
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Zeros { offset: u64, len: u64 },
    Length { len: u64, before: u64 },
}

/// A file, named or not.
#[derive(Default)]
pub(crate) struct FileState {
    current: Content,
    synced: Content,
    unsynced: Vec<Change>,
}

impl FileState {
    pub(crate) fn len(&self) -> u64 {
        self.current.len
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.current.read(buffer, offset)
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.current.write(bytes, offset);
        self.unsynced.push(if bytes.iter().all(|byte| *byte == 0) {
            Change::Zeros { offset, len: bytes.len() as u64 }
        } else {
            Change::Write { offset, bytes: bytes.into() }
        });
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.unsynced.push(Change::Length { len, before: self.current.len });
        self.current.set_len(len);
    }

    /// Brings the pages touched since the last sync to the disk.
    pub(crate) fn sync(&mut self) {
        self.synced.set_len(self.current.len);
        for change in self.unsynced.drain(..) {
            let (from, to) = match change {
                Change::Write { offset, bytes } => (offset, offset + bytes.len() as u64),
                Change::Zeros { offset, len } => (offset, offset + len),
                Change::Length { len, before } => (len.min(before), self.current.len),
            };
            let pages = from as usize / PAGE..(to as usize).div_ceil(PAGE).min(self.current.pages.len());
            for page in pages {
                self.synced.pages[page] = self.current.pages[page].clone();
            }
        }
    }

    /// A failed sync: some writes reached the disk, and the system forgets that the others did not.
    pub(crate) fn fail_sync(&mut self, random: &mut Seeded) {
        self.synced = self.survivors(random);
        self.unsynced.clear();
    }

    /// The power fails: what was not synced is kept by sectors, at random.
    pub(crate) fn lose(&mut self, random: &mut Seeded) {
        if !self.unsynced.is_empty() {
            self.synced = self.survivors(random);
            self.unsynced.clear();
        }
        self.current = self.synced.clone();
    }

    /// Flips bits of one byte, as a fault of the medium would.
    pub(crate) fn flip(&mut self, offset: u64, mask: u8) {
        for content in [&mut self.current, &mut self.synced] {
            let mut byte = [0];
            if content.read(&mut byte, offset) == 1 {
                content.write(&[byte[0] ^ mask], offset);
            }
        }
    }

    fn survivors(&self, random: &mut Seeded) -> Content {
        let mut content = self.synced.clone();
        // All, nothing and everything between must be frequent: each finds other mistakes.
        let kept_percent = match random.below(5) {
            0 => 0,
            1 => 100,
            2 => 90,
            _ => random.below(101),
        };
        for change in &self.unsynced {
            match change {
                Change::Write { offset, bytes } if random.chance(50) => {
                    write_torn(&mut content, bytes, *offset, kept_percent, random);
                }
                _ if !random.chance(kept_percent) => {}
                Change::Write { offset, bytes } => content.write(bytes, *offset),
                Change::Zeros { offset, len } => content.write(&vec![0; *len as usize], *offset),
                Change::Length { len, .. } => content.set_len(*len),
            }
        }
        let length_kept = random.chance(kept_percent);
        content.set_len(if length_kept { self.current.len } else { self.synced.len });
        content
    }
}

/// A sector that was being written may hold anything afterwards; bytes that were not being written stay
/// as they were, in the same sector too.
fn write_torn(content: &mut Content, bytes: &[u8], offset: u64, kept_percent: u64, random: &mut Seeded) {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let step = ((SECTOR - at % SECTOR) as usize).min(bytes.len() - done);
        if random.chance(kept_percent) {
            content.write(&bytes[done..done + step], at);
        } else if random.chance(GARBLED_PERCENT) {
            let garbage: Vec<u8> = (0..step).map(|_| random.draw() as u8).collect();
            content.write(&garbage, at);
        }
        done += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &FileState) -> Vec<u8> {
        let mut buffer = vec![0xff; file.len() as usize];
        assert_eq!(file.read(&mut buffer, 0), buffer.len());
        buffer
    }

    #[test]
    fn synced_bytes_survive_and_the_file_behaves_like_a_vector() {
        let mut random = Seeded::new(1);
        for seed in 0..50 {
            let mut model: Vec<u8> = Vec::new();
            let mut file = FileState::default();
            for _ in 0..40 {
                let offset = random.below(20_000);
                if random.chance(20) {
                    model.resize(offset as usize, 0);
                    file.set_len(offset);
                } else {
                    let fill = if random.chance(30) { 0 } else { random.draw() as u8 };
                    let bytes = vec![fill; random.below(9000) as usize];
                    let end = offset as usize + bytes.len();
                    if end > model.len() {
                        model.resize(end, 0);
                    }
                    model[offset as usize..end].copy_from_slice(&bytes);
                    file.write(&bytes, offset);
                }
                if random.chance(30) {
                    file.sync();
                }
                assert!(text(&file) == model, "seed {seed}");
            }
            file.sync();
            file.lose(&mut random);
            assert!(text(&file) == model, "seed {seed}");
        }
    }

    #[test]
    fn an_unsynced_write_may_be_lost_kept_torn_or_garbled_and_touches_nothing_else() {
        let (mut lost, mut kept, mut torn, mut garbled) = (0, 0, 0, 0);
        for seed in 0..400 {
            let mut file = FileState::default();
            file.write(&[1; 4096], 0);
            file.sync();
            file.write(&[2; 4000], 50);
            file.lose(&mut Seeded::new(seed));
            let text = text(&file);
            assert!(text[..50].iter().chain(&text[4050..]).all(|byte| *byte == 1), "seed {seed}");
            match text.iter().filter(|byte| **byte == 2).count() {
                _ if text.iter().any(|byte| *byte > 2) => garbled += 1,
                0 => lost += 1,
                4000 => kept += 1,
                _ => torn += 1,
            }
        }
        let counts = [lost, kept, torn, garbled];
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    }

    #[test]
    fn after_a_failed_sync_a_later_one_does_not_bring_the_writes_back() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut file = FileState::default();
            file.write(&[1; 512], 0);
            file.fail_sync(&mut Seeded::new(seed));
            assert_eq!(text(&file), vec![1; 512]);
            file.sync();
            file.lose(&mut Seeded::new(seed));
            lost += usize::from(text(&file) != vec![1; 512]);
        }
        assert!(lost > 10, "{lost}");
    }
}
