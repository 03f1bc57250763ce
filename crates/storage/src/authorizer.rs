//! What guest SQL may do: everything not listed here is refused (SQ-16 to SQ-22).
//!
//! SQLite asks while it compiles a statement. The host's own statements pass; the switch between the
//! two is a flag and not another authorizer, since setting one expires every prepared statement.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Beginning of the names that belong to the host, in any letter case (SQ-17).
const RESERVED: &str = "_cf_";

/// Tables that are there without having been created, and show what is not the guest's, or write (SQ-22).
const REFUSED_TABLES: [&str; 6] =
    ["dbstat", "fts3tokenize", "sqlite_dbpage", "sqlite_stmt", "bytecode", "pragma_optimize"];

const MODULES: [&str; 4] = ["fts5", "fts5vocab", "rtree", "rtree_i32"];

const SWITCHES: [&str; 7] = [
    "foreign_keys",
    "defer_foreign_keys",
    "ignore_check_constraints",
    "case_sensitive_like",
    "legacy_alter_table",
    "recursive_triggers",
    "reverse_unordered_selects",
];

const SWITCH_VALUES: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "1", "0"];

/// Functions of SQLite that a guest may use (SQ-21), sorted.
const FUNCTIONS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bm25",
    "ceil",
    "ceiling",
    "changes",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_insert",
    "json_array_length",
    "json_each",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_array_insert",
    "jsonb_each",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "jsonb_tree",
    "julianday",
    "lag",
    "last_insert_rowid",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "match",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "random",
    "randomblob",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtreecheck",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "snippet",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "total_changes",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unixepoch",
    "unlikely",
    "upper",
    "zeroblob",
];

/// Functions that only SQLite's own ALTER TABLE can call; for a guest they do not exist.
const INTERNAL_FUNCTIONS: [&str; 5] =
    ["sqlite_rename_", "sqlite_drop_", "sqlite_add_", "sqlite_find_", "sqlite_fail"];

/// What was noticed while a statement was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen(u8);

impl Seen {
    const PRAGMA: u8 = 1;
    const ALTER: u8 = 2;
    const DEFER: u8 = 4;
    const TRANSACTION: u8 = 8;
    const SWITCH: u8 = 16;
    const CREATE: u8 = 32;
    const OPTIMIZE: u8 = 64;

    /// A PRAGMA: takes effect while it is compiled, so it must not be cached.
    pub(crate) fn pragma(self) -> bool {
        self.0 & Self::PRAGMA != 0
    }

    /// Whether `text` may name what is the host's where SQLite asks nobody: as the new name of a table, or as the
    /// parent of a foreign key. What it has done is to be checked then (SQ-17).
    pub(crate) fn may_name_hosts(self, text: &str) -> bool {
        self.is_altering()
            || self.0 & Self::CREATE != 0
                && text
                    .as_bytes()
                    .windows(RESERVED.len())
                    .any(|part| part.eq_ignore_ascii_case(RESERVED.as_bytes()))
    }

    fn is_altering(self) -> bool {
        self.0 & Self::ALTER != 0
    }

    /// `PRAGMA optimize`, which SQLite takes for a statement that only reads.
    pub(crate) fn optimize(self) -> bool {
        self.0 & Self::OPTIMIZE != 0
    }

    /// `defer_foreign_keys` was set, which lasts for one transaction (SQ-20).
    pub(crate) fn defer(self) -> bool {
        self.0 & Self::DEFER != 0
    }

    /// A switch was set, which lasts as long as the connection (SQ-34).
    pub(crate) fn switch(self) -> bool {
        self.0 & Self::SWITCH != 0
    }

    /// A transaction statement, which was refused (SQ-16).
    pub(crate) fn transaction(self) -> bool {
        self.0 & Self::TRANSACTION != 0
    }
}

/// The rules of one connection, and who speaks at present.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    is_host: AtomicBool,
    refuses_pragmas: AtomicBool,
    seen: AtomicU8,
    refused_pragma: Mutex<Option<String>>,
}

impl Policy {
    /// Says whether the host's own statements follow. One thread uses a connection at a time.
    pub(crate) fn set_host(&self, is_host: bool) {
        self.is_host.store(is_host, Ordering::Relaxed);
    }

    /// Says whether the guest's statements that follow may be PRAGMAs.
    pub(crate) fn set_refuses_pragmas(&self, refuses: bool) {
        self.refuses_pragmas.store(refuses, Ordering::Relaxed);
    }

    /// Whether no PRAGMA is allowed at present.
    pub(crate) fn refuses_pragmas(&self) -> bool {
        self.refuses_pragmas.load(Ordering::Relaxed)
    }

    /// Name of the PRAGMA that was refused since the last call, if one was.
    pub(crate) fn take_refused_pragma(&self) -> Option<String> {
        self.lock_refused().take()
    }

    fn lock_refused(&self) -> MutexGuard<'_, Option<String>> {
        self.refused_pragma.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noticed since the last call.
    pub(crate) fn take_seen(&self) -> Seen {
        Seen(self.seen.swap(0, Ordering::Relaxed))
    }

