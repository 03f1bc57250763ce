//! `bench-limits`: what this machine allows at best, as rows beside peer and durabo.
//!
//! `axum` answers requests as an object's `noop` does, and WebSockets as its `ws`, but without any object; `append`
//! writes and syncs records as a change log does, but without any database. Neither is part of the product: they are
//! built and started by the tools of `tests/peers/bench` alone.

mod append;
mod bare_sockets;
mod bare;

use clap::{Parser, Subcommand};

/// What this machine allows at best
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves constant answers until it is ended
    Axum(bare::Options),
    /// Appends records to a file, syncing, and prints what that came to
    Append(append::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse().what {
        What::Axum(options) => bare::serve(&options),
        What::Append(options) => append::measure(&options),
    }
}
