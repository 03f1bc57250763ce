//! Names that say nothing about what is inside, and so collect everything.
//!
//! Files, folders and modules of Rust code are meant; `wit/types.wit` has its name by custom of WIT.

use crate::problem::Problem;
use crate::source::{self, Source};

const BANNED: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "misc", "shared", "types"];

/// Checks the path of one file and the modules declared in it.
pub fn check(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for part in file.path.split('/') {
        let part = part.trim_end_matches(".rs");
        if BANNED.contains(&part) {
            problems.push(Problem::new(&file.path, 1, refusal(part)));
        }
    }
    for offset in source::word_offsets(&file.code, "mod") {
        let name = source::word_at(file.code[offset + 3..].trim_start(), 0);
        if BANNED.contains(&name) {
            problems.push(Problem::new(&file.path, file.line_of(offset), refusal(name)));
        }
    }
    problems
}

fn refusal(name: &str) -> String {
    format!("`{name}` does not say what is inside; name it so, or move each item to its caller")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telling_name_is_fine() {
        assert_eq!(check(&Source::new("crates/a/src/commonly_used.rs", "mod sharedness;")), []);
    }

    #[test]
    fn a_banned_name_is_refused_as_file_folder_and_module() {
        assert_eq!(check(&Source::new("crates/a/src/utils.rs", "")).len(), 1);
        assert_eq!(check(&Source::new("crates/a/src/common/x.rs", "")).len(), 1);
        assert_eq!(check(&Source::new("crates/a/src/b.rs", "pub mod types { }")).len(), 1);
    }
}
