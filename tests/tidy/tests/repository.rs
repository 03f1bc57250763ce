//! Runs every rule of `tidy` over the repository; one test per rule.
//!
//! A failure lists each place as `file:line` with the way out. To add a rule, write a module with its
//! own unit tests in `src/` and a test here.

use std::sync::LazyLock;

use tidy::problem::{Problem, assert_none};
use tidy::repository::Repository;
use tidy::source::Source;
use tidy::{
    cases, clocks, contract, error_codes, forbidden, headers, layers, lengths, limits, links, module_order,
    named_crates, names, unsafe_code,
};

static REPOSITORY: LazyLock<Repository> =
    LazyLock::new(|| Repository::read().expect("the repository can be read"));

/// Problems of all files that `check` finds, over code of host, sandbox and tests.
fn over_sources(check: impl Fn(&Source) -> Vec<Problem>) -> Vec<Problem> {
    REPOSITORY.sources.iter().flat_map(check).collect()
}

/// Problems of the files of `crates/`, with the name of the crate of each.
fn over_crates(check: impl Fn(&Source, &str) -> Vec<Problem>) -> Vec<Problem> {
    over_sources(|file| file.crate_name().map_or_else(Vec::new, |name| check(file, name)))
}

/// Problems of the manifests of `crates/`, with path, name of the crate and text of each.
fn over_manifests(check: impl Fn(&str, &str, &str) -> Vec<Problem>) -> Vec<Problem> {
    let manifests = REPOSITORY.manifests.iter().filter_map(|manifest| {
        let name = manifest.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
        Some((manifest, name))
    });
    manifests.flat_map(|(manifest, name)| check(&manifest.path, name, &manifest.text)).collect()
}

#[test]
fn crates_depend_only_on_lower_layers() {
    assert_none("layers", &over_manifests(layers::check));
}

#[test]
fn foreign_crates_are_named_by_their_owner_only() {
    let mut problems = over_manifests(named_crates::check_manifest);
    problems.extend(over_crates(named_crates::check_source));
    assert_none("named crates", &problems);
}

#[test]
fn modules_use_only_those_above_them() {
    let mut problems = Vec::new();
    for root in &REPOSITORY.sources {
        let Some(folder) =
            root.path.strip_suffix("src/lib.rs").or_else(|| root.path.strip_suffix("src/main.rs"))
        else {
            continue;
        };
        let below = format!("{folder}src/");
        let files: Vec<&Source> =
            REPOSITORY.sources.iter().filter(|file| file.path.starts_with(&below)).collect();
        problems.extend(module_order::check(root, &files));
    }
    assert_none("module order", &problems);
}

#[test]
fn parent_modules_only_declare() {
    let is_parent = |path: &str| {
        let is_crate_root = path.starts_with("crates/") && path.ends_with("/src/lib.rs");
        is_crate_root || path.ends_with("/mod.rs")
    };
    let check = |file: &Source| if is_parent(&file.path) { module_order::check_parent(file) } else { vec![] };
    assert_none("parent modules", &over_sources(check));
}

#[test]
fn every_file_has_a_header() {
    assert_none("headers", &over_sources(headers::check));
}

#[test]
fn files_and_functions_are_short() {
    assert_none("lengths", &over_sources(lengths::check));
}

#[test]
fn names_say_what_is_inside() {
    assert_none("names", &over_sources(names::check));
}

#[test]
fn unsafe_code_stands_in_listed_files_with_its_reason() {
    assert_none("unsafe code", &over_sources(unsafe_code::check));
}

#[test]
fn tests_of_numbered_cases_assert_something_once() {
    let check = |file: &Source| if file.path.starts_with("guests/") { vec![] } else { cases::check(file) };
    assert_none("cases", &over_sources(check));
}

#[test]
fn every_error_code_is_explained() {
    let codes = REPOSITORY.source(error_codes::CODES_PATH).expect("the list of codes exists");
    let explained = REPOSITORY.document(error_codes::DOCUMENT_PATH);
    assert_none("error codes", &error_codes::check(&codes.text, explained));
}

#[test]
fn every_limit_is_explained() {
    let limits = REPOSITORY.source(limits::LIMITS_PATH).expect("the limits exist");
    let settings = REPOSITORY.source(limits::SETTINGS_PATH).expect("the settings exist");
    let document = REPOSITORY.document(limits::DOCUMENT_PATH);
    assert_none("limits", &limits::check(&limits.text, &settings.text, document));
}

#[test]
fn every_function_of_the_contract_is_said_to_be_served_or_not() {
    let files: Vec<(&str, &str)> =
        REPOSITORY.contract.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    assert!(!files.is_empty(), "the contract in `wit/` was not found");
    assert_none("contract", &contract::check(&files, REPOSITORY.document(contract::DOCUMENT_PATH)));
}

#[test]
fn nothing_unfinished_is_left_behind() {
    assert_none("unfinished work", &over_sources(forbidden::check));
}

#[test]
fn tests_do_not_sleep() {
    assert_none("sleeps", &over_sources(forbidden::check_sleeps));
}

#[test]
fn only_the_server_reads_the_clock() {
    assert_none("clocks", &over_crates(clocks::check));
}

#[test]
fn links_of_documents_lead_somewhere() {
    let exists = |path: &str| REPOSITORY.root.join(path).exists();
    let problems: Vec<Problem> =
        REPOSITORY.documents.iter().flat_map(|document| links::check(document, &exists)).collect();
    assert_none("links", &problems);
}
