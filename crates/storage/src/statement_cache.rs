//! Compiled statements by text, the least recently used out first (SQ-7).
//!
//! A statement is taken out while it runs, so that the same text gets another one meanwhile (SQ-13).

use std::collections::HashMap;

use durabo_model::limits::SQL_CACHE_BYTES_MAX;

use crate::statement::Statement;

/// Most statements kept; each takes some KiB beside its text.
const STATEMENTS_MAX: usize = 256;

#[derive(Debug)]
struct Cached {
    statement: Statement,
    used: u64,
}

#[derive(Debug, Default)]
pub(crate) struct StatementCache {
    statements: HashMap<String, Cached>,
    text_bytes: usize,
    clock: u64,
}

impl StatementCache {
    /// Takes the statement of exactly this text, and its text.
    pub(crate) fn take(&mut self, text: &str) -> Option<(String, Statement)> {
        let (text, cached) = self.statements.remove_entry(text)?;
        self.text_bytes -= text.len();
        Some((text, cached.statement))
    }

    /// Puts a statement back that was reset.
    pub(crate) fn put(&mut self, text: String, statement: Statement) {
        if text.len() > SQL_CACHE_BYTES_MAX || self.statements.contains_key(&text) {
            return;
        }
        self.clock += 1;
        self.text_bytes += text.len();
        self.statements.insert(text, Cached { statement, used: self.clock });
        while self.text_bytes > SQL_CACHE_BYTES_MAX || self.statements.len() > STATEMENTS_MAX {
            let oldest = self.statements.iter().min_by_key(|(_, cached)| cached.used);
            let Some(oldest) = oldest.map(|(text, _)| text.clone()) else { return };
            self.take(&oldest);
        }
    }
}
