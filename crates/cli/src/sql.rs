//! `durabo sql`: runs a statement on an object's database, in a turn of its own.
//!
//! Read-only unless `--write` is given; what is written is durable when the command returns.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::call::json_array;
use crate::client::{Client, ControlArgs};
use crate::output::Output;
use crate::target::ObjectTarget;

/// Runs SQL on an object's database
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    /// One statement or several; rows are those of the last
    query: String,

    /// Value for the next parameter of the last statement, in JSON
    #[arg(long = "bind", value_name = "JSON", allow_hyphen_values = true)]
    bindings: Vec<String>,

    /// Lets the statements write
    #[arg(long)]
    write: bool,

    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    rows_written: u64,
    cut: bool,
}

/// Runs the command.
pub fn run(args: &SqlArgs, output: Output) -> anyhow::Result<()> {
    let bindings = json_array("binding", &args.bindings)?;
    let client = Client::of_control_plane(&args.control)?;
    let (of, name) = (&args.object.of, args.object.segment());
    let query = serde_json::to_string(&args.query)?;
    let body = format!(r#"{{"query":{query},"bindings":{bindings},"write":{}}}"#, args.write);
    let path = format!("/v1/apps/{}/classes/{}/objects/{name}/sql", of.app, of.class);
    let answer = client.post(&path, body.as_bytes())?;
    let report: Report = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    if !report.columns.is_empty() {
        let heads: Vec<&str> = report.columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = report.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        output.table(&heads, &rows)?;
    }
    if report.cut {
        output.remark("rows were left out because the answer would be too large; narrow the query");
    }
    if args.write {
        output.remark(&format!("{} rows written", report.rows_written));
    }
    Ok(())
}

/// A value for people: texts without quotes, and the forms of JSON for exact values undone.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(form) => match form.iter().next() {
            Some((name, Value::String(text))) if name == "$bytes" => format!("base64:{text}"),
            Some((_, Value::String(text))) if form.len() == 1 => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_without_the_wrapping_of_json() {
        let values = [
            json!(null),
            json!("a"),
            json!(1.5),
            json!({"$int": "9007199254740993"}),
            json!({"$bytes": "AQ=="}),
        ];
        let texts: Vec<String> = values.iter().map(shown).collect();
        assert_eq!(texts, ["NULL", "a", "1.5", "9007199254740993", "base64:AQ=="]);
    }
}
