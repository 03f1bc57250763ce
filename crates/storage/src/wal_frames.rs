//! The frames of the in-memory WAL: which pages a commit changed, and against what they are encoded.
//!
//! A page is written as a difference only to an image that this connection logged since its last
//! checkpoint, and the first such image is logged whole (invariant 3).

use std::collections::{BTreeMap, HashMap};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::page::encode_page;
use durabo_changelog::record::PageEntry;

use crate::frame_store::{FRAME_BYTES, FrameStore, WAL_HEADER_BYTES};

/// What was captured of one connection's WAL.
#[derive(Debug, Default)]
pub(crate) struct WalFrames {
    /// Frames captured so far.
    captured: u32,
    /// Pages of the database after the last commit.
    database_pages: u32,
    /// Newest captured frame of each page.
    newest: HashMap<u32, u32>,
    /// Whether a wipe is among the frames.
    has_wipe: bool,
    /// Images from before the last checkpoint; only while a fault is planted.
    kept: HashMap<u32, Vec<u8>>,
}

impl WalFrames {
    /// Takes the frames of the commit that ends with frame `end`. Gives the database's pages after it
    /// and the changed ones; `None` if it changed nothing.
    pub(crate) fn capture(&mut self, wal: &FrameStore, end: u32) -> Option<(u32, Vec<PageEntry>)> {
        if end == self.captured {
            return None;
        }
        assert!(end > self.captured, "BUG: the WAL has {end} frames, {} were captured", self.captured);
        let database_pages = wal.header_field(end, 4);
        assert!(database_pages > 0, "BUG: frame {end} of the WAL ends no commit");
        // A page that was spilled may have several frames; the last one counts.
        let changed: BTreeMap<u32, u32> =
            (self.captured + 1..=end).map(|frame| (wal.header_field(frame, 0), frame)).collect();
        if database_pages < self.database_pages {
            self.newest.retain(|page, _| *page <= database_pages);
            self.kept.retain(|page, _| *page <= database_pages);
        }
        let mut pages = Vec::with_capacity(changed.len());
        for (&number, &frame) in changed.range(..=database_pages) {
            let previous = match self.newest.get(&number) {
                Some(&frame) => Some(wal.image(frame)),
                None => self.kept.get(&number).map(Vec::as_slice),
            };
            pages.push(PageEntry { number, content: encode_page(previous, wal.image(frame)) });
        }
        self.newest.extend(changed.range(..=database_pages));
        self.captured = end;
        self.database_pages = database_pages;
        Some((database_pages, pages))
    }

    /// Forgets all images: what the WAL holds is about to go to the file and may reach it torn.
    pub(crate) fn forget_images(&mut self, wal: &FrameStore) {
        if is_planted(Mutation::KeepDifferenceBase) {
            self.kept.extend(self.newest.iter().map(|(&page, &frame)| (page, wal.image(frame).to_vec())));
        }
        self.newest.clear();
    }

    /// The WAL was cut behind frame `end`, which ends a commit; 0: it was emptied. Images are forgotten: what
    /// changes next is logged whole.
    pub(crate) fn cut(&mut self, wal: &FrameStore, end: u32) {
        self.newest.clear();
        self.captured = end;
        self.database_pages = if end == 0 { 0 } else { wal.header_field(end, 4) };
    }

    /// The database was emptied: what comes next is logged whole, since no page from before it counts.
    pub(crate) fn wipe(&mut self) {
        self.has_wipe = true;
        if !is_planted(Mutation::KeepImagesOverWipe) {
            self.newest.clear();
            self.kept.clear();
        }
    }

    /// The WAL was emptied.
    pub(crate) fn restart(&mut self) {
        self.captured = 0;
        self.has_wipe = false;
    }

    /// Whether a wipe was captured since the WAL was emptied, even if it was cut since.
    pub(crate) fn has_wipe(&self) -> bool {
        self.has_wipe
    }
}

/// Where the frame behind `frame` begins; the WAL's own header stands before the first.
pub(crate) fn end_of(frame: u32) -> u64 {
    (WAL_HEADER_BYTES + frame as usize * FRAME_BYTES) as u64
}
