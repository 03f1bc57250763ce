//! The system's clocks are read in `server` only; all other crates are handed a `Clock`.
//!
//! The lint of each crate's `clippy.toml` says the same to the editor; this rule sees code that the
//! lint does not compile. The `Instant` of tokio is allowed, since tests can pause it.

use crate::problem::Problem;
use crate::source::{self, Source};

/// The crate that may read the clocks.
const OWNER: &str = "server";

/// Checks one file of the crate `name`.
pub fn check(file: &Source, name: &str) -> Vec<Problem> {
    if name == OWNER {
        return vec![];
    }
    let mut problems = Vec::new();
    for call in ["SystemTime::now", "Instant::now"] {
        for offset in source::word_offsets(&file.code, call) {
            if call == "Instant::now" && is_tokio(&file.code, offset) {
                continue;
            }
            let text = format!(
                "`{call}` outside `{OWNER}`; take a `Clock` of `durabo-model`, or tokio's `Instant` for a length of time"
            );
            problems.push(Problem::new(&file.path, file.line_of(offset), text));
        }
    }
    problems
}

/// Whether the `Instant` at an offset is tokio's: by its path, or by the file's imports.
fn is_tokio(code: &str, offset: usize) -> bool {
    let before = &code[..offset];
    if before.ends_with("::") {
        return before.ends_with("tokio::time::")
            || (before.ends_with("time::") && imports(code, "tokio::time"));
    }
    imports(code, "tokio::time::Instant") || imports_in_group(code)
}

fn imports(code: &str, path: &str) -> bool {
    source::word_offsets(code, path).iter().any(|offset| code[..*offset].trim_end().ends_with("use"))
}

fn imports_in_group(code: &str) -> bool {
    let group = "tokio::time::{";
    code.match_indices(group).any(|(offset, _)| {
        let open = offset + group.len() - 1;
        !source::word_offsets(&code[open..source::after_closing(code, open)], "Instant").is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("crates/objects/src/a.rs", text), "objects").len()
    }

    #[test]
    fn the_clocks_of_std_are_refused() {
        assert_eq!(
            count("use std::time::Instant;\nfn a() { Instant::now(); std::time::SystemTime::now(); }"),
            2
        );
        assert_eq!(count("fn a() { std::time::Instant::now() }"), 1);
    }

    #[test]
    fn the_instant_of_tokio_is_allowed() {
        assert_eq!(count("fn a() { tokio::time::Instant::now() }"), 0);
        assert_eq!(count("use tokio::time::{sleep, Instant};\nfn a() { Instant::now() }"), 0);
        assert_eq!(count("use tokio::time::Instant;\nfn a() { Instant::now() }"), 0);
    }

    #[test]
    fn the_server_may_read_them() {
        let file = Source::new("crates/server/src/a.rs", "fn a() { std::time::SystemTime::now(); }");
        assert_eq!(check(&file, "server"), []);
    }
}
