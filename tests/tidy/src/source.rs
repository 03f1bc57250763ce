//! One Rust file: its text, and the same text with comments and literals blanked out.
//!
//! The blanked text (`code`) has the same length and the same line breaks, so an offset in one is an
//! offset in the other. Rules that look for words search `code` and cannot be misled by a comment or
//! a string; rules about comments search `text`.

/// A Rust file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path relative to the root of the repository, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The file with comments, strings and character literals blanked, byte for byte. Plain ASCII.
    pub code: String,
    /// `code` with modules marked `#[cfg(test)]` blanked as well.
    pub code_without_tests: String,
}

impl Source {
    /// The file at `path` with the contents `text`.
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let code_without_tests = blank_test_modules(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, code_without_tests }
    }

    /// Line, from 1, of a byte offset.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Text of a line, from 1; empty beyond the end.
    pub fn line(&self, line: usize) -> &str {
        self.text.lines().nth(line.wrapping_sub(1)).unwrap_or("")
    }

    /// The crate that the file belongs to: `model` for `crates/model/src/name.rs`.
    pub fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }
}

/// Offsets at which `word` stands in `code` as a word of its own.
pub fn word_offsets(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(|&offset| offset == 0 || !is_word(bytes[offset - 1]))
        .filter(|&offset| bytes.get(offset + word.len()).is_none_or(|byte| !is_word(*byte)))
        .collect()
}

/// Whether a byte may stand in an identifier.
pub fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The identifier at `offset` of `code`, empty if there is none.
pub fn word_at(code: &str, offset: usize) -> &str {
    let rest = &code[offset..];
    &rest[..rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len())]
}

/// Offset right after the bracket that closes the one at `open`; the end of `code` if none does.
pub fn after_closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        if let Some(end) = end {
            code.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            code.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
            at += 1;
        }
    }
    String::from_utf8(code).expect("BUG: blanked code is ASCII")
}

/// End of the comment, string or character literal that starts at `at`, if one does.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(block_comment_end(bytes, at));
    }
    if rest[0] == b'"' {
        return Some(string_end(bytes, at));
    }
    if rest[0] == b'\'' {
        return char_end(bytes, at);
    }
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    if starts_word && matches!(rest[0], b'r' | b'b' | b'c') {
        return prefixed_literal_end(bytes, at);
    }
    None
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// End of a character literal; `None` for a lifetime or label.
fn char_end(bytes: &[u8], quote: usize) -> Option<usize> {
    let first = *bytes.get(quote + 1)?;
    if first == b'\\' {
        let close = bytes[quote + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(quote + 3 + close + 1);
    }
    let width = match first {
        0x00..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    (bytes.get(quote + 1 + width) == Some(&b'\'')).then_some(quote + width + 2)
}

/// End of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; `None` for anything else.
fn prefixed_literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let prefix = bytes[at..].iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count().min(2);
    let after = at + prefix;
    let raw = bytes[at..after].contains(&b'r');
    match bytes.get(after)? {
        b'"' if !raw => Some(string_end(bytes, after)),
        b'\'' if bytes[at..after] == *b"b" => char_end(bytes, after),
        b'"' | b'#' if raw => {
            let hashes = bytes[after..].iter().take_while(|byte| **byte == b'#').count();
            let quote = after + hashes;
            if bytes.get(quote) != Some(&b'"') {
                return None;
            }
            let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let body = &bytes[quote + 1..];
            let length = body.windows(closing.len()).position(|window| window == closing.as_slice());
            Some(length.map_or(bytes.len(), |length| quote + 1 + length + closing.len()))
        }
        _ => None,
    }
}

/// Blanks what follows `#[cfg(test)]` and is an inline module.
fn blank_test_modules(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let Some(brace) = code[start..].find('{').map(|length| start + length) else { continue };
        let head = &code[start + attribute.len()..brace];
        if head.contains(';') || word_offsets(head, "mod").is_empty() {
            continue;
        }
        let end = after_closing(code, brace);
        for byte in &mut bytes[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).expect("BUG: blanked code is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a.rs", text).code
    }

    #[test]
    fn comments_are_blanked_and_keep_their_lines() {
        let text = "a // b\nc /* d\n/* e */ f */ g";
        let code = code(text);
        assert_eq!(code.len(), text.len());
        let lines: Vec<_> = code.lines().map(str::trim).collect();
        assert_eq!(lines, ["a", "c", "g"]);
    }

    #[test]
    fn strings_and_characters_are_blanked() {
        let text = r####"f("a\"b", r#"c"d"#, b"e", 'x', '\'', '"', 'ä', b'y'); done"####;
        let code = code(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.split_whitespace().collect::<String>(), "f(,,,,,,,);done");
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn a_word_that_only_begins_like_a_literal_is_code() {
        assert_eq!(code("bar(crate_name, r#type, br)"), "bar(crate_name, r#type, br)");
    }

    #[test]
    fn test_modules_are_blanked_apart() {
        let source = Source::new("a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n");
        assert!(source.code.contains("fn b"));
        assert!(!source.code_without_tests.contains("fn b"));
        assert!(source.code_without_tests.contains("fn c"));
    }

    #[test]
    fn a_word_is_found_only_whole() {
        assert_eq!(word_offsets("unsafe_code unsafe xunsafe", "unsafe"), [12]);
    }
}
