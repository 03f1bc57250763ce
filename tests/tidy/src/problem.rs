//! What a rule reports: where, what is wrong, and the way out.
//!
//! Every rule returns a list of these; the repository's test prints the list and fails if it is not
//! empty.

use std::fmt;

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, relative to the root of the repository, with `/`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and the way out.
    pub text: String,
}

impl Problem {
    /// A breach at `line` (from 1) of `file`.
    pub fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Fails the test that calls it, with every problem on a line of its own.
///
/// # Panics
/// If there is a problem.
pub fn assert_none(rule: &str, problems: &[Problem]) {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    assert!(problems.is_empty(), "{rule}: {} to mend\n{}", problems.len(), lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_printed_so_that_an_editor_finds_it() {
        let problem = Problem::new("crates/a/src/b.rs", 7, "too long");
        assert_eq!(problem.to_string(), "crates/a/src/b.rs:7: too long");
    }

    #[test]
    #[should_panic(expected = "lengths: 1 to mend\n  a.rs:1: too long")]
    fn a_problem_fails_the_test_with_its_text() {
        assert_none("lengths", &[Problem::new("a.rs", 1, "too long")]);
    }
}
