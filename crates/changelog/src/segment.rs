//! Segments: the files of the log, their names and sizes.
//!
//! A segment has a fixed size and is named by the log position of its first byte; a spare one waits
//! under another name until the log reaches it. Positions only grow, so what an earlier life of a file
//! left in it is never taken for a record.

use std::path::Path;
use std::sync::Arc;

use durabo_model::limits::DiskLimits;

use crate::disk::{Disk, DiskFile};
use crate::error::{LogError, disk_error};

/// Least size of a segment, in bytes. Below 1 MiB and some, large transactions are refused.
pub const SEGMENT_BYTES_MIN: u64 = 16 * 1024;

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it survives the loss of power.
    #[default]
    Strict,
    /// When it survives the end of the process: no sync per batch. For development; after a power
    /// loss the last commits of all objects may be missing.
    Relaxed,
}

/// What an operator may set about the log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a segment in bytes.
    pub segment_bytes: u64,
    /// Spare segments to keep ready. Three: while one is being filled, another can be made; the third is
    /// left to the records of checkpoints.
    pub segments_ready: usize,
    /// When commits count as durable.
    pub durability: Durability,
    /// Bytes of the file system that new segments leave free, for checkpoints of objects' files.
    pub reserve_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 8 * 1024 * 1024,
            segments_ready: 3,
            durability: Durability::Strict,
            reserve_bytes: DiskLimits::default().reserve_bytes,
        }
    }
}

impl LogOptions {
    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(LogError::SegmentSize { bytes: self.segment_bytes, least: SEGMENT_BYTES_MIN });
        }
        Ok(())
    }
}

const SEGMENT_ENDING: &str = ".segment";
const SPARE_BEGINNING: &str = "spare-";
const ZEROS_BYTES: usize = 256 * 1024;

pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:016x}{SEGMENT_ENDING}")
}

pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_ENDING)?;
    let base = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(base) == name).then_some(base)
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("{SPARE_BEGINNING}{number:08x}")
}

pub(crate) fn spare_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix(SPARE_BEGINNING)?, 16).ok()
}

/// Writes zeros from `from` to `to`, so that later writes there change no metadata of the file.
pub(crate) fn fill_with_zeros(file: &Arc<dyn DiskFile>, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let step = zeros.len().min((to - at) as usize);
        file.write_all_at(&zeros[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// Removes a file that an interrupted start or a failed step may have left.
pub(crate) fn remove_leftover(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    match disk.exists(path) {
        Ok(false) => Ok(()),
        Ok(true) => disk.remove(path).map_err(disk_error("removing the leftover file", path)),
        Err(error) => Err(disk_error("looking for the leftover file", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_positions_match() {
        for base in [0, 1, 8 << 20, u64::MAX] {
            assert_eq!(base_of(&segment_name(base)), Some(base));
        }
        for other in ["control", "spare-00000001", "1.segment", "00000000000000zz.segment"] {
            assert_eq!(base_of(other), None, "{other}");
        }
        assert_eq!(spare_number(&spare_name(17)), Some(17));
        assert_eq!(spare_number("control"), None);
    }
}
