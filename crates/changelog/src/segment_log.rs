//! The end of the log that grows: appends records and makes them durable.
//!
//! One thread owns it. A batch is one write per segment it touches; a segment is sealed and synced
//! before anything of the next is written, so what is durable is always a prefix. A failed write or
//! sync is final (invariant 5): the system may have dropped what it could not write, and a second sync
//! would succeed without it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_model::sequence::LogPosition;

use crate::codec::EncodedRecord;
use crate::disk::DiskFile;
use crate::error::LogError;
use crate::frame::{HEADER_BYTES, place, seal};
use crate::mutation::{Mutation, is_planted};
use crate::segment::{Durability, segment_name};
use crate::segment_pool::SegmentPool;

/// A batch buffer that grew beyond this is given back, so that one large transaction does not cost
/// its size in memory for ever.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// The writing end of the log.
#[derive(Debug)]
pub struct SegmentLog {
    pool: Arc<SegmentPool>,
    dir: PathBuf,
    durability: Durability,
    current: Option<Current>,
    /// Where the next segment begins.
    next_base: u64,
    /// Bytes of the batch that are not written yet; they follow `current.written`.
    buffer: Vec<u8>,
    durable: LogPosition,
    synced: LogPosition,
    syncs: u64,
    failed: Option<String>,
}

#[derive(Debug)]
struct Current {
    file: Arc<dyn DiskFile>,
    base: u64,
    written: u64,
}

impl SegmentLog {
    /// A log whose next record begins a segment at `base`. Nothing may ever have been written at or
    /// beyond `base`.
    pub(crate) fn new(pool: Arc<SegmentPool>, dir: &Path, durability: Durability, base: u64) -> Self {
        Self {
            pool,
            dir: dir.to_owned(),
            durability,
            current: None,
            next_base: base,
            buffer: Vec::new(),
            durable: LogPosition(base),
            synced: LogPosition(base),
            syncs: 0,
            failed: None,
        }
    }

    /// Writes records in this order and returns where each begins. They are durable only after a
    /// [`SegmentLog::sync`] that returned. Refuses the batch, and stays usable, if a record does not fit
    /// a segment; every other error is final.
    pub fn append(&mut self, records: &mut [EncodedRecord]) -> Result<Vec<LogPosition>, LogError> {
        self.check()?;
        for record in &*records {
            let bytes = (record.frame_bytes_max() + HEADER_BYTES) as u64;
            let limit = self.pool.segment_bytes();
            if bytes > limit {
                return Err(LogError::RecordTooLarge { key: record.key, bytes, limit });
            }
        }
        let appended = self.append_all(records);
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        appended.map_err(|error| self.fail(error))
    }

    /// Makes everything appended durable, by the log's durability, and returns the position up to
    /// which it is: every record that begins before it counts. An error is final.
    pub fn sync(&mut self) -> Result<LogPosition, LogError> {
        self.check()?;
        if self.durability == Durability::Strict && !is_planted(Mutation::SkipLogSync) {
            self.sync_strictly()?;
        }
        self.durable = self.position();
        Ok(self.durable)
    }

    /// As [`SegmentLog::sync`], but survives power loss whatever the durability: needed before an
    /// object's file may get ahead of what the disk holds of the log. An error is final.
    pub fn sync_strictly(&mut self) -> Result<LogPosition, LogError> {
        self.check()?;
        if self.synced < self.position() {
            self.sync_current().map_err(|error| self.fail(error))?;
        }
        self.durable = self.position();
        Ok(self.durable)
    }

    /// Position up to which all records are durable; those that begin before it are.
    pub const fn durable(&self) -> LogPosition {
        self.durable
    }

    /// Syncs of segments so far that returned. Together with the records appended it says how many
    /// commits one sync serves.
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Position after the last record.
    pub fn position(&self) -> LogPosition {
        match &self.current {
            Some(current) => LogPosition(current.base + current.written + self.buffer.len() as u64),
            None => LogPosition(self.next_base),
        }
    }

    fn check(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(text) => Err(LogError::Failed(text.clone())),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: LogError) -> LogError {
        let text = error.to_string();
        self.failed = Some(text.clone());
        self.current = None; // nothing can be written or synced by mistake
        self.buffer = Vec::new();
        LogError::Failed(text)
    }

    fn append_all(&mut self, records: &mut [EncodedRecord]) -> Result<Vec<LogPosition>, LogError> {
        let mut starts = Vec::with_capacity(records.len());
        for record in records {
            let mut start = None;
            for frame in record.frames_mut() {
                self.make_room(frame.len())?;
                let position = self.position();
                place(frame, position);
                self.buffer.extend_from_slice(frame);
                start.get_or_insert(position);
            }
            starts.push(start.expect("BUG: a record without a frame"));
        }
        self.write_buffer()?;
        Ok(starts)
    }

