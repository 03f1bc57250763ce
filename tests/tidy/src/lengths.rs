//! Files and functions that are too long to be read in one go.
//!
//! The aim is 400 lines a file without its tests and 70 a function, which people look after; refused
//! here is what nobody should have to argue about.

use crate::functions::functions;
use crate::problem::Problem;
use crate::source::Source;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// Checks the length of one file and of each function in it.
pub fn check(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        let text = format!(
            "the file has {lines} lines, the limit is {FILE_LINES_MAX}; split it by what its parts do"
        );
        problems.push(Problem::new(&file.path, lines, text));
    }
    for function in functions(file) {
        if function.lines > FUNCTION_LINES_MAX {
            let text = format!(
                "function `{}` has {} lines, the limit is {FUNCTION_LINES_MAX}; keep the branching, move the \
                 plain work into functions of its own",
                function.name, function.lines
            );
            problems.push(Problem::new(&file.path, function.line, text));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_limit_is_fine_and_one_beyond_it_refused() {
        assert_eq!(check(&Source::new("a.rs", &"//\n".repeat(600))), []);
        assert_eq!(check(&Source::new("a.rs", &"//\n".repeat(601))).len(), 1);
    }

    #[test]
    fn a_function_at_the_limit_is_fine_and_one_beyond_it_refused() {
        let function = |lines: usize| format!("\nfn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        assert_eq!(check(&Source::new("a.rs", &function(100))), []);
        let problems = check(&Source::new("a.rs", &function(101)));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 2);
    }
}
