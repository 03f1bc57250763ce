//! Recovery: reads the log back after whatever happened, and begins it anew.
//!
//! The order is the promise: `open` decides what of the log counts, `secure_tail` makes that durable,
//! `for_each` hands it out to be applied, and `finish`, when all of it is applied and synced, gives the
//! old log up. A crash anywhere between leads to the same records again.
//!
//! Used by `storage` (recovery) and by whoever starts a node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_model::object::ObjectKey;
use durabo_model::sequence::LogPosition;

use crate::codec::{Joined, Joiner, record_of};
use crate::control::{Control, ControlFile, control_path};
use crate::disk::{Disk, OpenMode};
use crate::error::{LogError, disk_error};
use crate::frame_cursor::{FoundFrame, FrameCursor};
use crate::history::{History, ObjectTail};
use crate::mutation::{Mutation, is_planted};
use crate::record::Record;
use crate::segment::{LogOptions, base_of, fill_with_zeros, remove_leftover, segment_name};
use crate::segment_log::SegmentLog;
use crate::segment_pool::SegmentPool;

const TAIL_NAME: &str = "tail.new";

/// A log as it was found.
#[derive(Debug)]
pub struct LogScan {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: LogOptions,
    control: Control,
    segments: BTreeMap<u64, u64>,
    history: History,
    end: LogPosition,
    last: Option<LastSegment>,
    secured: bool,
}

/// The last segment with something that counts, and where that ends, the seal included.
#[derive(Debug, Clone, Copy)]
struct LastSegment {
    base: u64,
    copy_to: u64,
}

/// A log that can be written.
#[derive(Debug)]
pub struct StartedLog {
    /// Takes records; for the thread that commits.
    pub log: SegmentLog,
    /// The spare segments.
    pub pool: Arc<SegmentPool>,
    /// Gives up what is no longer needed; for the upkeep thread.
    pub control: ControlFile,
    /// Which start of the node on this data folder this is, from 1; the high bits of every epoch.
    pub start_number: u32,
}

