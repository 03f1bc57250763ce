//! Walks over the frames of the log, from segment to segment, until one does not check.
//!
//! Holds one window of a segment in memory and never more than the largest frame needs. Only a seal
//! leads to the next segment: bytes that do not check end the walk, wherever they stand.
//!
//! Used by `scan`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use durabo_model::sequence::LogPosition;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{LogError, disk_error};
use crate::frame::{FrameHeader, HEADER_BYTES, RecordKind, check_payload, read_header};
use crate::segment::segment_name;

const WINDOW_BYTES: u64 = 256 * 1024;

/// A sound frame.
pub(crate) struct FoundFrame<'c> {
    pub(crate) position: LogPosition,
    /// Position after it.
    pub(crate) end: LogPosition,
    /// Base of its segment.
    pub(crate) base: u64,
    pub(crate) header: FrameHeader,
    pub(crate) payload: &'c [u8],
}

/// The walk.
pub(crate) struct FrameCursor<'d> {
    disk: &'d dyn Disk,
    dir: &'d Path,
    /// Base and length of each segment.
    segments: &'d BTreeMap<u64, u64>,
    at: u64,
    open: Option<OpenSegment>,
    last_seal: Option<(u64, u64)>,
}

struct OpenSegment {
    file: Arc<dyn DiskFile>,
    base: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl OpenSegment {
    /// Up to `count` bytes from the position `at` on; fewer at the end of the segment.
    fn bytes(&mut self, at: u64, count: u64) -> std::io::Result<&[u8]> {
        let end = (at + count).min(self.end);
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || end > window_end {
            let wanted = count.max(WINDOW_BYTES).min(self.end - at);
            self.window.resize(wanted as usize, 0);
            let read = self.file.read_at(&mut self.window, at - self.base)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let start = (at - self.window_at) as usize;
        let stop = ((end - self.window_at) as usize).min(self.window.len());
        Ok(&self.window[start..stop])
    }
}

impl<'d> FrameCursor<'d> {
    pub(crate) fn new(
        disk: &'d dyn Disk,
        dir: &'d Path,
        segments: &'d BTreeMap<u64, u64>,
        from: LogPosition,
    ) -> Self {
        Self { disk, dir, segments, at: from.0, open: None, last_seal: None }
    }

    /// Base of the segment that the last seal ended, and the position after that seal.
    pub(crate) const fn last_seal(&self) -> Option<(u64, u64)> {
        self.last_seal
    }

    /// The next frame that is not a seal; `None` where the sound part of the log ends.
    pub(crate) fn next(&mut self) -> Result<Option<FoundFrame<'_>>, LogError> {
        let (header, length) = loop {
            if !self.open_segment()? {
                return Ok(None);
            }
            let position = LogPosition(self.at);
            let bytes = self.bytes(HEADER_BYTES as u64)?;
            let Ok((header, length)) = read_header(bytes, position) else { return Ok(None) };
            if header.kind != RecordKind::Seal {
                break (header, length);
            }
            let Some(open) = self.open.take() else { return Ok(None) };
            self.last_seal = Some((open.base, self.at + HEADER_BYTES as u64));
            self.at = open.end;
        };
        let position = LogPosition(self.at);
        let size = (HEADER_BYTES + length) as u64;
        let base = self.open.as_ref().map_or(0, |open| open.base);
        let sound = {
            let bytes = self.bytes(size)?;
            bytes.len() as u64 == size && check_payload(bytes, &bytes[HEADER_BYTES..]).is_ok()
        };
        if !sound {
            return Ok(None);
        }
        self.at += size;
        let end = LogPosition(self.at);
        let Some(open) = &self.open else { return Ok(None) };
        let start = (position.0 - open.window_at) as usize;
        let payload = &open.window[start + HEADER_BYTES..start + size as usize];
        Ok(Some(FoundFrame { position, end, base, header, payload }))
    }

    /// Opens the segment that holds the present position; `false` if there is none.
    fn open_segment(&mut self) -> Result<bool, LogError> {
        if self.open.is_some() {
            return Ok(true);
        }
        let Some((&base, &len)) = self.segments.range(..=self.at).next_back() else { return Ok(false) };
        if self.at >= base + len {
            return Ok(false);
        }
        let path = self.dir.join(segment_name(base));
        let file = self.disk.open(&path, OpenMode::Existing);
        let file = file.map_err(disk_error("opening the segment", &path))?;
        self.open = Some(OpenSegment { file, base, end: base + len, window: Vec::new(), window_at: self.at });
        Ok(true)
    }

    fn bytes(&mut self, count: u64) -> Result<&[u8], LogError> {
        let Some(open) = &mut self.open else { return Ok(&[]) };
        let (dir, base) = (self.dir, open.base);
        open.bytes(self.at, count).map_err(|source| LogError::Disk {
            doing: "reading the segment",
            path: dir.join(segment_name(base)),
            source,
        })
    }
}
