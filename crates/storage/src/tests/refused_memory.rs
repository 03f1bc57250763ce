//! Systems that refuse the memory of the indexes' range, or its addresses.
//!
//! The range and such limits are a process's, so each test runs again in a process of its own, this program with the
//! test's name.

use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use crate::index_blocks::{is_reserved, take};

/// Set in a process of one test.
const IS_ALONE: &str = "DURABO_TEST_IS_ALONE";

/// Room for all that a test does, and not for the first step of the range, 32 MiB.
const ROOM_BYTES: u64 = 16 * 1024 * 1024;

/// Runs `test`, which has this name, in a process of its own.
fn alone(name: &str, test: impl Fn()) {
    if std::env::var_os(IS_ALONE).is_some() {
        return test();
    }
    let path = module_path!().split_once("::").expect("a module of a crate").1;
    let mut process = Command::new(std::env::current_exe().expect("this program"));
    process.args(["--exact", &format!("{path}::{name}")]).env(IS_ALONE, "1");
    let ended = process.output().expect("it runs");
    let [said, error] = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{error}");
}

/// Lets the process have little more than it has; `field` of its status tells how much that is.
fn bound(resource: Resource, field: &str) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let current = Some(kib * 1024 + ROOM_BYTES);
    setrlimit(resource, Rlimit { current, maximum: current }).expect("lowered");
}

/// A database comes, works, is checkpointed and goes, and so does its successor.
fn assert_databases_work() {
    for _ in 0..2 {
        let mut f = fixture();
        f.exec("CREATE TABLE t(a)");
        f.exec("INSERT INTO t VALUES (1), (2)");
        f.end_turn();
        f.database.rest();
        f.reset();
        assert_eq!(f.integer("SELECT sum(a) FROM t"), 3);
    }
}

#[test]
fn without_addresses_for_a_range_databases_work_all_the_same() {
    alone("without_addresses_for_a_range_databases_work_all_the_same", || {
        bound(Resource::As, "VmSize:");
        assert!(!is_reserved());
        assert_databases_work();
    });
}

#[test]
fn without_memory_for_a_range_databases_work_all_the_same() {
    alone("without_memory_for_a_range_databases_work_all_the_same", || {
        bound(Resource::Data, "VmData:");
        assert!(is_reserved() && take().is_none());
        assert_databases_work();
    });
}