impl LogScan {
    /// Reads the log in `dir` once from its control position on, keeping only a summary; a folder
    /// without a log is an empty log. Changes nothing on the disk but making the folder.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: LogOptions) -> Result<Self, LogError> {
        options.check()?;
        if !disk.exists(dir).map_err(disk_error("looking for the folder", dir))? {
            disk.create_dir_all(dir).map_err(disk_error("making the folder", dir))?;
            if let Some(parent) = dir.parent() {
                disk.sync_dir(parent).map_err(disk_error("syncing the folder", parent))?;
            }
        }
        let segments = find_segments(&*disk, dir)?;
        let control = match Control::read(&*disk, dir)? {
            Some(control) => control,
            None if segments.is_empty() => Control::default(),
            None => return Err(LogError::ControlMissing(control_path(dir))),
        };
        let mut scan = Self {
            disk,
            dir: dir.to_owned(),
            options,
            control,
            segments,
            history: History::default(),
            end: control.recover_from,
            last: None,
            secured: false,
        };
        scan.read_all()?;
        scan.refuse_later_frames()?;
        if let Some((key, position, reason)) = scan.history.find_missing() {
            return Err(LogError::History { key, position, reason });
        }
        Ok(scan)
    }

    /// What the log says of each object that it has records of.
    pub fn summary(&self) -> &BTreeMap<ObjectKey, ObjectTail> {
        &self.history.tails
    }

    /// Position after the last record that counts.
    pub const fn end(&self) -> LogPosition {
        self.end
    }

    /// Reads all records that count again, in log order, each whole. Records of kinds that a later
    /// version brings are among them; records that a checkpoint made needless too.
    pub fn for_each<E: From<LogError>>(
        &self,
        visit: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = self.cursor();
        let mut joiner = Joiner::default();
        let mut reached = self.control.recover_from;
        while reached < self.end {
            let Some(frame) = cursor.next()? else {
                return Err(LogError::Damaged { position: reached, later: self.end }.into());
            };
            reached = frame.end;
            let FoundFrame { header, payload, position, .. } = frame;
            let damaged = |source| LogError::Record { key: header.key, position, source };
            if let Joined::Complete(payload) = joiner.add(&header, payload).map_err(damaged)? {
                visit(record_of(&header, &payload).map_err(damaged)?)?;
            }
        }
        Ok(())
    }

    /// Writes what counts of the last segment into a fresh file, which takes its place, so that it is
    /// on the disk and not only in the system's memory (invariant 8). Behind a seal it keeps its length, by
    /// which the next segment is found; else it ends with what counts, since nothing is ever written to it
    /// again. Must be called before anything that was read is applied. May be repeated after an error.
    pub fn secure_tail(&mut self) -> Result<(), LogError> {
        if let Some(LastSegment { base, copy_to }) = self.last
            && !is_planted(Mutation::SkipTailRewrite)
        {
            let new = self.dir.join(TAIL_NAME);
            remove_leftover(&*self.disk, &new)?;
            let len = self.segments.get_mut(&base).expect("BUG: the last segment was not listed");
            let is_sealed = copy_to > self.end.0;
            if !is_sealed {
                *len = copy_to - base;
            }
            let len = *len;
            let old = self.dir.join(segment_name(base));
            let copied = self.copy_segment(&old, &new, copy_to - base, len);
            copied.map_err(disk_error("copying the last segment to", &new))?;
            self.disk.rename(&new, &old).map_err(disk_error("replacing the segment", &old))?;
            self.disk.sync_dir(&self.dir).map_err(disk_error("syncing the folder", &self.dir))?;
        }
        self.secured = true;
        Ok(())
    }

    /// Gives the old log up and begins a new one behind it; only after [`LogScan::secure_tail`], and
    /// only when everything that was read is applied to the objects' files and synced there. Nothing
    /// of the old log is touched before the control file that gives it up is durable.
    pub fn finish(self) -> Result<StartedLog, LogError> {
        assert!(self.secured, "BUG: the log was given up before its tail was secured");
        // Positions go on behind the whole of a segment that was cut.
        let whole = self.options.segment_bytes;
        let used = self.segments.iter().map(|(base, len)| base + whole.max(*len)).max().unwrap_or(0);
        let base = used.max(self.end.0).max(self.control.recover_from.0);
        let start_number = self.control.start_number.checked_add(1).expect("BUG: four billion starts");
        let position = LogPosition(base);
        let pool = Arc::new(SegmentPool::open(self.disk.clone(), &self.dir, &self.options)?);
        let control = Control { recover_from: position, start_number };
        let mut control = if is_planted(Mutation::RecycleBeforeControl) {
            let old = Control { start_number, ..self.control };
            ControlFile::create(self.disk, &self.dir, old)?
        } else {
            ControlFile::create(self.disk, &self.dir, control)?
        };
        control.release(position, &pool)?;
        let log = SegmentLog::new(pool.clone(), &self.dir, self.options.durability, base);
        Ok(StartedLog { log, pool, control, start_number })
    }

    fn cursor(&self) -> FrameCursor<'_> {
        FrameCursor::new(&*self.disk, &self.dir, &self.segments, self.control.recover_from)
    }

    fn read_all(&mut self) -> Result<(), LogError> {
        let mut history = History::default();
        let mut joiner = Joiner::default();
        let mut cursor = self.cursor();
        let (mut end, mut last) = (self.end, None);
        while let Some(frame) = cursor.next()? {
            let (position, key) = (frame.position, frame.header.key);
            let (frame_end, base) = (frame.end, frame.base);
            if let Err(reason) = take(&mut history, &mut joiner, &frame)? {
                // The very last record may be an accident of the crash; one in the midst may not.
                if cursor.next()?.is_some() {
                    return Err(LogError::History { key, position, reason });
                }
                break;
            }
            (end, last) = (frame_end, Some(LastSegment { base, copy_to: frame_end.0 }));
        }
        let seal = cursor.last_seal();
        if let (Some(last), Some((base, seal_end))) = (&mut last, seal)
            && last.base == base
        {
            last.copy_to = seal_end;
        }
        (self.history, self.end, self.last) = (history, end, last);
        Ok(())
    }

    /// A segment is synced before anything of the next is written: if the log ends before a segment
    /// that has a sound beginning, what is between was damaged, not lost in a crash.
    fn refuse_later_frames(&self) -> Result<(), LogError> {
        let ended_in = self.last.map_or(self.control.recover_from.0, |last| last.copy_to);
        for (&base, &len) in self.segments.range(ended_in..) {
            let alone = BTreeMap::from([(base, len)]);
            let later = LogPosition(base);
            let mut cursor = FrameCursor::new(&*self.disk, &self.dir, &alone, later);
            let follows = self.last.is_some_and(|last| self.continues(last, base));
            if !follows && later > self.end && cursor.next()?.is_some() {
                return Err(LogError::Damaged { position: self.end, later });
            }
        }
        Ok(())
    }

    /// Whether the segment at `base` follows a sealed last segment, so that the log ended at its very
    /// beginning.
    fn continues(&self, last: LastSegment, base: u64) -> bool {
        let sealed = last.copy_to > self.end.0;
        sealed && self.segments.get(&last.base).is_some_and(|len| last.base + len == base)
    }

    fn copy_segment(&self, old: &Path, new: &Path, count: u64, len: u64) -> std::io::Result<()> {
        let from = self.disk.open(old, OpenMode::Existing)?;
        let to = self.disk.open(new, OpenMode::CreateNew)?;
        let mut buffer = vec![0; count.min(1024 * 1024) as usize];
        let mut at = 0;
        while at < count {
            let step = buffer.len().min((count - at) as usize);
            if from.read_at(&mut buffer[..step], at)? != step {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all_at(&buffer[..step], at)?;
            at += step as u64;
        }
        fill_with_zeros(&to, count, len)?;
        to.sync_data()
    }
}

/// Takes a frame; the inner error says why it does not follow what was taken before.
fn take(
    history: &mut History,
    joiner: &mut Joiner,
    frame: &FoundFrame<'_>,
) -> Result<Result<(), String>, LogError> {
    let FoundFrame { header, payload, position, .. } = frame;
    let payload = match joiner.add(header, payload) {
        Ok(Joined::Complete(payload)) => payload,
        Ok(Joined::Open) => return Ok(Ok(())),
        // The rest of a record that began before the control position, and is not needed.
        Ok(Joined::Orphan) if !history.tails.contains_key(&header.key) => return Ok(Ok(())),
        Ok(Joined::Orphan) => return Ok(Err("a part stands without the part before it".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let record = record_of(header, &payload);
    let record =
        record.map_err(|source| LogError::Record { key: header.key, position: *position, source })?;
    Ok(history.accept(*position, header, &payload, &record))
}

fn find_segments(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<u64, u64>, LogError> {
    let mut segments = BTreeMap::new();
    for name in disk.list(dir).map_err(disk_error("listing the change log", dir))? {
        let Some(base) = base_of(&name) else { continue };
        let path = dir.join(&name);
        let len = disk.open(&path, OpenMode::Existing).and_then(|file| file.len());
        segments.insert(base, len.map_err(disk_error("opening the segment", &path))?);
    }
    Ok(segments)
}

#[cfg(test)]
mod tests;