    /// Answers SQLite.
    pub(crate) fn decide(&self, context: &AuthContext<'_>) -> Authorization {
        if self.is_host.load(Ordering::Relaxed) {
            // What a trigger or a view does is the guest's, and must not run as the host.
            return if context.accessor.is_some() { Authorization::Deny } else { Authorization::Allow };
        }
        // ANALYZE of everything comes to the hidden tables too: it leaves them out.
        if let AuthAction::Analyze { table_name } = context.action
            && !is_free(table_name)
        {
            return Authorization::Ignore;
        }
        // DROP COLUMN gives the column in place of the database, which the action itself names.
        let is_main = matches!(context.action, AuthAction::AlterTable { .. })
            || context.database_name.is_none_or(|name| name.eq_ignore_ascii_case("main"));
        let is_allowed = match is_main {
            true => self.allows(&context.action),
            false => self.is_renaming(&context.action),
        };
        if is_allowed { Authorization::Allow } else { Authorization::Deny }
    }

    /// ALTER TABLE looks for the old name in the temporary schema too, which is always empty.
    fn is_renaming(&self, action: &AuthAction<'_>) -> bool {
        let (AuthAction::Read { table_name, .. } | AuthAction::Update { table_name, .. }) = action else {
            return false;
        };
        let seen = Seen(self.seen.load(Ordering::Relaxed));
        seen.is_altering() && matches!(*table_name, "sqlite_temp_master" | "sqlite_temp_schema")
    }

    fn allows(&self, action: &AuthAction<'_>) -> bool {
        use AuthAction::*;
        match action {
            Select | Recursive => true,
            Read { table_name, .. } => is_free(table_name) && !is_listed(&REFUSED_TABLES, table_name),
            Insert { table_name } | Delete { table_name } | Update { table_name, .. } => is_free(table_name),
            CreateTable { table_name } => {
                self.note(Seen::CREATE);
                is_free(table_name)
            }
            DropTable { table_name } => is_free(table_name),
            CreateView { view_name } | DropView { view_name } => is_free(view_name),
            CreateIndex { index_name, table_name } | DropIndex { index_name, table_name } => {
                is_free(index_name) && is_free(table_name)
            }
            CreateTrigger { trigger_name, table_name } | DropTrigger { trigger_name, table_name } => {
                is_free(trigger_name) && is_free(table_name)
            }
            CreateVtable { table_name, module_name } | DropVtable { table_name, module_name } => {
                is_free(table_name) && is_listed(&MODULES, module_name)
            }
            AlterTable { database_name, table_name } => {
                self.note(Seen::ALTER);
                database_name.eq_ignore_ascii_case("main") && is_free(table_name)
            }
            Reindex { index_name } => is_free(index_name),
            Analyze { table_name } => is_free(table_name),
            Function { function_name } => is_function(function_name),
            Pragma { pragma_name, pragma_value } => {
                self.note(Seen::PRAGMA);
                if pragma_name.eq_ignore_ascii_case("defer_foreign_keys") && pragma_value.is_some() {
                    self.note(Seen::DEFER);
                }
                if pragma_name.eq_ignore_ascii_case("optimize") {
                    self.note(Seen::OPTIMIZE);
                }
                if pragma_value.is_some() && is_listed(&SWITCHES, pragma_name) {
                    self.note(Seen::SWITCH);
                }
                let is_allowed = !self.refuses_pragmas() && is_pragma(pragma_name, *pragma_value);
                if !is_allowed {
                    *self.lock_refused() = Some((*pragma_name).to_owned());
                }
                is_allowed
            }
            Transaction { .. } | Savepoint { .. } => {
                self.note(Seen::TRANSACTION);
                false
            }
            _ => false,
        }
    }

    fn note(&self, what: u8) {
        self.seen.fetch_or(what, Ordering::Relaxed);
    }
}

fn is_free(name: &str) -> bool {
    !name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

fn is_listed(list: &[&str], name: &str) -> bool {
    list.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

fn is_function(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FUNCTIONS.binary_search(&name.as_str()).is_ok()
        || INTERNAL_FUNCTIONS.iter().any(|start| name.starts_with(start))
}

fn is_pragma(name: &str, value: Option<&str>) -> bool {
    let name = name.to_ascii_lowercase();
    let is_number = |text: &str| {
        let digits = text.trim_start_matches(['-', '+']);
        !digits.is_empty()
            && digits.trim_start_matches("0x").bytes().all(|byte| byte.is_ascii_hexdigit())
            && digits.starts_with(|first: char| first.is_ascii_digit())
    };
    match name.as_str() {
        "data_version" | "page_size" => value.is_none(),
        "table_list" | "foreign_key_check" | "quick_check" => value.is_none_or(is_free),
        "table_info" | "table_xinfo" | "index_info" | "index_list" | "index_xinfo" | "foreign_key_list" => {
            value.is_some_and(is_free)
        }
        "optimize" => value.is_none_or(is_number),
        switch if SWITCHES.contains(&switch) => value.is_none_or(|value| is_listed(&SWITCH_VALUES, value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_functions_is_sorted() {
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn reserved_names_are_reserved_in_any_case() {
        for name in ["_cf_x", "_CF_KV", "_Cf_"] {
            assert!(!is_free(name), "{name}");
        }
        for name in ["cf_x", "_c", "_cfx", "ä_cf_"] {
            assert!(is_free(name), "{name}");
        }
    }

    #[test]
    fn optimize_takes_numbers_only() {
        assert!(is_pragma("optimize", Some("0x10002")) && is_pragma("OPTIMIZE", Some("-1")));
        assert!(!is_pragma("optimize", Some("abc")) && !is_pragma("optimize", Some("")));
    }
}
