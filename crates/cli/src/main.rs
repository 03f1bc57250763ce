//! `durabo`: a node and its client in one program.
//!
//! Turns how a command ended into an exit code: 0 done, 1 refused (the node or the input said no), 2
//! broken (no connection, I/O, a bug). Modules stand bottom-up; one file per subcommand.

mod refusal;
mod timestamp;
mod output;
mod target;
mod client;
mod running;
mod serve;
mod config_file;
mod deploy;
mod call;
mod apps;
mod objects;
mod alarms;
mod sockets;
mod tail;
mod sql;
mod status;
mod demo;
mod compile;
mod command;

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use clap::Parser;

use crate::command::CommandLine;
use crate::output::print_error;
use crate::refusal::Refusal;

const REFUSED: u8 = 1;
const BROKEN: u8 = 2;

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(said) => {
            // Help and version go to standard output; a mistake is a refusal of the input.
            let code = if said.use_stderr() { REFUSED } else { 0 };
            return if said.print().is_ok() { code.into() } else { BROKEN.into() };
        }
    };
    match command_line.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has enough of it, such as `head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let refusal = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
            print_error(command_line.json, refusal.map_or("", |refusal| &refusal.code), &error);
            if refusal.is_some() { REFUSED.into() } else { BROKEN.into() }
        }
    }
}

/// Whether standard output was closed. Errors of sockets carry their context, so only a bare one counts.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
        && error.chain().count() == 1
}
