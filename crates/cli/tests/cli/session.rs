//! Sessions with a node: its commands one after the other, from its start to its next start.
//!
//! Answers of the control plane are compared by field, as programs read them.
//!
//! Drives the real binary.

use serde_json::Value;

use crate::node_process::{NodeProcess, Ran, examples, folder};

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn a_node_is_used_stopped_and_goes_on_where_it_was() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = NodeProcess::start_with_lasting_objects(&data);
    let component = examples();
    let deployed = node.ask(&["deploy", component.to_str().expect("path"), "--app", "demo"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    assert!(deployed.stdout.starts_with("app `demo` runs deployment 1 (sha256:"), "{deployed:?}");
    assert!(deployed.stdout.contains("Counter (http, rpc); methods: increment, get"), "{deployed:?}");
    let again = json(&node.ask(&["deploy", component.to_str().expect("path"), "--app", "demo", "--json"]));
    assert_eq!((&again["deployment"], &again["changed"]), (&1.into(), &false.into()));

    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "1\n");
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "2\n");
    assert_eq!(node.call(&["demo/Bank/b/c", "deposit", "\"ann\"", "5"]).stdout, "5\n");

    let apps = json(&node.ask(&["apps", "--json"]));
    assert_eq!(apps["apps"][0]["name"], "demo");
    let history = node.ask(&["apps", "demo"]);
    assert_eq!(history.stdout.lines().count(), 2, "{history:?}");
    let objects = json(&node.ask(&["objects", "demo/Bank", "--json"]));
    assert_eq!(objects["objects"][0]["name"], "b/c");
    let objects = node.ask(&["objects", "demo/Counter"]);
    let row: Vec<_> = objects.stdout.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
    assert_eq!(row[1..5], ["a", "yes", "1", "0"], "name, live, starts and resets: {objects:?}");

    let rows = node.ask(&[
        "sql",
        "demo/Bank/b/c",
        "SELECT name, balance FROM accounts WHERE balance > ?",
        "--bind",
        "-1",
    ]);
    assert_eq!(rows.stdout, "name  balance\nann   5\n", "{rows:?}");
    let status = json(&node.ask(&["status", "--json"]));
    assert_eq!((&status["durability"], &status["start"]), (&"strict".into(), &1.into()));

    assert_eq!(node.terminate().code(), Some(0));
    let node = NodeProcess::start(&data);
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "3\n");
    assert!(node.ask(&["status"]).stdout.contains("start 2 of this data folder"));
    node.kill();
    let node = NodeProcess::start(&data);
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "4\n");
}

#[test]
fn sql_writes_only_when_it_is_told_so() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "1\n");
    let update = ["sql", "demo/Counter/a", "UPDATE counter SET n = ?", "--bind", "41"];
    let refused = node.ask(&update);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("sql-failed"), "{refused:?}");
    assert_eq!(node.call(&["demo/Counter/a", "get"]).stdout, "1\n");
    let written = node.ask(&[&update[..], &["--write"]].concat());
    assert_eq!(written.code, Some(0), "{written:?}");
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "42\n");
}

#[test]
fn a_new_object_is_told_its_id_and_reached_by_it() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    let made = node.call(&["demo/Counter/~new", "increment"]);
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), "1\n"), "{made:?}");
    let address = made.stderr.trim().strip_prefix("the new object is ").expect("its address").to_owned();
    assert_eq!(node.call(&[&address, "increment"]).stdout, "2\n");
}
