//! Foreign crates that one crate alone may name, and what the synchronous crates must not name.
//!
//! Only `runtime` knows the engine and only `gateway` the HTTP server, so that either can be replaced
//! in one place. `model`, `changelog` and `storage` are synchronous and start no thread or task.

use crate::manifest;
use crate::problem::Problem;
use crate::source::{self, Source};

/// Crates with the one crate of ours that may name them.
const OWNERS: [(&str, &str); 6] = [
    ("wasmtime", "runtime"),
    ("wasmtime-wasi", "runtime"),
    ("wasmparser", "runtime"),
    ("axum", "gateway"),
    ("hyper", "gateway"),
    ("hyper-util", "gateway"),
];

const SYNCHRONOUS: [&str; 3] = ["model", "changelog", "storage"];

/// Checks the manifest of the crate `crates/{name}` at `path`.
pub fn check_manifest(path: &str, name: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for dependency in manifest::dependencies(text) {
        let owner = OWNERS.iter().find(|(package, _)| *package == dependency.package);
        if let Some((package, owner)) = owner
            && *owner != name
        {
            problems.push(Problem::new(path, dependency.line, owned(name, package, owner)));
        }
        if SYNCHRONOUS.contains(&name) && dependency.package == "tokio" {
            problems.push(Problem::new(path, dependency.line, synchronous(name, "tokio")));
        }
    }
    problems
}

/// Checks one Rust file of the crate `name`.
pub fn check_source(file: &Source, name: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (package, owner) in OWNERS {
        if owner != name {
            for offset in path_offsets(&file.code, &package.replace('-', "_")) {
                problems.push(Problem::new(&file.path, file.line_of(offset), owned(name, package, owner)));
            }
        }
    }
    if SYNCHRONOUS.contains(&name) {
        for offset in path_offsets(&file.code, "tokio") {
            problems.push(Problem::new(&file.path, file.line_of(offset), synchronous(name, "tokio")));
        }
        let starters = ["thread::spawn", "thread::Builder", "thread::scope"];
        // Modules of tests in files of their own.
        for starter in starters.into_iter().filter(|_| !file.path.contains("/src/tests/")) {
            for offset in source::word_offsets(&file.code_without_tests, starter) {
                problems.push(Problem::new(&file.path, file.line_of(offset), synchronous(name, starter)));
            }
        }
    }
    problems
}

/// Where `krate` begins a path (`krate::…`) or is imported whole.
fn path_offsets(code: &str, krate: &str) -> Vec<usize> {
    let offsets = source::word_offsets(code, krate).into_iter();
    offsets
        .filter(|&offset| {
            let inside = code[..offset].trim_end().ends_with("::") && !code[..offset].ends_with(" ::");
            let before = code[..offset].trim_end();
            let path = code[offset + krate.len()..].starts_with("::");
            !inside && (path || before.ends_with("use") || before.ends_with("extern crate"))
        })
        .collect()
}

fn owned(name: &str, package: &str, owner: &str) -> String {
    format!("`{name}` names `{package}`, which only `{owner}` may; go through a trait or type of `{owner}`")
}

fn synchronous(name: &str, what: &str) -> String {
    format!("`{name}` is synchronous and names `{what}`; let the caller in `objects` or `server` run it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_may_name_its_crate() {
        let file = Source::new("crates/runtime/src/a.rs", "use wasmtime::Engine;");
        assert_eq!(check_source(&file, "runtime"), []);
        assert_eq!(check_manifest("Cargo.toml", "runtime", "[dependencies]\nwasmtime = \"1\"\n"), []);
    }

    #[test]
    fn another_crate_may_not() {
        let file = Source::new("crates/objects/src/a.rs", "\nuse wasmtime::Engine; // wasmtime::x\n");
        let problems = check_source(&file, "objects");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 2);
        assert_eq!(check_manifest("Cargo.toml", "server", "[dependencies]\naxum = \"1\"\n").len(), 1);
        assert_eq!(check_manifest("Cargo.toml", "server", "[dependencies]\nhyper-util = \"1\"\n").len(), 1);
    }

    #[test]
    fn a_synchronous_crate_starts_nothing() {
        let file = Source::new("a.rs", "fn f() { std::thread::spawn(g); tokio::spawn(h); }");
        assert_eq!(check_source(&file, "storage").len(), 2);
        assert_eq!(check_source(&file, "objects"), []);
    }

    #[test]
    fn tests_of_a_synchronous_crate_may_start_threads() {
        let file = Source::new("a.rs", "#[cfg(test)]\nmod tests { fn f() { std::thread::spawn(g); } }");
        assert_eq!(check_source(&file, "storage"), []);
    }
}
