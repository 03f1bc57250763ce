//! `durabo deploy`: uploads a component, which becomes an app's next deployment.
//!
//! The file is streamed; nothing of a running app changes unless the node accepts all of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use durabo_model::limits::COMPONENT_BYTES_MAX;
use durabo_model::name::{AppName, ClassName};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::client::{Client, ControlArgs};
use crate::config_file::AppConfig;
use crate::output::{Output, Progress, printable, size};
use crate::refusal::Refusal;

/// Deploys a component
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The component, a `.wasm` file
    file: PathBuf,

    /// App that is to run it; it is made if it does not exist
    #[arg(long, value_name = "NAME", value_parser = |text: &str| AppName::new(text))]
    app: AppName,

    /// A class of the component; only for components that do not describe themselves
    #[arg(long = "class", value_name = "CLASS", value_parser = |text: &str| ClassName::new(text))]
    classes: Vec<ClassName>,

    /// Configuration of the app [default: `durabo.toml` beside the component, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    control: ControlArgs,
}

/// What the node says of the deployment, as far as it is shown.
#[derive(Deserialize)]
struct Report {
    app: String,
    deployment: u32,
    digest: String,
    classes: Vec<Class>,
    egress: Vec<String>,
    #[serde(rename = "keepSockets")]
    keep_sockets: bool,
    changed: bool,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    handlers: Vec<String>,
    methods: Vec<Method>,
}

#[derive(Deserialize)]
struct Method {
    name: String,
}

/// Runs the command.
pub fn run(args: &DeployArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let config = match &args.config {
        Some(path) => AppConfig::read(path)?,
        None => AppConfig::beside(&args.file)?,
    };
    let (mut component, bytes) = open(args)?;
    let progress = Progress::new(output);
    let mut reader = Upload { inner: &mut component, progress: &progress, sent: 0, bytes };
    let path = format!("/v1/apps/{}/deployments{}", args.app, query(&args.classes, &config));
    let answer = client.upload(&path, &mut reader, bytes);
    drop(progress);
    let answer = answer?;
    let report: Report = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    lines(&report).iter().try_for_each(|line| output.line(line))?;
    Ok(())
}

/// What goes along with the component.
fn query(classes: &[ClassName], config: &AppConfig) -> String {
    let classes = classes.iter().map(|class| format!("class={class}"));
    let rules = config.egress.texts().iter();
    let rules = rules.map(|rule| format!("egress={}", utf8_percent_encode(rule, NON_ALPHANUMERIC)));
    let sockets = config.keep_sockets.then(|| "keepSockets=true".to_owned());
    let parts: Vec<String> = classes.chain(rules).chain(sockets).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn open(args: &DeployArgs) -> anyhow::Result<(File, u64)> {
    let shown = args.file.display();
    let component =
        File::open(&args.file).map_err(|error| Refusal::new(format!("component `{shown}`: {error}")))?;
    let metadata = component.metadata().with_context(|| format!("component `{shown}`"))?;
    if !metadata.is_file() {
        return Err(Refusal::new(format!("component `{shown}` is not a file; name a `.wasm` file")).into());
    }
    if metadata.len() > COMPONENT_BYTES_MAX as u64 {
        let message = format!(
            "component `{shown}` is {}, the limit is {}; build it for release and strip debug information",
            size(metadata.len()),
            size(COMPONENT_BYTES_MAX as u64)
        );
        return Err(Refusal::new(message).into());
    }
    Ok((component, metadata.len()))
}

/// The report for people. Names of methods are what the component says.
fn lines(report: &Report) -> Vec<String> {
    let Report { app, deployment, digest, .. } = report;
    let mut lines = vec![if report.changed {
        format!("app `{app}` runs deployment {deployment} ({digest})")
    } else {
        format!("app `{app}` already runs this component as deployment {deployment} ({digest})")
    }];
    for class in &report.classes {
        let methods: Vec<&str> = class.methods.iter().map(|method| method.name.as_str()).collect();
        let calls =
            if methods.is_empty() { String::new() } else { format!("; methods: {}", methods.join(", ")) };
        lines.push(format!("  {} ({}){calls}", class.name, class.handlers.join(", ")));
    }
    if !report.egress.is_empty() {
        lines.push(format!("  may send requests to {}", report.egress.join(", ")));
    }
    if report.keep_sockets {
        lines.push("  keeps the sockets that are open".to_owned());
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.iter().map(|line| printable(line)).collect()
}

/// The file on its way, telling how far it is.
struct Upload<'a> {
    inner: &'a mut File,
    progress: &'a Progress,
    sent: u64,
    bytes: u64,
}

impl Read for Upload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sent += read as u64;
        self.progress.say(&if self.sent < self.bytes {
            format!("uploading {} of {}", size(self.sent), size(self.bytes))
        } else {
            "checking and compiling".to_owned()
        });
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_component_cannot_move_the_cursor() {
        let report = serde_json::json!({
            "app": "a", "deployment": 1, "digest": "sha256:0", "egress": [], "keepSockets": false, "changed": true,
            "classes": [{"name": "C", "handlers": ["rpc"], "methods": [{"name": "\u{9b}2J"}, {"name": "b\x1b[2J"}]}],
            "notes": ["method \x07"],
        });
        let report: Report = serde_json::from_value(report).expect("a report");
        let expected = [
            "app `a` runs deployment 1 (sha256:0)",
            "  C (rpc); methods: \\u{9b}2J, b\\u{1b}[2J",
            "note: method \\u{7}",
        ];
        assert_eq!(lines(&report), expected);
    }
}
