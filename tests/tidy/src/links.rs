//! Links of documents to files of the repository lead somewhere.
//!
//! Links to the web and to headings are not followed; code in a document is not looked at.

use crate::problem::Problem;
use crate::repository::Document;

/// Checks one document; `exists` tells whether a path, relative to the root with `/`, is there.
pub fn check(document: &Document, exists: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_code = false;
    for (index, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let Some(path) = path_of(target) else { continue };
            let resolved = resolve(&document.path, path);
            if resolved.as_deref().is_none_or(|path| !exists(path)) {
                let text =
                    format!("link to `{target}` leads nowhere; mend the path, relative to this document");
                problems.push(Problem::new(&document.path, index + 1, text));
            }
        }
    }
    problems
}

/// Targets of the links in a line, outside inline code.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (offset, _) in line.match_indices("](") {
        let in_code = line[..offset].matches('`').count() % 2 == 1;
        let rest = &line[offset + 2..];
        if let Some(end) = rest.find(')')
            && !in_code
        {
            found.push(rest[..end].split(' ').next().unwrap_or(""));
        }
    }
    found
}

/// The file that a target names; `None` for the web and for a heading of the same document.
fn path_of(target: &str) -> Option<&str> {
    let path = target.split('#').next().unwrap_or("");
    (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
}

/// `path`, seen from `document`, relative to the root; `None` if it leaves the repository.
fn resolve(document: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if path.starts_with('/') {
        parts.clear();
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let document = Document { path: "docs/a.md".to_owned(), text: text.to_owned() };
        check(&document, &|path| path == "docs/b.md" || path == "LICENSE").len()
    }

    #[test]
    fn links_to_files_that_exist_are_fine() {
        assert_eq!(count("[b](b.md) [c](./b.md#part) [l](../LICENSE) [w](https://example.com) [h](#x)"), 0);
    }

    #[test]
    fn links_to_files_that_do_not_exist_are_refused() {
        assert_eq!(count("[b](c.md)\n[b](../b.md)\n[b](../../b.md)"), 3);
    }

    #[test]
    fn code_is_not_looked_at() {
        assert_eq!(count("```\n[b](c.md)\n```\n`[b](c.md)`"), 0);
    }
}
