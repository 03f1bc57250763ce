//! `durabo compile`: the child process in which a node compiles an upload.
//!
//! Not for people: it is hidden, and ends when its standard input does. What it may use is given by its
//! arguments, and it holds itself to that.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use durabo_model::error_code::ErrorCode;
use durabo_server::compile::{CompileRequest, compile_alone};

use crate::refusal::Refusal;

/// Compiles a component for a node that waits for it
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// File of the component
    component: PathBuf,

    /// File that the code goes to
    code: PathBuf,

    /// Memory that may be used, in bytes
    #[arg(long, value_name = "BYTES")]
    memory_bytes_max: u64,

    /// CPU time that may be used, in seconds
    #[arg(long, value_name = "SECONDS")]
    cpu_s_max: u64,

    /// Stack of guests, in bytes
    #[arg(long, value_name = "BYTES")]
    stack_bytes_max: usize,

    /// Traps name file and line
    #[arg(long)]
    with_trap_lines: bool,
}

/// Runs the command.
pub fn run(args: &CompileArgs) -> anyhow::Result<()> {
    let request = CompileRequest {
        component: args.component.clone(),
        code: args.code.clone(),
        memory_bytes_max: args.memory_bytes_max,
        cpu_s_max: args.cpu_s_max,
        stack_bytes_max: args.stack_bytes_max,
        with_trap_lines: args.with_trap_lines,
    };
    compile_alone(&request).map_err(|failure| {
        if failure.code == ErrorCode::Internal.as_str() {
            return anyhow!("{}", failure.message);
        }
        Refusal { code: failure.code, message: failure.message }.into()
    })
}
