//! Faults of the node itself, made by damaging what it keeps: what callers learn and what the log says.
//!
//! Drives the real binary.

use std::fs;
use std::path::{Path, PathBuf};

use crate::node_process::{NodeProcess, folder};

/// Files below `folder` with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry, extension));
        } else if entry.extension().is_some_and(|known| known == extension) {
            found.push(entry);
        }
    }
    found
}

#[test]
fn c_035_a_fault_of_the_node_is_a_reference_to_the_caller_and_its_detail_stands_in_the_log() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = NodeProcess::start(&data);
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "1\n");
    assert_eq!(node.terminate().code(), Some(0));
    let (code, components) = (files(&data, "cwasm"), files(&data, "wasm"));
    assert!(!code.is_empty() && !components.is_empty(), "{code:?} {components:?}");
    code.iter().for_each(|file| fs::remove_file(file).expect("removed"));
    components.iter().for_each(|file| fs::write(file, b"damaged").expect("written"));
    let node = NodeProcess::start(&data);
    let refused = node.call(&["demo/Counter/a", "increment"]);
    let log = fs::read_to_string(data.with_extension("log")).expect("log");
    let reference = refused
        .stderr
        .split_once("internal error; reference = ")
        .map(|(_, rest)| rest.split_whitespace().next().expect("a reference"))
        .unwrap_or_else(|| panic!("no reference in {refused:?}"));
    for secret in ["component", "sha256", "loaded"] {
        assert!(!refused.stderr.contains(secret) && !refused.stdout.contains(secret), "{refused:?}");
    }
    let line = log.lines().find(|line| line.contains(reference)).expect("a line with the reference");
    assert!(line.contains("is not loaded"), "{line}");
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "2\n");
}
