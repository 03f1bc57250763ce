//! Functions of a file: their names, attributes and extents, found by counting brackets.
//!
//! Works on blanked code, so brackets in strings and comments do not count. A declaration without a
//! body is not a function here.

use crate::source::{self, Source};

/// One function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of the word `fn`, from 1.
    pub line: usize,
    /// Lines from the word `fn` to the closing bracket.
    pub lines: usize,
    /// Offset of the opening bracket of the body.
    pub body_start: usize,
    /// Offset after the closing bracket of the body.
    pub body_end: usize,
}

/// All functions of `file`, nested ones too, in order of appearance.
pub fn functions(file: &Source) -> Vec<Function> {
    let code = file.code.as_str();
    let mut found = Vec::new();
    for start in source::word_offsets(code, "fn") {
        let name_start = start + 2 + code[start + 2..].len() - code[start + 2..].trim_start().len();
        let name = source::word_at(code, name_start);
        if name.is_empty() {
            continue; // `fn(…)` is a type
        }
        let Some(body_start) = body_start(code, name_start) else { continue };
        let body_end = source::after_closing(code, body_start);
        let line = file.line_of(start);
        let lines = 1 + code[start..body_end].matches('\n').count();
        found.push(Function { name: name.to_owned(), line, lines, body_start, body_end });
    }
    found
}

/// Offset of the bracket that opens the body; `None` for a declaration.
fn body_start(code: &str, from: usize) -> Option<usize> {
    let bytes = code.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' => at = source::after_closing(code, at),
            b'{' => return Some(at),
            b';' | b'}' => return None,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_extent() {
        let file =
            Source::new("a.rs", "trait T { fn a(&self); }\nfn b(x: [u8; 2])\nwhere X: Y {\n  \"}\";\n}\n");
        let found = functions(&file);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].line, found[0].lines), ("b", 2, 4));
    }

    #[test]
    fn a_function_pointer_is_no_function() {
        assert!(functions(&Source::new("a.rs", "type F = fn(u8) -> u8; struct S {}")).is_empty());
    }
}
