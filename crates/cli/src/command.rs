//! The command line: one definition per flag, which feeds parser, help and reference.
//!
//! Each subcommand has its file; here they are only listed and run.

use clap::{Parser, Subcommand};

use crate::output::Output;
use crate::{alarms, apps, call, compile, demo, deploy, objects, serve, sockets, sql, status, tail};

/// Durable objects on your own machine: each has code, a name and a SQLite database
#[derive(Debug, Parser)]
#[command(
    name = "durabo",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused by the node or for what is wrong with the input, 2 broken."
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// Prints JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Deploy(deploy::DeployArgs),
    Call(call::CallArgs),
    Apps(apps::AppsArgs),
    Objects(objects::ObjectsArgs),
    Alarms(alarms::AlarmsArgs),
    Sockets(sockets::SocketsArgs),
    Tail(tail::TailArgs),
    Sql(sql::SqlArgs),
    Status(status::StatusArgs),
    #[command(hide = true)]
    Compile(compile::CompileArgs),
}

impl CommandLine {
    /// Runs the subcommand to its end.
    pub fn run(&self) -> anyhow::Result<()> {
        let output = Output::new(self.json);
        match &self.command {
            Command::Serve(args) => serve::run(args, output),
            Command::Demo(args) => demo::run(args, output),
            Command::Deploy(args) => deploy::run(args, output),
            Command::Call(args) => call::run(args, output),
            Command::Apps(args) => apps::run(args, output),
            Command::Objects(args) => objects::run(args, output),
            Command::Alarms(args) => alarms::run(args, output),
            Command::Sockets(args) => sockets::run(args, output),
            Command::Tail(args) => tail::run(args, output),
            Command::Sql(args) => sql::run(args, output),
            Command::Status(args) => status::run(args, output),
            Command::Compile(args) => compile::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        CommandLine::command().debug_assert();
    }
}
