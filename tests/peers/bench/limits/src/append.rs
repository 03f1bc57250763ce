//! Bare synced appends: how many records a second one thread brings onto the disk, and nothing else.
//!
//! The file is filled with zeros and synced first, as segments of the change log are, so that a sync has
//! no metadata to write. Each round writes one record of every writer and syncs once: with all of them
//! waiting for that sync, no group commit over one file can be faster.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

/// Bytes of the file; appending goes on at its start when it is full.
const FILE_BYTES: usize = 64 * 1024 * 1024;

/// Options of `append`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder for the file, on the disk that is to be measured
    #[arg(long)]
    dir: PathBuf,
    /// Records that wait for one sync
    #[arg(long, default_value_t = 1)]
    writers: usize,
    /// Bytes of one record
    #[arg(long, default_value_t = 168)]
    bytes: usize,
    /// How long to measure
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Measures, and prints one line of JSON.
pub(crate) fn measure(options: &Options) -> anyhow::Result<()> {
    let batch = options.writers * options.bytes;
    ensure!(batch > 0 && batch <= FILE_BYTES, "a round of {batch} bytes does not fit the file");
    let path = options.dir.join(format!("bench-append-{}", std::process::id()));
    let measured = rounds(&path, batch, Duration::from_secs_f64(options.seconds));
    std::fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
    let mut micros = measured?;
    let total: f64 = micros.iter().sum();
    micros.sort_by(f64::total_cmp);
    let part = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize].round();
    let line = json!({
        "writers": options.writers,
        "bytes": options.bytes,
        "syncs": micros.len(),
        "rps": (micros.len() * options.writers) as f64 * 1e6 / total,
        "p50_us": part(0.5),
        "p99_us": part(0.99),
    });
    println!("{line}");
    Ok(())
}

/// Duration of each round in microseconds; there is at least one.
fn rounds(path: &Path, batch: usize, time: Duration) -> anyhow::Result<Vec<f64>> {
    let file = OpenOptions::new().create_new(true).write(true).open(path);
    let file = file.with_context(|| format!("making `{}`", path.display()))?;
    file.write_all_at(&vec![0; FILE_BYTES], 0).context("filling the file")?;
    file.sync_all().context("syncing the file")?;
    let records: Vec<u8> = (0..batch).map(|at| (at % 251) as u8).collect();
    let (mut at, mut micros) = (0, Vec::new());
    let begin = Instant::now();
    while micros.is_empty() || begin.elapsed() < time {
        if at + batch > FILE_BYTES {
            at = 0;
        }
        let start = Instant::now();
        file.write_all_at(&records, at as u64).context("appending")?;
        file.sync_data().context("syncing")?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
        at += batch;
    }
    Ok(micros)
}
