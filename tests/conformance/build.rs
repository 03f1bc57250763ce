//! Builds the guests of the suite and tells the harness where each component is.
//!
//! Every package in `guests/conformance` is built; one that `src/guest.rs` does not name, or whose
//! constant no test uses, fails the build, so that no guest is kept for nothing.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../guests/build.rs"]
mod guests;

/// Examples that the suite deploys too.
const EXAMPLES: [&str; 5] = ["counter", "todo", "bank", "chat", "presence"];

fn main() {
    let here =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets the manifest's folder"));
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets the output folder"));
    for watched in ["build.rs", "src/guest.rs", "src/suite", "../../guests/build.rs"] {
        println!("cargo:rerun-if-changed={}", here.join(watched).display());
    }
    let conformance = folders(&here.join("../../guests/conformance"));
    let names = conformance.iter().map(|name| format!("conformance-{name}"));
    let packages: Vec<String> = names.chain(EXAMPLES.map(|name| format!("example-{name}"))).collect();
    refuse_unused(&here, &packages);
    let named: Vec<&str> = packages.iter().map(String::as_str).collect();
    for (package, component) in packages.iter().zip(guests::build_guests(&named, &out_dir)) {
        println!("cargo:rustc-env={}={}", variable_of(package), component.display());
    }
}

/// Names of the folders in a folder, in order.
fn folders(parent: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(parent).unwrap_or_else(|error| panic!("reading {}: {error}", parent.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap_or_else(|error| panic!("reading {}: {error}", parent.display())).path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn refuse_unused(here: &Path, packages: &[String]) {
    let constants = read(&here.join("src/guest.rs"));
    let files =
        fs::read_dir(here.join("src/suite")).unwrap_or_else(|error| panic!("reading the suite: {error}"));
    let tests: String = files.flatten().map(|file| read(&file.path())).collect();
    for package in packages {
        let variable = variable_of(package);
        let constant = package.split_once('-').map_or(package.as_str(), |(_, name)| name).to_uppercase();
        assert!(
            constants.contains(&format!("env!(\"{variable}\")")),
            "no constant in `src/guest.rs` names the guest `{package}`; add `{constant}`, or remove the guest"
        );
        assert!(
            tests.contains(&format!("guest::{constant}")),
            "no test uses `guest::{constant}`; write one, or remove the guest `{package}`"
        );
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

fn variable_of(package: &str) -> String {
    format!("GUEST_{}", package.replace('-', "_").to_uppercase())
}
