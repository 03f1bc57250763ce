//! The help of every subcommand, recorded: what people read is reviewed like code.
//!
//! After a change run the tests with `DURABO_UPDATE_SNAPSHOTS=1`, then look at the difference.

use std::path::Path;
use std::{env, fs};

use crate::node_process::run;

const SUBCOMMANDS: [&[&str]; 16] = [
    &["serve"],
    &["demo"],
    &["deploy"],
    &["call"],
    &["apps"],
    &["objects"],
    &["alarms", "ls"],
    &["alarms", "history"],
    &["alarms", "run"],
    &["alarms", "cancel"],
    &["sockets", "ls"],
    &["sockets", "send"],
    &["sockets", "close"],
    &["tail"],
    &["sql"],
    &["status"],
];

/// Compares with the recorded text, or records it.
fn compare(name: &str, actual: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/snapshots/{name}.txt"));
    if env::var_os("DURABO_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, actual).expect("the snapshot can be written");
        return Ok(());
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    if recorded == actual {
        return Ok(());
    }
    Err(format!("{} differs\n--- recorded\n{recorded}\n--- actual\n{actual}", path.display()))
}

#[test]
fn help_says_what_is_recorded() {
    let mut differences = Vec::new();
    let mut check = |name: &str, args: &[&str]| {
        let ran = run(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        differences.extend(compare(name, &ran.stdout).err());
    };
    check("durabo", &["--help"]);
    check("alarms", &["alarms", "--help"]);
    check("sockets", &["sockets", "--help"]);
    for subcommand in SUBCOMMANDS {
        check(&subcommand.join("-"), &[subcommand, &["--help"]].concat());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_subcommand_is_in_the_reference() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let reference = fs::read_to_string(reference).expect("the reference can be read");
    for subcommand in SUBCOMMANDS {
        let help = run(&[subcommand, &["--help"]].concat()).stdout;
        let name = subcommand.join(" ");
        let section =
            reference.split("\n## ").find(|section| section.starts_with(&format!("`durabo {name}`")));
        let section = section.unwrap_or_else(|| panic!("`{name}` has no section"));
        for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
            let flag = flag.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
            let is_everywhere =
                ["--json", "--help", "--control", "--data", "--token", "--listen"].contains(&flag);
            assert!(is_everywhere || section.contains(flag), "`{flag}` of `{name}` is not in its section");
        }
    }
}
