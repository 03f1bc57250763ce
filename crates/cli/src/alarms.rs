//! `durabo alarms`: which objects are to be woken, past runs of an alarm, running one now, cancelling one.
//!
//! A list is shown one page at a time; what follows is asked for with `--after`.

use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::client::{Answer, Client, ControlArgs};
use crate::output::Output;
use crate::target::{ClassTarget, ObjectTarget, segment};
use crate::timestamp::utc;

/// Lists, runs and cancels alarms
#[derive(Debug, Args)]
pub struct AlarmsArgs {
    #[command(subcommand)]
    command: AlarmsCommand,
}

#[derive(Debug, Subcommand)]
enum AlarmsCommand {
    Ls(LsArgs),
    History(HistoryArgs),
    Run(RunArgs),
    Cancel(CancelArgs),
}

/// Lists the objects of a class that are to be woken, those that come first at the top
#[derive(Debug, Args)]
struct LsArgs {
    /// The class
    #[arg(value_name = "APP/CLASS")]
    class: ClassTarget,

    /// At most so many, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,

    /// Only alarms behind this one, named by its time in ms and its id: `1764036000000-3652ef…`
    #[arg(long, value_name = "TIME-ID")]
    after: Option<String>,

    #[command(flatten)]
    control: ControlArgs,
}

/// Shows the last runs of an object's alarm and named alarms, newest first
#[derive(Debug, Args)]
struct HistoryArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u32,

    #[command(flatten)]
    control: ControlArgs,
}

/// Runs an object's alarm now, not a named one, whatever its time, and waits for its end
#[derive(Debug, Args)]
struct RunArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    #[command(flatten)]
    control: ControlArgs,
}

/// Removes an object's alarm, not a named one; a run that is under way goes on
#[derive(Debug, Args)]
struct CancelArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
struct Page {
    alarms: Vec<Alarm>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alarm {
    id: String,
    name: Option<String>,
    due_ms: u64,
}

#[derive(Deserialize)]
struct History {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    schedule: Option<String>,
    scheduled_ms: u64,
    started_ms: u64,
    finished_ms: u64,
    retry_count: u32,
    outcome: String,
    error: Option<String>,
}

/// Runs the command.
pub fn run(args: &AlarmsArgs, output: Output) -> anyhow::Result<()> {
    match &args.command {
        AlarmsCommand::Ls(args) => ls(args, output),
        AlarmsCommand::History(args) => history(args, output),
        AlarmsCommand::Run(args) => {
            let answer =
                Client::of_control_plane(&args.control)?.post(&path_of(&args.object, "/run"), b"")?;
            done(&answer, "the alarm has run", output)
        }
        AlarmsCommand::Cancel(args) => {
            let answer = Client::of_control_plane(&args.control)?.delete(&path_of(&args.object, ""))?;
            done(&answer, "the alarm is cancelled", output)
        }
    }
}

fn ls(args: &LsArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let ClassTarget { app, class } = &args.class;
    let after = args.after.as_ref().map_or_else(String::new, |after| format!("&after={}", segment(after)));
    let answer = client.get(&format!("/v1/apps/{app}/classes/{class}/alarms?limit={}{after}", args.limit))?;
    let page: Page = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let last = page.alarms.last().map(|alarm| format!("{}-{}", alarm.due_ms, alarm.id));
    let rows = page
        .alarms
        .into_iter()
        .map(|alarm| vec![utc(alarm.due_ms), alarm.id, alarm.name.unwrap_or_else(|| "-".to_owned())]);
    output.table(&["DUE", "ID", "NAME"], &rows.collect::<Vec<_>>())?;
    if let Some(last) = last.filter(|_| page.more) {
        output.remark(&format!("there are more; go on with `--after {last}`"));
    }
    Ok(())
}

fn history(args: &HistoryArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let answer = client.get(&path_of(&args.object, &format!("/runs?limit={}", args.limit)))?;
    let history: History = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let rows = history.runs.into_iter().map(|run| {
        vec![
            run.schedule.unwrap_or_else(|| "-".to_owned()),
            utc(run.scheduled_ms),
            utc(run.started_ms),
            format!("{} ms", run.finished_ms.saturating_sub(run.started_ms)),
            run.retry_count.to_string(),
            run.outcome,
            run.error.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let heads = ["SCHEDULE", "SET FOR", "STARTED", "TOOK", "RETRY", "OUTCOME", "ERROR"];
    Ok(output.table(&heads, &rows.collect::<Vec<_>>())?)
}

fn done(answer: &Answer, text: &str, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    Ok(output.line(text)?)
}

fn path_of(object: &ObjectTarget, rest: &str) -> String {
    let ClassTarget { app, class } = &object.of;
    format!("/v1/apps/{app}/classes/{class}/objects/{}/alarm{rest}", object.segment())
}
