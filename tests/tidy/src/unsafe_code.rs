//! `unsafe` stands in listed files only, and every block says why it is sound.
//!
//! The workspace denies it; a file that needs it is listed here, so that an exception is seen in
//! review. A block or implementation has a comment with `SAFETY:` above its statement or beside it.

use crate::problem::Problem;
use crate::source::{self, Source};

/// Files in which `unsafe` may stand.
const ALLOWED: [&str; 11] = [
    "crates/storage/src/index_blocks.rs",
    "crates/storage/src/sql_memory.rs",
    "crates/storage/src/vfs.rs",
    "crates/storage/src/connection.rs",
    "crates/storage/src/sqlite_setup.rs",
    "crates/storage/src/functions.rs",
    "crates/storage/src/statement.rs",
    // Loads compiled code that this node wrote itself.
    "crates/runtime/src/component_cache.rs",
    // Lets the runtime wait for a file that it does not know.
    "crates/server/src/alarm_timer.rs",
    // Declares a function of glibc; no block.
    "crates/server/src/heap.rs",
    // Writes `#[unsafe(link_section = …)]` for the description; no block.
    "guests/sdk-rust-macros/src/expand.rs",
];

/// Checks one file.
pub fn check(file: &Source) -> Vec<Problem> {
    let offsets = source::word_offsets(&file.code, "unsafe");
    let Some(first) = offsets.first() else { return vec![] };
    if !ALLOWED.contains(&file.path.as_str()) {
        let text = "`unsafe` outside the files of `tests/tidy/src/unsafe_code.rs`; do without, or list the file there";
        return vec![Problem::new(&file.path, file.line_of(*first), text)];
    }
    let mut problems = Vec::new();
    for offset in offsets {
        let after = file.code[offset + "unsafe".len()..].trim_start();
        let is_claim = after.starts_with('{') || source::word_at(after, 0) == "impl";
        let line = file.line_of(offset);
        if is_claim && !has_reason(file, line) {
            let text = "`unsafe` without a comment `// SAFETY:`; say above it why it is sound";
            problems.push(Problem::new(&file.path, line, text));
        }
    }
    problems
}

/// Whether the line, or the lines above it that belong to its statement, hold `SAFETY:`.
fn has_reason(file: &Source, line: usize) -> bool {
    let code: Vec<&str> = file.code.lines().collect();
    for above in (1..=line).rev() {
        if file.line(above).contains("SAFETY:") {
            return true;
        }
        let code = code.get(above - 1).map_or("", |code| code.trim_end());
        let ends_statement = code.ends_with([';', '{', '}']);
        let is_blank = file.line(above).trim().is_empty();
        if above < line && (ends_statement || is_blank) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_outside_the_list_is_refused() {
        let text = "// SAFETY: no\nfn f() { unsafe { g() } }";
        assert_eq!(check(&Source::new("crates/objects/src/a.rs", text)).len(), 1);
        assert_eq!(check(&Source::new("crates/storage/src/vfs.rs", text)), []);
    }

    #[test]
    fn the_lint_and_a_word_in_a_comment_are_not_meant() {
        let text = "#![deny(unsafe_code)] // unsafe";
        assert_eq!(check(&Source::new("crates/objects/src/a.rs", text)), []);
    }

    #[test]
    fn a_block_without_its_reason_is_refused() {
        let path = "crates/storage/src/statement.rs";
        assert_eq!(check(&Source::new(path, "fn f() {\n  unsafe { g() };\n}")).len(), 1);
        assert_eq!(
            check(&Source::new(path, "fn f() {\n  // SAFETY: g may.\n  let x =\n    unsafe { g() };\n}")),
            []
        );
    }
}
