//! `docs/reference/contract.md` has a row for every function of the contract in `wit/`.
//!
//! A row names its interface in the first cell and functions in the second, those of a resource as
//! `resource.function`. Rows for functions that do not exist are refused as well.

use std::collections::BTreeSet;

use crate::problem::Problem;

/// Where the rows stand.
pub const DOCUMENT_PATH: &str = "docs/reference/contract.md";

/// A function of the contract.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    interface: String,
    name: String,
}

/// Compares the document with the files of `wit/`, each given as path and text.
pub fn check(files: &[(&str, &str)], document: &str) -> Vec<Problem> {
    let rows = rows(document);
    let listed: BTreeSet<&Function> = rows.iter().map(|(function, _)| function).collect();
    let mut declared = BTreeSet::new();
    let mut problems = Vec::new();
    for (path, text) in files {
        for (function, line) in functions(text) {
            if !listed.contains(&function) {
                let text = format!(
                    "`{}` of `{}` is not in {DOCUMENT_PATH}; say there whether it is served",
                    function.name, function.interface
                );
                problems.push(Problem::new(path, line, text));
            }
            declared.insert(function);
        }
    }
    for (function, line) in &rows {
        if !declared.contains(function) {
            let text = format!(
                "`wit/` has no function `{}` in `{}`; remove it or mend the name",
                function.name, function.interface
            );
            problems.push(Problem::new(DOCUMENT_PATH, *line, text));
        }
    }
    problems
}

/// Functions of a WIT file with their lines.
fn functions(text: &str) -> Vec<(Function, usize)> {
    let mut found = Vec::new();
    let mut blocks: Vec<(&str, &str)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or("").trim();
        let mut words = line.split_whitespace();
        let (keyword, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let interface = blocks.iter().find(|(keyword, _)| *keyword == "interface");
        if let Some((_, interface)) = interface
            && is_function(line)
        {
            let function = line.split(':').next().unwrap_or("").trim_start_matches('%');
            let resource = blocks.iter().find(|(keyword, _)| *keyword == "resource");
            let name = resource.map_or(function.to_owned(), |(_, resource)| format!("{resource}.{function}"));
            found.push((Function { interface: (*interface).to_owned(), name }, index + 1));
        }
        for bracket in line.chars() {
            match bracket {
                '{' => blocks.push((keyword, name)),
                '}' => drop(blocks.pop()),
                _ => {}
            }
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let Some((_, signature)) = line.split_once(':') else { return false };
    let mut words = signature.split_whitespace().skip_while(|word| matches!(*word, "static" | "async"));
    words.next().is_some_and(|word| word.starts_with("func("))
}

/// Functions that the tables of the document list, with their lines.
fn rows(document: &str) -> Vec<(Function, usize)> {
    let mut found = Vec::new();
    for (index, line) in document.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() < 5 {
            continue;
        }
        let Some(interface) = cells[1].strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) else {
            continue;
        };
        for name in cells[2].split('`').skip(1).step_by(2) {
            let function = Function { interface: interface.to_owned(), name: name.to_owned() };
            found.push((function, index + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIT: &str = "interface a {\n  record r { x: u32 }\n  /// Doc: func(\n  f: func();\n  resource c {\n    \
        g: static async func() -> u32;\n  }\n  %list: async func();\n}\n";
    const ROWS: &str = "| interface | function | served |\n|---|---|---|\n| `a` | `f`, `list` | yes |\n| `a` | `c.g` | no |\n";

    #[test]
    fn a_document_with_every_function_is_fine() {
        assert_eq!(check(&[("wit/a.wit", WIT)], ROWS), []);
    }

    #[test]
    fn a_function_without_its_row_is_refused() {
        let problems = check(&[("wit/a.wit", WIT)], &ROWS.replace("`f`, ", ""));
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].file.as_str(), problems[0].line), ("wit/a.wit", 4));
    }

    #[test]
    fn a_row_without_its_function_is_refused() {
        let problems = check(&[("wit/a.wit", WIT)], &ROWS.replace("c.g", "c.g`, `c.h"));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 4);
    }
}
