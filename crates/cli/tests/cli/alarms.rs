//! `durabo alarms`: lists, runs and cancels what a class has set, and shows what has run.
//!
//! Drives the real binary. An hour is far ahead of every test.

use serde_json::{Value, json};

use crate::node_process::{NodeProcess, Ran, folder};
use crate::waiting::eventually;

const HOUR_MS: &str = "3600000";

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Adds a reminder and gives its time.
fn remind(node: &NodeProcess, name: &str, ms: &str) -> Value {
    json(&node.call(&[&format!("demo/Reminders/{name}"), "remind_in", ms, "\"tea\""]))
}

#[test]
fn alarms_are_listed_in_the_order_of_their_times_and_page_by_page() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    let [later, sooner] =
        [("later", "7200000"), ("sooner", HOUR_MS)].map(|(name, ms)| remind(&node, name, ms));
    let page = json(&node.ask(&["alarms", "ls", "demo/Reminders", "--limit", "1", "--json"]));
    let first = &page["alarms"][0];
    assert_eq!((&first["name"], &first["dueMs"], &page["more"]), (&json!("sooner"), &sooner, &json!(true)));
    let after = format!("{sooner}-{}", first["id"].as_str().expect("an id"));
    let page = json(&node.ask(&["alarms", "ls", "demo/Reminders", "--after", &after, "--json"]));
    let names: Vec<_> = page["alarms"].as_array().into_iter().flatten().map(|alarm| &alarm["name"]).collect();
    assert_eq!(
        (names, &page["alarms"][0]["dueMs"], &page["more"]),
        (vec![&json!("later")], &later, &json!(false))
    );
    let table = node.ask(&["alarms", "ls", "demo/Reminders", "--limit", "1"]);
    assert!(table.stdout.lines().nth(1).is_some_and(|row| row.ends_with("  sooner")), "{table:?}");
    assert!(table.stderr.contains(&format!("go on with `--after {after}`")), "{table:?}");
    let refused = node.ask(&["alarms", "ls", "demo/Reminders", "--after", "tomorrow"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[test]
fn an_alarm_is_cancelled_once() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    remind(&node, "a", HOUR_MS);
    assert_eq!(node.ask(&["alarms", "cancel", "demo/Reminders/a"]).stdout, "the alarm is cancelled\n");
    let listed = json(&node.ask(&["alarms", "ls", "demo/Reminders", "--json"]));
    assert_eq!(listed, json!({"alarms": [], "more": false}));
    for object in ["demo/Reminders/a", "demo/Reminders/never-used"] {
        let refused = node.ask(&["alarms", "cancel", object]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("not-found"), "{refused:?}");
    }
    // Asking has made no object.
    let objects = json(&node.ask(&["objects", "demo/Reminders", "--json"]));
    assert_eq!(objects["objects"].as_array().map(Vec::len), Some(1), "{objects}");
}

#[test]
fn an_alarm_is_run_before_its_time_and_its_runs_are_shown() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    let due = remind(&node, "a", HOUR_MS);
    assert_eq!(node.ask(&["alarms", "run", "demo/Reminders/a"]).stdout, "the alarm has run\n");
    let history = json(&node.ask(&["alarms", "history", "demo/Reminders/a", "--json"]));
    let run = &history["runs"][0];
    let told = ["scheduledMs", "retryCount", "outcome", "error"].map(|field| run[field].clone());
    assert_eq!(told, [due.clone(), json!(0), json!("succeeded"), json!(null)], "{history}");
    assert!(run["startedMs"].as_u64() <= run["finishedMs"].as_u64(), "{history}");
    let table = node.ask(&["alarms", "history", "demo/Reminders/a"]);
    assert!(table.stdout.lines().nth(1).is_some_and(|row| row.contains("succeeded")), "{table:?}");
    // Its handler has found nothing that is due, and has set the same time again.
    let listed = json(&node.ask(&["alarms", "ls", "demo/Reminders", "--json"]));
    assert_eq!(listed["alarms"][0]["dueMs"], due);
    assert_eq!(json(&node.call(&["demo/Reminders/a", "pending"])), json!(["tea"]));
}

#[test]
fn an_alarm_comes_by_itself() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    remind(&node, "a", "50");
    eventually("the alarm comes", || {
        let history = json(&node.ask(&["alarms", "history", "demo/Reminders/a", "--json"]));
        history["runs"].as_array().is_some_and(|runs| !runs.is_empty())
    });
    assert_eq!(json(&node.call(&["demo/Reminders/a", "done"])), json!(["tea"]));
}
