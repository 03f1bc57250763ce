//! `durabo status`: how the node is.
//!
//! Exits with 0 if the node answers; whether it serves is in the answer.

use clap::Args;
use serde::Deserialize;

use crate::client::{Client, ControlArgs};
use crate::output::{Output, printable, size};
use crate::timestamp::utc;

/// Shows how the node is
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: String,
    ready: bool,
    durability: String,
    start: u32,
    started_ms: u64,
    apps: u64,
    live_objects: u64,
    live_objects_max: Option<u64>,
    instances: u64,
    log: Log,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    durable_position: u64,
    recovery_bytes: u64,
    takes_writes: bool,
}

/// Runs the command.
pub fn run(args: &StatusArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let answer = client.get("/v1/status")?;
    let status: Status = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let ready = if status.ready { "yes" } else { "no" };
    let writes = if status.log.takes_writes { "taken" } else { "refused, the disk is full" };
    let live_objects = match status.live_objects_max {
        Some(max) => format!("{} of at most {max}", status.live_objects),
        None => status.live_objects.to_string(),
    };
    let lines = [
        ("version", status.version),
        ("serves", ready.to_owned()),
        ("durability", status.durability),
        ("started", format!("{}, start {} of this data folder", utc(status.started_ms), status.start)),
        ("apps", status.apps.to_string()),
        ("live objects", live_objects),
        ("instances", format!("{}, the other objects hibernate", status.instances)),
        ("writes", writes.to_owned()),
        ("change log", format!("{} durable", size(status.log.durable_position))),
        ("recovery", format!("{} to read at a restart", size(status.log.recovery_bytes))),
    ];
    lines.iter().try_for_each(|(name, value)| output.line(&format!("{name:<13} {}", printable(value))))?;
    Ok(())
}
