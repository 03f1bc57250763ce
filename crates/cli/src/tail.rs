//! `durabo tail`: what happens in objects, as it happens, until Ctrl-C or until the node stops.
//!
//! Only what begins after the command has connected is shown, which it tells on standard error.

use clap::Args;
use serde_json::Value;

use crate::client::{Client, ControlArgs};
use crate::output::{Output, printable, size};
use crate::target::Target;
use crate::timestamp::utc;

/// Shows events and sockets of objects as they come and go, until Ctrl-C
#[derive(Debug, Args)]
pub struct TailArgs {
    /// The app, the class or the object
    #[arg(value_name = "APP[/CLASS[/NAME]]")]
    of: Target,

    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
pub fn run(args: &TailArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let mut lines = client.lines(&format!("{}/tail", args.of.path()))?;
    // Its first line says that it has begun, and an empty one that nothing happens.
    if let Some(begun) = lines.next() {
        begun?;
        eprintln!("watching");
    }
    for line in lines {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        if output.is_json() {
            output.text(line.as_bytes())?;
        } else {
            output.line(&printable(&sentence(&serde_json::from_str(&line)?)))?;
        }
    }
    output.remark("the node stops");
    Ok(())
}

/// A line for people. Fields that are not there are left out.
fn sentence(told: &Value) -> String {
    let text = |field: &str| told[field].as_str().unwrap_or_default();
    let number = |field: &str| told[field].as_u64().unwrap_or_default();
    let socket = || format!("socket {}", text("socket"));
    let what = match text("what") {
        "event" => {
            let mut what = text("handler").to_owned();
            for (field, words) in [("detail", text("detail").to_owned()), ("socket", socket())] {
                if told.get(field).is_some() {
                    what = format!("{what} {words}");
                }
            }
            if told.get("bytes").is_some() {
                what = format!("{what} {}", size(number("bytes")));
            }
            let took = format!("{}.{:03} ms", number("tookUs") / 1000, number("tookUs") % 1000);
            match (text("outcome"), text("code")) {
                ("ok", _) => format!("{what}  ok in {took}"),
                (_, "") => format!("{what}  failed in {took}: {}", text("error")),
                (_, code) => format!("{what}  failed in {took}: {} ({code})", text("error")),
            }
        }
        "socketOpened" => format!("{} opened", socket()),
        "socketClosed" => {
            let kind = if told["wasClean"] == Value::Bool(true) { "closed" } else { "lost" };
            let reason = Some(text("reason")).filter(|reason| !reason.is_empty());
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{} {kind} with {}{reason}", socket(), number("code"))
        }
        "socketFailed" => format!("{} failed: {}", socket(), text("error")),
        "socketCut" => format!("{} cut: {}", socket(), text("why")),
        "leftOut" => return format!("{} lines were left out", number("count")),
        other => format!("{other} {told}"),
    };
    let name = told["name"].as_str().map_or_else(|| format!("~id:{}", text("id")), str::to_owned);
    format!("{}  {}/{name}  {what}", utc(number("atMs")), text("class"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The sentence behind time and object.
    fn what(fields: Value) -> String {
        let mut told = json!({"atMs": 0, "class": "Room", "id": "ff", "name": "a"});
        told.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        let sentence = sentence(&told);
        let what = sentence.strip_prefix("1970-01-01T00:00:00Z  Room/a  ");
        what.unwrap_or_else(|| panic!("{sentence}")).to_owned()
    }

    #[test]
    fn each_line_says_what_happened() {
        let event = |mut fields: Value| {
            let all = json!({"what": "event", "event": "1", "tookUs": 1002});
            fields.as_object_mut().expect("a map").extend(all.as_object().expect("a map").clone());
            what(fields)
        };
        let call = json!({"handler": "rpc", "detail": "get", "outcome": "ok"});
        assert_eq!(event(call), "rpc get  ok in 1.002 ms");
        let failed = json!({"handler": "alarm", "outcome": "failed", "code": "", "error": "no"});
        assert_eq!(event(failed), "alarm  failed in 1.002 ms: no");
        let message = json!({"handler": "websocketMessage", "socket": "7", "bytes": 3, "outcome": "failed",
            "code": "reset", "error": "no"});
        assert_eq!(event(message), "websocketMessage socket 7 3 B  failed in 1.002 ms: no (reset)");
        assert_eq!(what(json!({"what": "socketOpened", "socket": "7"})), "socket 7 opened");
        let closed =
            json!({"what": "socketClosed", "socket": "7", "code": 4000, "reason": "bye", "wasClean": true});
        assert_eq!(what(closed), "socket 7 closed with 4000: bye");
        let lost =
            json!({"what": "socketClosed", "socket": "7", "code": 1006, "reason": "", "wasClean": false});
        assert_eq!(what(lost), "socket 7 lost with 1006");
        assert_eq!(what(json!({"what": "socketCut", "socket": "7", "why": "x"})), "socket 7 cut: x");
        assert_eq!(sentence(&json!({"what": "leftOut", "count": 3})), "3 lines were left out");
        let nameless =
            sentence(&json!({"what": "socketOpened", "socket": "7", "atMs": 0, "class": "Room", "id": "ff"}));
        assert_eq!(nameless, "1970-01-01T00:00:00Z  Room/~id:ff  socket 7 opened");
    }
}
