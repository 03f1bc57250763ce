//! Which keys a list covers: all its options as one range of keys, from inclusive to exclusive (KV-7 to KV-9).
//!
//! Keys are ordered by their bytes. For UTF-8 that is the order of code points, so that the end of a prefix is
//! again a text.

use crate::kv_error::KvError;

/// Which entries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// What keys must begin with; empty: anything.
    pub prefix: Option<String>,
    /// First key, inclusive. Not together with `start_after`.
    pub start: Option<String>,
    /// First key, exclusive.
    pub start_after: Option<String>,
    /// Last key, exclusive.
    pub end: Option<String>,
    /// Walk the same range from its end.
    pub reverse: bool,
    /// Most entries; at least 1.
    pub limit: Option<u32>,
}

/// Keys from `start` on and before `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: String,
    pub(crate) end: Option<String>,
}

impl ListOptions {
    /// The range of keys, which may be empty.
    pub(crate) fn range(&self) -> Result<KeyRange, KvError> {
        if self.limit == Some(0) {
            return Err(KvError::LimitNotPositive);
        }
        let start = match (&self.start, &self.start_after) {
            (Some(_), Some(_)) => return Err(KvError::BothStarts),
            (Some(start), None) => start.clone(),
            // No text stands between a text and the same with a zero byte behind it.
            (None, Some(start_after)) => format!("{start_after}\0"),
            (None, None) => String::new(),
        };
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let ends = [self.end.clone(), end_of_prefix(prefix)];
        Ok(KeyRange { start: start.max(prefix.to_owned()), end: ends.into_iter().flatten().min() })
    }
}

impl KeyRange {
    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The first text behind all that begin with `prefix`; `None` if there is none.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The code points of surrogates are no characters: behind U+D7FF comes U+E000.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kv_8_the_end_of_a_prefix_is_the_next_character_in_its_last_place() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("ba", Some("bb")),
            ("\u{7f}", Some("\u{80}")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{ffff}", Some("\u{10000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(end_of_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn c_177_and_c_178_two_starts_and_a_limit_of_zero_are_refused() {
        let some = |text: &str| Some(text.to_owned());
        let both = ListOptions { start: some("a"), start_after: some("b"), ..ListOptions::default() };
        assert_eq!(both.range(), Err(KvError::BothStarts));
        let none = ListOptions { limit: Some(0), ..ListOptions::default() };
        assert_eq!(none.range(), Err(KvError::LimitNotPositive));
    }
}
