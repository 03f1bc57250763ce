//! Memory for the indexes of WALs, whose pages of zeros go back to the system.
//!
//! SQLite makes an index of 32 KiB for each connection and clears all of it, also for a WAL of a few frames,
//! which leaves zeros in six of its eight pages. So blocks of that size come from a range of addresses of their
//! own, page by page, and [`IndexBlock::rest`] lets the system take the pages back that hold nothing but zeros:
//! they read as zeros again. Memory is asked for as blocks are: a system that holds memory for whatever may be written
//! (`vm.overcommit_memory=2`) holds none for the rest. What it refuses, SQLite's allocator serves as any other block.
//!
//! Used by `sql_memory`, which hands the blocks out, and by `connection`, which knows when they rest.
#![allow(unsafe_code)]

/// Size of a WAL index, in bytes; blocks of other sizes are not for this module.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

#[cfg(all(test, target_os = "linux"))]
pub(crate) use linux::is_reserved;
#[cfg(target_os = "linux")]
pub(crate) use linux::{IndexBlock, give, owns, take, taken_by};

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::ptr::{self, NonNull};
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

    use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};
    use rustix::param::page_size;

    use super::BLOCK_BYTES;

    /// Blocks that the range has addresses for, far more than there can be connections.
    const BLOCKS_MAX: usize = 256 * 1024;

    /// Blocks for which memory is asked at once, few calls for many connections: 32 MiB.
    const ASKED_FOR_AT_ONCE: usize = 1024;

    /// A range of addresses, whose memory comes as it is used.
    struct Range {
        /// Of its first block.
        start: usize,
        blocks_max: usize,
        places: Mutex<Places>,
    }

    #[derive(Default)]
    struct Places {
        /// How often each place has been given out.
        lives: Vec<u32>,
        free: Vec<usize>,
        /// Places from the first on that may be written to.
        usable: usize,
    }

    /// A block that SQLite has. It may give it back at any time: then this is of no use any more.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct IndexBlock {
        place: usize,
        life: u32,
    }

    thread_local! {
        /// What this thread took last.
        static TAKEN: Cell<Option<IndexBlock>> = const { Cell::new(None) };
    }

    impl Range {
        /// The process's own; `None` where the system has none to give.
        fn get() -> Option<&'static Self> {
            static RANGE: OnceLock<Option<Range>> = OnceLock::new();
            RANGE.get_or_init(|| Self::reserve(BLOCKS_MAX)).as_ref()
        }

        fn reserve(blocks_max: usize) -> Option<Self> {
            let bytes = blocks_max * BLOCK_BYTES;
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a mapping of its own, wherever the system puts it, which is never taken away.
            let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), flags) }.ok()?;
            // SAFETY: the whole mapping. Where the system does not know large pages, all are small anyhow.
            unsafe { madvise(start, bytes, Advice::LinuxNoHugepage) }.unwrap_or_default();
            Some(Self { start: start as usize, blocks_max, places: Mutex::default() })
        }

        fn take(&self) -> Option<NonNull<c_void>> {
            let mut places = self.places();
            let place = match places.free.pop() {
                Some(place) => place,
                None if places.lives.len() < self.blocks_max => {
                    if places.lives.len() == places.usable {
                        places.usable += self.make_usable(places.usable)?;
                    }
                    places.lives.push(0);
                    places.lives.len() - 1
                }
                None => return None,
            };
            places.lives[place] = places.lives[place].wrapping_add(1);
            TAKEN.set(Some(IndexBlock { place, life: places.lives[place] }));
            NonNull::new(self.address(place))
        }

        /// Lets more be written to, from `place` on; returns how many places that are, or nothing if the system refuses.
        fn make_usable(&self, place: usize) -> Option<usize> {
            let blocks = ASKED_FOR_AT_ONCE.min(self.blocks_max - place);
            let access = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: whole pages of the mapping, which nobody has yet.
            unsafe { mprotect(self.address(place), blocks * BLOCK_BYTES, access) }.ok()?;
            Some(blocks)
        }

        fn give(&self, place: usize) {
            // SAFETY: the block was its taker's alone, who has no use for it any more; whoever takes the place next
            // expects nothing of what is in it. If the system refuses, it stays resident.
            unsafe { madvise(self.address(place), BLOCK_BYTES, Advice::LinuxDontNeed) }.unwrap_or_default();
            let mut places = self.places();
            // Whoever still knows it must not touch the next one's.
            places.lives[place] = places.lives[place].wrapping_add(1);
            places.free.push(place);
        }

        fn rest(&self, block: IndexBlock) {
            if self.places().lives[block.place] != block.life {
                return;
            }
            let start = self.address(block.place);
            // SAFETY: the block is the caller's connection's, since it has its life still; only that gives it back,
            // and nothing of it runs meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), BLOCK_BYTES) };
            let page = page_size();
            let mut at = 0;
            while at < BLOCK_BYTES {
                let zeros = bytes[at..].chunks_exact(page).take_while(|page| is_zero(page)).count() * page;
                if zeros > 0 {
                    // SAFETY: whole pages of the block, which read as zeros before and after. If the system
                    // refuses, they stay.
                    unsafe { madvise(start.byte_add(at), zeros, Advice::LinuxDontNeed) }.unwrap_or_default();
                }
                at += zeros + page;
            }
        }

        fn places(&self) -> MutexGuard<'_, Places> {
            self.places.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn address(&self, place: usize) -> *mut c_void {
            (self.start + place * BLOCK_BYTES) as *mut c_void
        }

        fn place(&self, block: *const c_void) -> Option<usize> {
            let offset = (block as usize).checked_sub(self.start)?;
            (offset < self.blocks_max * BLOCK_BYTES).then_some(offset / BLOCK_BYTES)
        }
    }

    /// Whether the system has given a range.
    #[cfg(test)]
    pub(crate) fn is_reserved() -> bool {
        Range::get().is_some()
    }

    /// A block of [`BLOCK_BYTES`]; `None` if there is none to be had.
    pub(crate) fn take() -> Option<NonNull<c_void>> {
        Range::get()?.take()
    }

    /// Whether [`take`] gave this block out.
    pub(crate) fn owns(block: *const c_void) -> bool {
        Range::get().is_some_and(|range| range.place(block).is_some())
    }

    /// Takes a block back that [`take`] gave out.
    pub(crate) fn give(block: *mut c_void) {
        let range = Range::get().expect("BUG: a block of no range");
        range.give(range.place(block).expect("BUG: a block of another allocator"));
    }

    /// The block that `work` takes on this thread, the last if it takes several.
    pub(crate) fn taken_by<T>(work: impl FnOnce() -> T) -> (T, Option<IndexBlock>) {
        TAKEN.set(None);
        let result = work();
        (result, TAKEN.take())
    }

    impl IndexBlock {
        /// Gives the pages back that hold zeros. Only for whoever uses the connection that has the block. Nothing
        /// happens if it has given it back.
        pub(crate) fn rest(self) {
            Range::get().expect("BUG: a block of no range").rest(self);
        }
    }

    /// Which pages of a block are in memory.
    #[cfg(test)]
    fn resident(block: *const c_void) -> Vec<bool> {
        use std::io::{Read, Seek, SeekFrom};
        let (page, start) = (page_size(), block as usize);
        let mut map = std::fs::File::open("/proc/self/pagemap").expect("Linux");
        map.seek(SeekFrom::Start((start / page * 8) as u64)).expect("in range");
        let mut entries = vec![0; BLOCK_BYTES / page * 8];
        map.read_exact(&mut entries).expect("in range");
        // The highest bit of each entry.
        entries.chunks(8).map(|entry| entry[7] & 0x80 != 0).collect()
    }

    #[cfg(test)]
    impl IndexBlock {
        /// Pages that are in memory.
        pub(crate) fn resident(self) -> usize {
            let range = Range::get().expect("a range");
            resident(range.address(self.place)).into_iter().filter(|is_resident| *is_resident).count()
        }
    }

    fn is_zero(page: &[u8]) -> bool {
        page.chunks(512).all(|part| part.iter().fold(0, |any, byte| any | byte) == 0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn memory_is_asked_for_as_blocks_are() {
            let (step, all) = (ASKED_FOR_AT_ONCE, ASKED_FOR_AT_ONCE + 2);
            let range = Range::reserve(all).expect("a range");
            assert_eq!(range.places().usable, 0);
            for place in 0..all {
                let block = range.take().expect("a place");
                bytes(block)[BLOCK_BYTES - 1] = 1;
                assert_eq!(range.places().usable, if place < step { step } else { all });
            }
            assert!(range.take().is_none(), "all are taken");
        }

        fn bytes<'a>(block: NonNull<c_void>) -> &'a mut [u8] {
            // SAFETY: the test's own block.
            unsafe { std::slice::from_raw_parts_mut(block.cast::<u8>().as_ptr(), BLOCK_BYTES) }
        }

        #[test]
        fn pages_of_zeros_go_back_and_the_rest_stays_as_it_was() {
            let (range, page) = (Range::reserve(3).expect("a range"), page_size());
            let (block, known) = taken_by(|| range.take().expect("a place"));
            bytes(block).fill(0);
            bytes(block)[0] = 1;
            bytes(block)[5 * page - 1] = 2;
            assert_eq!(resident(block.as_ptr()), vec![true; BLOCK_BYTES / page]);
            range.rest(known.expect("just taken"));
            let stay: Vec<bool> = (0..BLOCK_BYTES / page).map(|number| number == 0 || number == 4).collect();
            assert_eq!(resident(block.as_ptr()), stay);
            let sum: usize = bytes(block).iter().map(|byte| usize::from(*byte)).sum();
            assert_eq!((bytes(block)[0], bytes(block)[5 * page - 1], sum), (1, 2, 3));
        }

        #[test]
        fn a_block_that_was_given_back_is_not_touched_any_more() {
            let range = Range::reserve(1).expect("a range");
            let (block, known) = taken_by(|| range.take().expect("a place"));
            assert!(range.take().is_none(), "there is one place");
            bytes(block).fill(1);
            range.give(range.place(block.as_ptr()).expect("its own"));
            assert_eq!(resident(block.as_ptr()), vec![false; BLOCK_BYTES / page_size()], "nobody has it");
            let (again, new) = taken_by(|| range.take().expect("a place"));
            assert_eq!(again, block);
            bytes(again).fill(0);
            range.rest(known.expect("taken once"));
            assert_eq!(resident(again.as_ptr()), vec![true; BLOCK_BYTES / page_size()]);
            range.rest(new.expect("taken again"));
            assert_eq!(resident(again.as_ptr()), vec![false; BLOCK_BYTES / page_size()]);
        }

        #[test]
        fn what_lies_elsewhere_is_not_its_own() {
            let range = Range::reserve(2).expect("a range");
            let (first, nothing) = (range.address(0), taken_by(|| ()).1);
            assert_eq!(
                (range.place(first), range.place(range.address(1)), nothing),
                (Some(0), Some(1), None)
            );
            assert_eq!(
                (range.place(range.address(2)), range.place(first.wrapping_byte_sub(1))),
                (None, None)
            );
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{IndexBlock, give, owns, take, taken_by};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::ffi::c_void;
    use std::ptr::NonNull;

    /// There are none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum IndexBlock {}

    impl IndexBlock {
        pub(crate) fn rest(self) {
            match self {}
        }
    }

    pub(crate) fn take() -> Option<NonNull<c_void>> {
        None
    }

    pub(crate) fn owns(_block: *const c_void) -> bool {
        false
    }

    pub(crate) fn give(_block: *mut c_void) {}

    pub(crate) fn taken_by<T>(work: impl FnOnce() -> T) -> (T, Option<IndexBlock>) {
        (work(), None)
    }
}
