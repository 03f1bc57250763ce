//! Takes the classes of the other examples over: each source becomes a module, without the line that
//! makes a component of it, since a component can be made only once.
//!
//! Refuses a source that does not hold that line, rather than leave a class out. What a source includes has to lie
//! beside the modules, so the page of the chat is copied there.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// Example, which gives the module its name, and its class.
const EXAMPLES: [(&str, &str); 6] = [
    ("counter", "Counter"),
    ("todo", "Todo"),
    ("bank", "Bank"),
    ("reminders", "Reminders"),
    ("chat", "Chat"),
    ("presence", "Presence"),
];
/// Example and file that its source includes.
const INCLUDED: [(&str, &str); 1] = [("chat", "page.html")];

fn main() {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let mut modules = String::new();
    for (example, class) in EXAMPLES {
        let path = format!("../{example}/src/lib.rs");
        println!("cargo:rerun-if-changed={path}");
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let export = format!("durabo::export!({class});");
        let Some((code, "")) = source.split_once(&export).map(|(code, rest)| (code, rest.trim())) else {
            panic!("{path} does not end with `{export}`");
        };
        // A file's header cannot stand inside a module that is written inline.
        let code: Vec<&str> = code.lines().skip_while(|line| line.starts_with("//!")).collect();
        writeln!(modules, "mod {example} {{\n{}\n}}", code.join("\n")).expect("a string takes any text");
    }
    for (example, file) in INCLUDED {
        let path = format!("../{example}/src/{file}");
        println!("cargo:rerun-if-changed={path}");
        fs::copy(&path, out_dir.join(file)).unwrap_or_else(|error| panic!("copy {path}: {error}"));
    }
    let path = out_dir.join("classes.rs");
    fs::write(&path, modules).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}
