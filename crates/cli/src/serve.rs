//! `durabo serve`: runs a node until Ctrl-C or SIGTERM.
//!
//! One line on standard output says that it serves, and where; log lines go to standard error.

use std::path::PathBuf;

use clap::Args;

use crate::client::DATA_DEFAULT;
use crate::output::Output;
use crate::running::{NodeArgs, RunningNode};

/// Runs a node
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Data folder; it is made if it does not exist
    #[arg(long, value_name = "DIR", env = "DURABO_DATA", hide_env_values = true, default_value = DATA_DEFAULT)]
    data: PathBuf,

    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub fn run(args: &ServeArgs, output: Output) -> anyhow::Result<()> {
    durabo_server::init_logging(args.node.log_json);
    let running = RunningNode::start(&args.node, args.data.clone())?;
    running.announce(output)?;
    running.until_stopped()
}
