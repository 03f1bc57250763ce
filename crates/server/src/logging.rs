//! Log lines of the node: text for people or JSON for machines, on standard error.
//!
//! Standard output belongs to the commands that print answers.

use tracing_subscriber::EnvFilter;

/// Sends log lines to standard error; `RUST_LOG` chooses which, `info` if it is not set. A second
/// call does nothing.
pub fn init_logging(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written, as to a file on a full disk, is lost. To say so on standard error, as
    // would be done otherwise, panics in whatever thread has logged.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = if json {
        lines.json().try_init()
    } else {
        let colour =
            std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
        lines.with_ansi(colour).try_init()
    };
    // Somebody else in this process has set a subscriber: theirs stays.
    drop(started);
}
