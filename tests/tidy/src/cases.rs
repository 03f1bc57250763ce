//! A test that is named after a numbered case asserts something, and stands once in its file.
//!
//! Names such as `c_104_…` and `b_05_…` are how the list of cases is matched with the tests; one that
//! asserts nothing would count as covered without being so.

use std::collections::HashMap;

use crate::functions::{Function, functions};
use crate::problem::Problem;
use crate::source::{self, Source};

/// Checks the tests of one file.
pub fn check(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for function in functions(file) {
        let Some(case) = case_of(&function.name) else { continue };
        if !asserts(file, &function) {
            let text = format!(
                "test `{}` names case {case} and asserts nothing; call `assert…` in its body",
                function.name
            );
            problems.push(Problem::new(&file.path, function.line, text));
        }
        if let Some(first) = lines.insert(case.clone(), function.line) {
            let text = format!("case {case} is tested in line {first} already; make one test of both");
            problems.push(Problem::new(&file.path, function.line, text));
        }
    }
    problems
}

/// `C-104` for `c_104_something`; `None` for a name that does not begin with a case.
fn case_of(name: &str) -> Option<String> {
    let (group, rest) = name.split_once('_')?;
    let number = rest.split('_').next()?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (matches!(group, "c" | "b") && digits).then(|| format!("{}-{number}", group.to_uppercase()))
}

/// Whether the body calls a macro or function whose name begins with `assert`.
fn asserts(file: &Source, function: &Function) -> bool {
    let body = &file.code[function.body_start..function.body_end];
    body.match_indices("assert").any(|(offset, _)| {
        let starts = offset == 0 || !source::is_word(body.as_bytes()[offset - 1]);
        let name = source::word_at(body, offset);
        let after = &body[offset + name.len()..];
        starts && (after.starts_with('!') || after.starts_with('(') || after.starts_with("::<"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("tests/conformance/suite/a.rs", text)).len()
    }

    #[test]
    fn a_case_that_asserts_is_fine() {
        assert_eq!(count("fn c_104_x() { assert_eq!(1, 1); }\nfn b_05_y() { assert_status(200); }"), 0);
    }

    #[test]
    fn a_case_that_asserts_nothing_is_refused() {
        assert_eq!(count("fn c_104_x() { run(); /* assert!(x) */ }"), 1);
        assert_eq!(count("fn b_05_x() { debug_asserted(); }"), 1);
    }

    #[test]
    fn a_case_that_stands_twice_is_refused() {
        assert_eq!(count("fn c_104_x() { assert!(a); }\nfn c_104_y() { assert!(b); }"), 1);
    }

    #[test]
    fn other_names_are_not_cases() {
        assert_eq!(count("fn c_api() {}\nfn b() {}\nfn commit_104() {}"), 0);
    }
}
