//! Every Rust file opens with a header: what it is, the promise it keeps, where it sits.
//!
//! Two to twelve lines of `//!`, the first of them with text. Samples of macro misuse are exempt: their
//! recorded compile errors count lines.

use crate::problem::Problem;
use crate::source::Source;

const LINES_MIN: usize = 2;
const LINES_MAX: usize = 12;

/// Folders of samples.
const SAMPLES: [&str; 2] = ["guests/sdk-rust/tests/fail/", "guests/sdk-rust/tests/pass/"];

/// Checks the head of one file.
pub fn check(file: &Source) -> Vec<Problem> {
    if SAMPLES.iter().any(|folder| file.path.starts_with(folder)) {
        return vec![];
    }
    let header: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let text = match header.len() {
        0 => "the file has no header; open it with `//!` lines: what it is, its promise, where it sits"
            .to_owned(),
        _ if header[0].trim_start_matches("//!").trim().is_empty() => {
            "the first line of the header is empty; say there what the file is".to_owned()
        }
        lines if lines < LINES_MIN => {
            format!(
                "the header has {lines} line, {LINES_MIN} to {LINES_MAX} are wanted; add its promise or place"
            )
        }
        lines if lines > LINES_MAX => {
            format!(
                "the header has {lines} lines, the limit is {LINES_MAX}; move the rest to the items it is about"
            )
        }
        _ => return vec![],
    };
    vec![Problem::new(&file.path, 1, text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("crates/a/src/b.rs", text)).len()
    }

    #[test]
    fn a_header_of_two_to_twelve_lines_is_fine() {
        assert_eq!(count("//! One.\n//! Two.\n\nfn f() {}"), 0);
        assert_eq!(count(&"//! x\n".repeat(12)), 0);
    }

    #[test]
    fn a_missing_short_long_or_empty_header_is_refused() {
        assert_eq!(count("fn f() {}"), 1);
        assert_eq!(count("//! One.\n"), 1);
        assert_eq!(count(&"//! x\n".repeat(13)), 1);
        assert_eq!(count("//!\n//! Two.\n"), 1);
        assert_eq!(count("#![allow(x)]\n//! One.\n//! Two.\n"), 1);
    }
}
