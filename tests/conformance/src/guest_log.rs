//! Lines that guests log, and errors of objects, of all nodes of this process.
//!
//! Collected from the first call of [`collect`] on; only the newest are kept, since some guests log a lot.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

/// What is kept of the lines, in bytes.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Begins to collect, if that was not done before.
pub fn collect() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("off,guest=info,durabo_objects=error"))
            .with_ansi(false)
            .with_writer(|| Lines);
        lines.try_init().expect("nobody else in this process takes the log");
    });
}

/// Whether a line that holds `text` has come.
pub fn holds(text: &str) -> bool {
    line_with(text).is_some()
}

/// The first line that holds `text`.
pub fn line_with(text: &str) -> Option<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = lines
        .split(|byte| *byte == b'\n')
        .find(|line| line.windows(text.len()).any(|part| part == text.as_bytes()));
    found.map(|line| String::from_utf8_lossy(line).into_owned())
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() + bytes.len() > KEPT_BYTES_MAX {
            let kept = lines.len() / 2;
            lines.drain(..kept);
        }
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
