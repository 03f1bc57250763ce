//! Changed pages as the log holds them: whole, packed with LZ4, or as a difference.
//!
//! A difference needs the same base when it is applied as when it was made; that it has one is the
//! caller's promise (invariant 3). Damaged content is refused and leaves the base as it was.
//!
//! Used by `storage` on both ways; the codec around it does not look inside.

use thiserror::Error;

use crate::record::{PAGE_BYTES, PageContent};

/// A difference longer than this is not worth having: it saves little and ties the page to its base.
const DIFFERENCE_BYTES_MAX: usize = PAGE_BYTES / 2;

/// Bytes before each run of a difference: offset and length. Equal stretches that are not longer
/// are swallowed by the run around them.
const RUN_HEADER_BYTES: usize = 4;

/// Why a page's content could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// A raw page of another size.
    #[error("raw page has {0} bytes instead of 4096")]
    RawLength(usize),
    /// Not an LZ4 block of one page.
    #[error("packed page does not unpack to 4096 bytes: {0}")]
    Lz4(String),
    /// A difference whose runs are cut short, overlap, or leave the page.
    #[error("difference of a page is damaged at byte {0}")]
    Difference(usize),
}

/// Encodes the page `new`: as a difference to `previous` if there is one and it differs little, else
/// packed if that is smaller, else as it is. Both must have `PAGE_BYTES` bytes.
pub fn encode_page(previous: Option<&[u8]>, new: &[u8]) -> PageContent {
    assert_eq!(new.len(), PAGE_BYTES, "BUG: a page of the wrong size");
    if let Some(difference) = previous.and_then(|previous| difference(previous, new)) {
        return PageContent::Difference(difference);
    }
    let packed = lz4_flex::block::compress(new);
    if packed.len() < PAGE_BYTES { PageContent::Lz4(packed) } else { PageContent::Raw(new.to_vec()) }
}

/// Turns `base`, the page's previous image, into the page that `content` describes.
pub fn apply(content: &PageContent, base: &mut [u8; PAGE_BYTES]) -> Result<(), PageError> {
    match content {
        PageContent::Raw(bytes) => {
            *base = bytes.as_slice().try_into().map_err(|_| PageError::RawLength(bytes.len()))?;
        }
        PageContent::Lz4(bytes) => {
            let mut page = [0; PAGE_BYTES];
            let count = lz4_flex::block::decompress_into(bytes, &mut page)
                .map_err(|error| PageError::Lz4(error.to_string()))?;
            if count != PAGE_BYTES {
                return Err(PageError::Lz4(format!("it gave {count}")));
            }
            *base = page;
        }
        PageContent::Difference(bytes) => {
            // Checked whole before the first byte is changed.
            visit_runs(bytes, |_, _| {})?;
            visit_runs(bytes, |offset, run| base[offset..offset + run.len()].copy_from_slice(run))?;
        }
    }
    Ok(())
}

/// Runs of changed bytes, or `None` if they are more than a difference may have.
fn difference(previous: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(previous.len(), PAGE_BYTES, "BUG: a base of the wrong size");
    let mut runs = Vec::with_capacity(128);
    let mut at = 0;
    while let Some(start) = next_change(previous, new, at) {
        let mut end = start + 1;
        let mut equal = 0;
        while end + equal < PAGE_BYTES && equal <= RUN_HEADER_BYTES {
            if previous[end + equal] == new[end + equal] {
                equal += 1;
            } else {
                end += equal + 1;
                equal = 0;
            }
        }
        if runs.len() + RUN_HEADER_BYTES + end - start > DIFFERENCE_BYTES_MAX {
            return None;
        }
        runs.extend_from_slice(&(start as u16).to_le_bytes());
        runs.extend_from_slice(&((end - start) as u16).to_le_bytes());
        runs.extend_from_slice(&new[start..end]);
        at = end;
    }
    Some(runs)
}

/// First changed byte from `at` on; compares by words, since most of a page is equal.
fn next_change(previous: &[u8], new: &[u8], mut at: usize) -> Option<usize> {
    const STEP: usize = 32;
    while at + STEP <= PAGE_BYTES && previous[at..at + STEP] == new[at..at + STEP] {
        at += STEP;
    }
    (at..PAGE_BYTES).find(|&at| previous[at] != new[at])
}

