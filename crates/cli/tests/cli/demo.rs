//! `durabo demo --once`: what a first look at the program shows.
//!
//! Answers are compared where they are the same each time; the ids and times of items are not.
//!
//! Drives the real binary.

use serde_json::Value;

use crate::node_process::{folder, run};

const PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];

#[test]
fn the_demo_counts_keeps_items_moves_money_and_talks() {
    let ran = run(&[&["demo", "--once"], &PORTS[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let answers = |path: &str| {
        let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("curl ") && pair[0].ends_with(path));
        pairs.map(|pair| pair[1]).collect::<Vec<_>>()
    };
    assert_eq!(answers("/rpc/demo/Counter/tour/increment"), ["1", "2", "3"], "{}", ran.stdout);
    assert_eq!(answers("/o/demo/Counter/tour"), ["3"], "{}", ran.stdout);
    assert!(
        answers("/o/demo/Todo/tour/items").iter().all(|answer| answer.contains("try durabo")),
        "{}",
        ran.stdout
    );
    let transfers = answers("/rpc/demo/Bank/tour/transfer");
    assert_eq!(transfers[0], "70", "{}", ran.stdout);
    assert!(transfers[1].contains("insufficient-funds"), "{}", ran.stdout);
    assert!(answers("/rpc/demo/Chat/tour/history")[0].contains(r#""text":"hello""#), "{}", ran.stdout);
    assert!(ran.stderr.contains("the data folder is temporary"), "{}", ran.stderr);
}

#[test]
fn a_named_folder_is_kept_and_counting_goes_on() {
    let folder = folder();
    let data = folder.path().join("data");
    let data = data.to_str().expect("path");
    let counts = || -> Vec<u64> {
        let ran = run(&[&["demo", "--once", "--json", "--data", data], &PORTS[..]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let steps =
            lines.filter(|line| line["curl"].as_str().is_some_and(|curl| curl.ends_with("/increment")));
        steps.map(|step| step["answer"].as_u64().expect("a count")).collect()
    };
    assert_eq!(counts(), [1, 2, 3]);
    assert_eq!(counts(), [4, 5, 6]);
}