    /// Sees to it that a frame of this size and the seal after it fit the current segment.
    fn make_room(&mut self, bytes: usize) -> Result<(), LogError> {
        if self.current.is_some() {
            let end = self.position().0 + (bytes + HEADER_BYTES) as u64;
            if end <= self.next_base {
                return Ok(());
            }
            self.buffer.extend_from_slice(&seal(self.position()));
            self.write_buffer()?;
            if !is_planted(Mutation::SkipSealSync) {
                self.sync_current()?;
            }
        }
        let base = self.next_base;
        let file = self.pool.take(base)?;
        self.next_base += self.pool.segment_bytes();
        self.current = Some(Current { file, base, written: 0 });
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<(), LogError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = current.file.write_all_at(&self.buffer, current.written);
        written.map_err(segment_error("writing the segment", &self.dir, current.base))?;
        current.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync_current(&mut self) -> Result<(), LogError> {
        if let Some(current) = &self.current {
            let synced = current.file.sync_data();
            synced.map_err(segment_error("syncing the segment", &self.dir, current.base))?;
            self.synced = self.position();
            self.syncs += 1;
        }
        Ok(())
    }
}

fn segment_error(doing: &'static str, dir: &Path, base: u64) -> impl FnOnce(io::Error) -> LogError {
    let path = dir.join(segment_name(base));
    move |source| LogError::Disk { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::disk::Disk;
    use crate::samples::commit;
    use crate::segment::LogOptions;
    use crate::simulated_disk::{Fault, SimulatedDisk};

    const DIR: &str = "/log";

    fn log(disk: &SimulatedDisk, durability: Durability) -> SegmentLog {
        disk.create_dir_all(Path::new(DIR)).expect("folder");
        let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
        let pool = SegmentPool::open(Arc::new(disk.clone()), Path::new(DIR), &options).expect("pool");
        SegmentLog::new(Arc::new(pool), Path::new(DIR), durability, 0)
    }

    fn encoded(sequence: u64) -> EncodedRecord {
        encode(&commit(1, sequence, 1), 0)
    }

    #[test]
    fn what_was_appended_is_durable_only_after_the_sync() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        let batch = &mut [encoded(1), encoded(2)];
        let starts = log.append(batch).expect("disk is well");
        assert_eq!(starts, [LogPosition(0), LogPosition(batch[0].size_bytes() as u64)]);
        assert_eq!((log.durable(), log.position()), (LogPosition(0), starts[1].max(log.position())));
        assert_eq!(log.sync().expect("disk is well"), log.position());
        assert_eq!(log.durable(), log.position());
    }

    #[test]
    fn a_batch_is_one_write_and_one_sync() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        log.append(&mut [encoded(1)]).expect("disk is well");
        let before = disk.operations();
        log.append(&mut [encoded(2), encoded(3), encoded(4)]).expect("disk is well");
        log.sync().expect("disk is well");
        log.sync().expect("nothing to do");
        assert_eq!(disk.operations() - before, 2);
    }

    #[test]
    fn syncs_are_counted_when_they_have_returned() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        log.append(&mut [encoded(1), encoded(2)]).expect("disk is well");
        assert_eq!(log.syncs(), 0);
        log.sync().expect("disk is well");
        log.sync().expect("nothing to do");
        assert_eq!(log.syncs(), 1);
        log.append(&mut [encoded(3)]).expect("disk is well");
        disk.fail_at(disk.operations() + 1, Fault::InputOutput);
        log.sync().expect_err("failed");
        assert_eq!(log.syncs(), 1);
    }

    #[test]
    fn relaxed_durability_syncs_only_when_told_to() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Relaxed);
        log.append(&mut [encoded(1)]).expect("disk is well");
        let before = disk.operations();
        assert_eq!(log.sync().expect("disk is well"), log.position());
        assert_eq!(disk.operations(), before);
        log.sync_strictly().expect("disk is well");
        assert_eq!(disk.operations(), before + 1);
    }

    #[test]
    fn no_record_spans_two_segments() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        let mut batch: Vec<_> = (1..200).map(encoded).collect();
        let starts = log.append(&mut batch).expect("disk is well");
        for (record, start) in batch.iter().zip(starts) {
            let last = start.0 + (record.size_bytes() + HEADER_BYTES) as u64 - 1;
            assert_eq!(start.0 / (16 * 1024), last / (16 * 1024));
        }
    }

    #[test]
    fn a_record_that_fits_no_segment_is_refused_and_the_log_goes_on() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        let mut large = commit(1, 1, 1);
        large.name = Some("x".repeat(16 * 1024 - 2 * HEADER_BYTES));
        let error = log.append(&mut [encode(&large, 0)]).expect_err("too large");
        assert!(matches!(error, LogError::RecordTooLarge { limit: 16384, .. }), "{error}");
        log.append(&mut [encoded(1)]).expect("usable");
    }

    #[test]
    fn a_failed_sync_is_final() {
        let disk = SimulatedDisk::new(1);
        let mut log = log(&disk, Durability::Strict);
        log.append(&mut [encoded(1)]).expect("disk is well");
        disk.fail_at(disk.operations() + 1, Fault::InputOutput);
        let text = log.sync().expect_err("failed").to_string();
        let before = disk.operations();
        assert_eq!(log.sync().expect_err("final").to_string(), text);
        assert_eq!(log.append(&mut [encoded(2)]).expect_err("final").to_string(), text);
        assert_eq!(log.durable(), LogPosition(0));
        assert_eq!(disk.operations(), before);
    }
}
