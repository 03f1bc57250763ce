//! `durabo apps`: what is deployed, and with a name the history of one app.
//!
//! Newest deployments come first.

use clap::Args;
use durabo_model::name::AppName;
use serde::Deserialize;

use crate::client::{Client, ControlArgs};
use crate::output::Output;
use crate::timestamp::utc;

/// Lists apps, or the deployments of one
#[derive(Debug, Args)]
pub struct AppsArgs {
    /// App whose deployments are listed
    #[arg(value_parser = |text: &str| AppName::new(text))]
    app: Option<AppName>,

    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
struct Apps {
    apps: Vec<App>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    name: String,
    deployment: u32,
    digest: String,
    deployed_ms: u64,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Deployments {
    deployments: Vec<Deployment>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    deployment: u32,
    digest: String,
    created_ms: u64,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
}

/// Runs the command.
pub fn run(args: &AppsArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    match &args.app {
        None => list(&client, output),
        Some(app) => history(&client, app, output),
    }
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = client.get("/v1/apps")?;
    let Apps { apps } = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let rows = apps.into_iter().map(|app| {
        vec![
            app.name,
            app.deployment.to_string(),
            utc(app.deployed_ms),
            names(&app.classes),
            short(&app.digest),
        ]
    });
    output.table(&["APP", "DEPLOYMENT", "SINCE", "CLASSES", "COMPONENT"], &rows.collect::<Vec<_>>())?;
    Ok(())
}

fn history(client: &Client, app: &AppName, output: Output) -> anyhow::Result<()> {
    let answer = client.get(&format!("/v1/apps/{app}/deployments"))?;
    let Deployments { deployments, more } = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let rows = deployments.into_iter().map(|deployment| {
        let Deployment { deployment, digest, created_ms, classes } = deployment;
        vec![deployment.to_string(), utc(created_ms), names(&classes), short(&digest)]
    });
    output.table(&["DEPLOYMENT", "MADE", "CLASSES", "COMPONENT"], &rows.collect::<Vec<_>>())?;
    if more {
        output.remark("older deployments are not shown");
    }
    Ok(())
}

fn names(classes: &[Class]) -> String {
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    names.join(", ")
}

/// Enough of a digest to tell components apart; `--json` has all of it.
fn short(digest: &str) -> String {
    const CHARS: usize = "sha256:".len() + 12;
    digest.chars().take(CHARS).collect()
}
