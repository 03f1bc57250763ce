//! Masks of frames: what a client sends is changed by one of each frame, so that no proxy on the way takes it for
//! something else (RFC 6455, 5.3).
//!
//! A mask must not be guessed from those before it; it is made of the node's random bytes, some at a time.

use std::fmt;
use std::sync::Arc;

use durabo_model::random::Random;

/// What changes the bytes of one frame.
pub type Mask = [u8; 4];

/// Random bytes that are fetched at once: those of sixteen frames.
const FETCHED_BYTES: usize = 64;

/// Masks for the frames of one connection, none of which is used twice.
pub struct Masks {
    random: Arc<dyn Random>,
    fetched: [u8; FETCHED_BYTES],
    used: usize,
}

impl Masks {
    /// Masks made of these random bytes.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, fetched: [0; FETCHED_BYTES], used: FETCHED_BYTES }
    }

    /// The mask of the next frame.
    pub fn take(&mut self) -> Mask {
        if self.used == FETCHED_BYTES {
            self.random.fill(&mut self.fetched);
            self.used = 0;
        }
        let at = self.used;
        self.used += size_of::<Mask>();
        std::array::from_fn(|index| self.fetched[at + index])
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is fetched is what must not be guessed.
        f.debug_struct("Masks").finish_non_exhaustive()
    }
}

/// Puts a mask on bytes that begin `at` bytes behind the beginning of their frame, or takes it off.
pub fn apply(bytes: &mut [u8], mask: Mask, at: u64) {
    let mut mask = mask;
    mask.rotate_left((at % 4) as usize);
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Counts instead: 1, 2, 3.
    #[derive(Debug, Default)]
    pub struct Counting(AtomicU8);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        }
    }

    #[test]
    fn no_mask_is_used_twice() {
        let mut masks = Masks::new(Arc::new(Counting::default()));
        for number in 0..40_u8 {
            let first = number * 4 + 1;
            assert_eq!(masks.take(), [first, first + 1, first + 2, first + 3]);
        }
    }

    #[test]
    fn a_mask_goes_on_where_the_bytes_before_have_ended() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut whole = bytes.clone();
        apply(&mut whole, [1, 2, 3, 4], 0);
        let expected: Vec<u8> = bytes.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(whole, expected);
        for cut in 0..20 {
            let mut pieces = bytes.clone();
            let (first, rest) = pieces.split_at_mut(cut);
            apply(first, [1, 2, 3, 4], 0);
            apply(rest, [1, 2, 3, 4], cut as u64);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}
