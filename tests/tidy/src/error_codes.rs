//! `docs/errors.md` explains exactly the codes that the node raises, with their status and kind.
//!
//! A section is headed ``## `code` `` and its first line of text is
//! ``Status 404, kind `not-found`.``; the order is that of `crates/model/src/error_code.rs`.

use crate::problem::Problem;

/// Where the codes stand.
pub const CODES_PATH: &str = "crates/model/src/error_code.rs";
/// Where they are explained.
pub const DOCUMENT_PATH: &str = "docs/errors.md";

/// One code, as either file tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Code {
    text: String,
    line: usize,
    /// ``Status 404, kind `not-found`.``
    summary: String,
}

/// Compares the two files.
pub fn check(codes: &str, document: &str) -> Vec<Problem> {
    let raised = raised(codes);
    let explained = explained(document);
    if raised.is_empty() {
        let text = "no code found; the form `Variant = \"code\", Kind, status;` is what this rule reads";
        return vec![Problem::new(CODES_PATH, 1, text)];
    }
    let mut problems = Vec::new();
    for code in &raised {
        match explained.iter().find(|other| other.text == code.text) {
            None => {
                let text = format!("code `{}` is not in {DOCUMENT_PATH}; explain it there", code.text);
                problems.push(Problem::new(CODES_PATH, code.line, text));
            }
            Some(other) if other.summary != code.summary => {
                let text =
                    format!("code `{}` needs the line \"{}\" below its heading", code.text, code.summary);
                problems.push(Problem::new(DOCUMENT_PATH, other.line, text));
            }
            Some(_) => {}
        }
    }
    for (index, code) in explained.iter().enumerate() {
        let known = raised.iter().any(|other| other.text == code.text);
        let twice = explained[..index].iter().any(|other| other.text == code.text);
        if !known || twice {
            let what = if known { "stands twice" } else { "is not in the list of codes" };
            let text = format!("code `{}` {what}; remove the section", code.text);
            problems.push(Problem::new(DOCUMENT_PATH, code.line, text));
        }
    }
    let order = |list: &[Code]| list.iter().map(|code| code.text.clone()).collect::<Vec<_>>();
    if problems.is_empty() && order(&raised) != order(&explained) {
        problems.push(Problem::new(
            DOCUMENT_PATH,
            1,
            format!("the sections are not in the order of {CODES_PATH}"),
        ));
    }
    problems
}

fn raised(codes: &str) -> Vec<Code> {
    let mut found = Vec::new();
    for (index, line) in codes.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("//") || !line.ends_with(';') {
            continue;
        }
        let Some((_, rest)) = line.split_once(" = \"") else { continue };
        let Some((text, rest)) = rest.split_once("\", ") else { continue };
        let Some((kind, status)) = rest.trim_end_matches(';').split_once(", ") else { continue };
        let summary = format!("Status {status}, kind `{}`.", kebab(kind));
        found.push(Code { text: text.to_owned(), line: index + 1, summary });
    }
    found
}

fn explained(document: &str) -> Vec<Code> {
    let mut found: Vec<Code> = Vec::new();
    for (index, line) in document.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## `") {
            let text = heading.trim_end_matches('`').to_owned();
            found.push(Code { text, line: index + 1, summary: String::new() });
        } else if let Some(code) = found.last_mut()
            && code.summary.is_empty()
        {
            code.summary = line.trim().to_owned();
        }
    }
    found
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: &str = "/// Doc.\nA = \"a-x\", NotFound, 404;\nB = \"b\", Internal, 500;\n";
    const GOOD: &str = "# Errors\n\n## `a-x`\n\nStatus 404, kind `not-found`.\nText.\n\n## `b`\n\nStatus 500, kind `internal`.\n";

    #[test]
    fn equal_lists_are_fine() {
        assert_eq!(check(CODES, GOOD), []);
    }

    #[test]
    fn a_code_without_its_section_is_refused() {
        let document = GOOD.split("## `b`").next().unwrap();
        assert_eq!(check(CODES, document).len(), 1);
    }

    #[test]
    fn a_section_without_its_code_is_refused() {
        assert_eq!(check(CODES, &format!("{GOOD}\n## `c`\n")).len(), 1);
        assert_eq!(check(CODES, &format!("{GOOD}\n## `b`\n")).len(), 1);
    }

    #[test]
    fn a_wrong_status_and_a_wrong_order_are_refused() {
        assert_eq!(check(CODES, &GOOD.replace("404", "500")).len(), 1);
        let swapped = "B = \"b\", Internal, 500;\nA = \"a-x\", NotFound, 404;\n";
        assert_eq!(check(swapped, GOOD).len(), 1);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_refused() {
        assert_eq!(check("enum E {}", GOOD).len(), 1);
    }
}
