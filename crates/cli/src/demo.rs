//! `durabo demo`: a node with the examples, shown at work.
//!
//! Serves, deploys the example component that this program carries as app `demo`, calls its objects over
//! HTTP, and prints each request as a curl line with its answer. The objects that it calls are not
//! `a`, `b` and so on, so that whoever tries these begins at 1.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::Method;

use crate::client::{Client, DataPlaneArgs};
use crate::output::{Output, printable};
use crate::running::{NodeArgs, RunningNode};

/// The classes of the examples.
const COMPONENT: &[u8] = include_bytes!(env!("DURABO_DEMO_COMPONENT"));

/// Serves the examples and shows them at work
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Data folder, which is kept; without it a temporary one is used
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Ends after the calls instead of serving on
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    node: NodeArgs,
}

/// A request that is shown.
struct Step {
    /// What it shows.
    about: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
}

/// The requests in their order.
const STEPS: [Step; 11] = [
    call("a counter counts", "/rpc/demo/Counter/tour/increment", ""),
    call("", "/rpc/demo/Counter/tour/increment", ""),
    call("", "/rpc/demo/Counter/tour/increment", ""),
    Step {
        about: "the same object over plain HTTP",
        method: Method::GET,
        path: "/o/demo/Counter/tour",
        body: "",
    },
    Step {
        about: "a list keeps items, each any JSON value",
        method: Method::POST,
        path: "/o/demo/Todo/tour/items",
        body: r#"{"title":"try durabo"}"#,
    },
    Step { about: "", method: Method::GET, path: "/o/demo/Todo/tour/items", body: "" },
    call("a bank: all of a transfer, or nothing", "/rpc/demo/Bank/tour/deposit", r#"["alice",100]"#),
    call("", "/rpc/demo/Bank/tour/transfer", r#"["alice","bob",30]"#),
    call(
        "more than there is: refused by the class, and nothing has moved",
        "/rpc/demo/Bank/tour/transfer",
        r#"["bob","alice",1000]"#,
    ),
    call(
        "a chat room keeps what is said, and everyone in it hears it",
        "/rpc/demo/Chat/tour/say",
        r#"["Ada","hello","first"]"#,
    ),
    call("", "/rpc/demo/Chat/tour/history", ""),
];

const fn call(about: &'static str, path: &'static str, body: &'static str) -> Step {
    Step { about, method: Method::POST, path, body }
}

/// Runs the command.
pub fn run(args: &DemoArgs, output: Output) -> anyhow::Result<()> {
    // Log lines would stand between the answers; whoever wants them sets `RUST_LOG`.
    if args.node.log_json || std::env::var_os("RUST_LOG").is_some() {
        durabo_server::init_logging(args.node.log_json);
    }
    // Lives until the node has stopped.
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("durabo-demo-")
                .tempdir()
                .context("making a temporary data folder")?,
        ),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned()));
    let running = RunningNode::start(&args.node, data.context("BUG: a data folder is given or made")?)?;
    running.announce(output)?;
    if temporary.is_some() {
        output.remark("the data folder is temporary and removed at the end; keep one with `--data DIR`");
    }
    deploy(&running, output)?;
    show(&running, output)?;
    let ended = if args.once {
        running.stop()
    } else {
        invite(&running, output)?;
        running.until_stopped()
    };
    drop_folder(temporary)?;
    ended
}

fn drop_folder(temporary: Option<TempDir>) -> anyhow::Result<()> {
    temporary.map_or(Ok(()), TempDir::close).context("removing the temporary data folder")
}

fn deploy(running: &RunningNode, output: Output) -> anyhow::Result<()> {
    output.remark("compiling the examples");
    let client = Client::with_token(&running.control().to_string(), running.token())?;
    client.post("/v1/apps/demo/deployments", COMPONENT)?;
    Ok(())
}

fn show(running: &RunningNode, output: Output) -> anyhow::Result<()> {
    let address = running.listen().to_string();
    let client = Client::of_data_plane(&DataPlaneArgs { listen: address.clone() })?;
    for step in &STEPS {
        let answer = client.exchange(step.method.clone(), step.path, step.body.as_bytes())?;
        let text = String::from_utf8_lossy(&answer.body);
        if output.is_json() {
            let read: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
            let curl = curl_line(step, &address);
            output.json(&json!({"curl": curl, "status": answer.status, "answer": read}))?;
            continue;
        }
        if !step.about.is_empty() {
            output.line(&format!("\n# {}", step.about))?;
        }
        output.line(&curl_line(step, &address))?;
        output.line(&printable(text.trim_end()))?;
    }
    Ok(())
}

/// The request as a command for a shell. No part of it holds a single quote.
fn curl_line(step: &Step, address: &str) -> String {
    let Step { method, path, body, .. } = step;
    match (method == Method::GET, body.is_empty()) {
        (true, _) => format!("curl {address}{path}"),
        (false, true) => format!("curl -X POST {address}{path}"),
        (false, false) => format!("curl -d '{body}' {address}{path}"),
    }
}

fn invite(running: &RunningNode, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(());
    }
    let (listen, control) = (running.listen(), running.control());
    let data = running.data().display();
    output.line("\n# now you, from another terminal; Ctrl-C here ends the node")?;
    output.line(&format!("http://{listen}/o/demo/Chat/lobby/ in two windows of a browser"))?;
    output.line(&format!("curl -X POST {listen}/rpc/demo/Counter/a/increment"))?;
    output.line(&format!("durabo objects demo/Counter --control {control} --data {data}"))?;
    output.line(&format!(
        "durabo sql demo/Bank/tour 'SELECT * FROM accounts' --control {control} --data {data}"
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_shown_as_a_shell_takes_them() {
        let lines: Vec<String> = STEPS.iter().map(|step| curl_line(step, "127.0.0.1:7610")).collect();
        assert_eq!(lines[0], "curl -X POST 127.0.0.1:7610/rpc/demo/Counter/tour/increment");
        assert_eq!(lines[3], "curl 127.0.0.1:7610/o/demo/Counter/tour");
        assert_eq!(lines[4], r#"curl -d '{"title":"try durabo"}' 127.0.0.1:7610/o/demo/Todo/tour/items"#);
        assert!(STEPS.iter().all(|step| !step.path.contains('\'') && !step.body.contains('\'')));
    }
}
