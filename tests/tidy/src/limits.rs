//! `docs/reference/limits.md` names every limit of `model`, constants and settings alike.
//!
//! A limit that is not written down surprises whoever meets it.

use crate::problem::Problem;

/// Where the limits stand.
pub const LIMITS_PATH: &str = "crates/model/src/limits.rs";
/// Where they are explained.
pub const DOCUMENT_PATH: &str = "docs/reference/limits.md";

/// Compares the two files.
pub fn check(limits: &str, document: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = Vec::new();
    for (index, line) in limits.lines().enumerate() {
        let Some(name) = limit(line) else { continue };
        names.push(name);
        if !document.contains(&format!("| `{name}` |")) {
            let text = format!("limit `{name}` has no row in {DOCUMENT_PATH}; explain it there");
            problems.push(Problem::new(LIMITS_PATH, index + 1, text));
        }
    }
    if names.is_empty() {
        problems.push(Problem::new(LIMITS_PATH, 1, "no limit found; public constants and fields are read"));
    }
    for (index, line) in document.lines().enumerate() {
        let row = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        if let Some((name, _)) = row.filter(|(name, _)| !names.contains(name)) {
            let text = format!("`{name}` is no limit of {LIMITS_PATH}; remove the row or mend the name");
            problems.push(Problem::new(DOCUMENT_PATH, index + 1, text));
        }
    }
    problems
}

/// Name of the constant or field that a line declares.
fn limit(line: &str) -> Option<&str> {
    let declared = line.trim_start().strip_prefix("pub ")?;
    let declared = declared.strip_prefix("const ").unwrap_or(declared);
    let (name, _) = declared.split_once(':')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "pub const A_MAX: usize = 1;\npub struct Limits {\n    pub b_max: usize,\n}\n";

    #[test]
    fn limits_that_all_have_a_row_are_fine() {
        assert!(check(LIMITS, "| `A_MAX` | 1 |\n| `b_max` | 2 |\n").is_empty());
    }

    #[test]
    fn a_limit_without_a_row_is_refused() {
        assert_eq!(check(LIMITS, "| `A_MAX` | 1 |\nb_max\n").len(), 1);
    }

    #[test]
    fn a_row_without_its_limit_is_refused() {
        assert_eq!(check(LIMITS, "| `A_MAX` | 1 |\n| `b_max` | 2 |\n| `c` | 3 |\n").len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused() {
        assert_eq!(check("", "").len(), 1);
    }
}
