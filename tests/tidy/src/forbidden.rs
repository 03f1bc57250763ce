//! Things that stand for work not done, and waits that make tests slow or flaky.
//!
//! `dbg!`, `todo!`, `unimplemented!` and ignored tests are refused everywhere. A test that sleeps says
//! in a comment `// waits:` on that line or the one above what it waits for, since injected time
//! cannot give it.

use crate::problem::Problem;
use crate::source::{self, Source};

const EVERYWHERE: [(&str, &str); 4] = [
    ("dbg!", "remove it, or log with `tracing`"),
    ("todo!", "write it, or fail with a clear error"),
    ("unimplemented!", "fail with code `unsupported`"),
    ("#[ignore", "mend the test or remove it"),
];

/// Checks one file for what is refused everywhere.
pub fn check(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (what, way_out) in EVERYWHERE {
        for (offset, _) in file.code.match_indices(what) {
            if offset > 0 && source::is_word(file.code.as_bytes()[offset - 1]) {
                continue;
            }
            let text = format!("`{what}` is not for the repository; {way_out}");
            problems.push(Problem::new(&file.path, file.line_of(offset), text));
        }
    }
    problems
}

/// Checks one file for sleeps in tests.
pub fn check_sleeps(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for call in ["thread::sleep", "time::sleep", "time::sleep_until"] {
        for offset in source::word_offsets(&file.code, call) {
            let in_tests = file.path.starts_with("tests/")
                || file.path.contains("/tests/")
                || !file.code_without_tests[offset..].starts_with(call);
            let line = file.line_of(offset);
            let explained = [line, line - 1].iter().any(|line| file.line(*line).contains("// waits:"));
            if in_tests && !explained {
                let text = format!(
                    "`{call}` in a test; use injected or paused time, or say beside it `// waits:` for what"
                );
                problems.push(Problem::new(&file.path, line, text));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_refused() {
        let text = "#[ignore]\nfn a() { todo!() }\nfn b() { unimplemented!(\"x\") }\nfn c() { dbg!(1); }\n";
        let problems = check(&Source::new("crates/a/src/b.rs", text));
        let mut lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 3, 4]);
    }

    #[test]
    fn words_in_texts_are_not_meant() {
        assert_eq!(check(&Source::new("a.rs", "// todo!()\nlet x = \"dbg!(\"; my_todo!();")), []);
    }

    #[test]
    fn a_sleep_in_a_test_needs_its_reason() {
        let test = "#[cfg(test)]\nmod tests {\n fn a() { std::thread::sleep(x); }\n}\n";
        assert_eq!(check_sleeps(&Source::new("crates/a/src/b.rs", test)).len(), 1);
        let explained = test.replace("(x); }", "(x); } // waits: the kernel to free the port");
        assert_eq!(check_sleeps(&Source::new("crates/a/src/b.rs", &explained)), []);
        let suite = "async fn a() {\n tokio::time::sleep(x).await;\n}\n";
        assert_eq!(check_sleeps(&Source::new("tests/conformance/suite/b.rs", suite)).len(), 1);
    }

    #[test]
    fn a_sleep_outside_tests_is_not_meant() {
        let text = "async fn a() { tokio::time::sleep(x).await; }";
        assert_eq!(check_sleeps(&Source::new("crates/a/src/b.rs", text)), []);
    }
}
