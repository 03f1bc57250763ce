//! Linear-time `instr` and `replace`, with SQLite's semantics to the byte.
//!
//! SQLite's own are quadratic, and a single call is stopped by nothing: a guest could hold a thread for
//! minutes.

use memchr::memmem;

/// Position of `needle` in `haystack` from 1, in bytes; 0 if it is not there.
pub(crate) fn position_in_bytes(haystack: &[u8], needle: &[u8]) -> i64 {
    memmem::find(haystack, needle).map_or(0, |at| at as i64 + 1)
}

/// As [`position_in_bytes`], in characters: a match begins at a character's first byte.
pub(crate) fn position_in_text(haystack: &[u8], needle: &[u8]) -> i64 {
    let is_inner = |byte: u8| byte & 0xc0 == 0x80;
    match needle.first() {
        None => 1,
        // Malformed text: after the first byte, SQLite steps over continuation bytes.
        Some(&first) if is_inner(first) => haystack.starts_with(needle).into(),
        Some(_) => memmem::find(haystack, needle).map_or(0, |at| {
            let inner = haystack[..at].iter().skip(1).filter(|byte| is_inner(**byte)).count();
            (at - inner) as i64 + 1
        }),
    }
}

/// `text` with every `pattern`, from left to right, replaced; `None` if that is over `size_max`.
/// `pattern` must not be empty.
pub(crate) fn replaced(text: &[u8], pattern: &[u8], with: &[u8], size_max: usize) -> Option<Vec<u8>> {
    let finder = memmem::Finder::new(pattern);
    let mut out = Vec::with_capacity(text.len().min(size_max));
    let mut copied = 0;
    for at in finder.find_iter(text) {
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(with);
        copied = at + pattern.len();
        if out.len() > size_max {
            return None;
        }
    }
    out.extend_from_slice(&text[copied..]);
    (out.len() <= size_max).then_some(out)
}