fn visit_runs(bytes: &[u8], mut visit: impl FnMut(usize, &[u8])) -> Result<(), PageError> {
    let (mut at, mut free_from) = (0, 0);
    while at < bytes.len() {
        let damaged = PageError::Difference(at);
        let Some(&[o1, o2, l1, l2]) = bytes.get(at..at + RUN_HEADER_BYTES) else { return Err(damaged) };
        let offset = usize::from(u16::from_le_bytes([o1, o2]));
        let length = usize::from(u16::from_le_bytes([l1, l2]));
        let start = at + RUN_HEADER_BYTES;
        let Some(run) = bytes.get(start..start + length) else { return Err(damaged) };
        if length == 0 || offset < free_from || offset + length > PAGE_BYTES {
            return Err(damaged);
        }
        visit(offset, run);
        free_from = offset + length;
        at = start + length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    fn noise(random: &mut Seeded) -> [u8; PAGE_BYTES] {
        std::array::from_fn(|_| random.draw() as u8)
    }

    #[test]
    fn small_changes_become_differences_and_come_back() {
        let mut random = Seeded::new(1);
        for _ in 0..500 {
            let old = noise(&mut random);
            let mut new = old;
            for _ in 0..random.below(6) {
                let at = random.below(PAGE_BYTES as u64) as usize;
                let end = (at + 1 + random.below(200) as usize).min(PAGE_BYTES);
                new[at..end].fill_with(|| random.draw() as u8);
            }
            let content = encode_page(Some(&old), &new);
            assert!(
                matches!(&content, PageContent::Difference(bytes) if bytes.len() <= DIFFERENCE_BYTES_MAX)
            );
            let mut page = old;
            apply(&content, &mut page).expect("valid");
            assert!(page == new);
        }
    }

    #[test]
    fn the_first_and_the_last_byte_can_change() {
        let old = [7; PAGE_BYTES];
        let mut new = old;
        (new[0], new[PAGE_BYTES - 1]) = (1, 2);
        let content = encode_page(Some(&old), &new);
        assert_eq!(content, PageContent::Difference(vec![0, 0, 1, 0, 1, 255, 15, 1, 0, 2]));
        let mut page = old;
        apply(&content, &mut page).expect("valid");
        assert!(page == new);
    }

    #[test]
    fn whole_pages_are_packed_if_that_helps_and_raw_if_not() {
        let mut random = Seeded::new(2);
        let (old, flat, wild) = (noise(&mut random), [3; PAGE_BYTES], noise(&mut random));
        let packed = encode_page(None, &flat);
        assert!(matches!(&packed, PageContent::Lz4(bytes) if bytes.len() < 100));
        let raw = encode_page(Some(&old), &wild);
        assert!(matches!(raw, PageContent::Raw(_)));
        for (content, new) in [(packed, flat), (raw, wild)] {
            let mut page = old;
            apply(&content, &mut page).expect("valid");
            assert!(page == new);
        }
    }

    #[test]
    fn damaged_content_is_refused_and_changes_nothing() {
        let run = |offset: u16, length: u16| [offset.to_le_bytes(), length.to_le_bytes()].concat();
        let bad = [
            PageContent::Raw(vec![0; 4095]),
            PageContent::Lz4(vec![]),
            PageContent::Lz4(lz4_flex::block::compress(&[0; 4095])),
            PageContent::Lz4(lz4_flex::block::compress(&[0; 4097])),
            PageContent::Difference(vec![0, 0, 1]),
            PageContent::Difference(run(0, 1)),
            PageContent::Difference(run(0, 0)),
            PageContent::Difference([run(4096, 1), vec![1]].concat()),
            PageContent::Difference([run(5, 1), vec![1], run(5, 1), vec![1]].concat()),
        ];
        for content in bad {
            let mut page = [9; PAGE_BYTES];
            assert!(apply(&content, &mut page).is_err(), "{content:?}");
            assert!(page == [9; PAGE_BYTES]);
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Seeded::new(3);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.below(64)).map(|_| random.draw() as u8).collect();
            let mut page = [0; PAGE_BYTES];
            let _ = apply(&PageContent::Lz4(bytes.clone()), &mut page);
            let _ = apply(&PageContent::Difference(bytes), &mut page);
        }
    }
}
