//! `durabo objects`: the objects of a class that have storage or are in memory, in the order of their ids.
//!
//! One page at a time; what follows is asked for with `--after`.

use clap::Args;
use serde::Deserialize;

use crate::client::{Client, ControlArgs};
use crate::output::{Output, size};
use crate::target::{ClassTarget, segment};
use crate::timestamp::utc;

/// Lists the objects of a class
#[derive(Debug, Args)]
pub struct ObjectsArgs {
    /// The class
    #[arg(value_name = "APP/CLASS")]
    class: ClassTarget,

    /// At most so many objects, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,

    /// Only objects whose id comes after this one
    #[arg(long, value_name = "ID")]
    after: Option<String>,

    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
struct Page {
    objects: Vec<Object>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    id: String,
    name: Option<String>,
    live: bool,
    instance: Option<bool>,
    starts: Option<u64>,
    resets: Option<u64>,
    size_bytes: Option<u64>,
    last_commit_ms: Option<u64>,
}

/// Runs the command.
pub fn run(args: &ObjectsArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let ClassTarget { app, class } = &args.class;
    let after = args.after.as_ref().map_or_else(String::new, |id| format!("&after={}", segment(id)));
    let answer =
        client.get(&format!("/v1/apps/{app}/classes/{class}/objects?limit={}{after}", args.limit))?;
    let page: Page = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let last = page.objects.last().map(|object| object.id.clone());
    let rows = page.objects.into_iter().map(|object| {
        let live = match (object.live, object.instance) {
            (false, _) => "no",
            (true, Some(false)) => "hibernating",
            (true, _) => "yes",
        };
        vec![
            object.id,
            object.name.unwrap_or_else(|| "-".to_owned()),
            live.to_owned(),
            count(object.starts),
            count(object.resets),
            object.size_bytes.map_or_else(|| "-".to_owned(), size),
            object.last_commit_ms.map_or_else(|| "-".to_owned(), utc),
        ]
    });
    output.table(
        &["ID", "NAME", "LIVE", "STARTS", "RESETS", "SIZE", "LAST COMMIT"],
        &rows.collect::<Vec<_>>(),
    )?;
    if let Some(last) = last.filter(|_| page.more) {
        output.remark(&format!("there are more; go on with `--after {last}`"));
    }
    Ok(())
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}
