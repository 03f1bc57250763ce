//! `lib.rs` lists modules bottom-up, and a module uses only those above it.
//!
//! That alone keeps a crate free of cycles, and lets it be read from the top of the list. A nested
//! module counts as the top-level module it lies in. Modules for tests are exempt. Besides, a parent
//! module only declares and re-exports: `lib.rs` and `mod.rs` hold no code of their own.

use crate::problem::Problem;
use crate::source::{self, Source};

/// A module that the root declares with `mod name;`.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    name: String,
    is_for_tests: bool,
}

/// Checks the files of one crate: `root` is its `lib.rs` or `main.rs`, `files` the others, all below
/// the folder of `root`.
pub fn check(root: &Source, files: &[&Source]) -> Vec<Problem> {
    let folder = root.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let declared = declared_modules(root);
    let mut problems = Vec::new();
    for file in files {
        let Some(inner) = file.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')) else {
            continue;
        };
        let own = inner.split('/').next().unwrap_or("").trim_end_matches(".rs");
        let Some(rank) = declared.iter().position(|module| module.name == own) else { continue };
        if declared[rank].is_for_tests || inner.ends_with("/tests.rs") {
            continue;
        }
        for (offset, used) in used_modules(file, inner, root) {
            if let Some(used_rank) = declared.iter().position(|module| module.name == used)
                && used_rank > rank
            {
                let text = format!(
                    "module `{own}` uses `{used}`, which {} declares below it; move `{used}` above `{own}`, \
                     or what both need into a module above both",
                    root.path
                );
                problems.push(Problem::new(&file.path, file.line_of(offset), text));
            }
        }
    }
    problems
}

/// Checks that a parent module (`lib.rs` of a crate, any `mod.rs`) only declares and re-exports.
pub fn check_parent(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for word in ["fn", "struct", "enum", "trait", "impl", "static", "macro_rules"] {
        if let Some(offset) = source::word_offsets(&file.code_without_tests, word).first() {
            let text = format!(
                "a parent module only declares and re-exports; move this `{word}` to a file named after it"
            );
            problems.push(Problem::new(&file.path, file.line_of(*offset), text));
        }
    }
    problems
}

fn declared_modules(root: &Source) -> Vec<Declared> {
    let code = root.code.as_str();
    let mut declared = Vec::new();
    for offset in source::word_offsets(code, "mod") {
        let after = code[offset + 3..].trim_start();
        let name = source::word_at(after, 0);
        if name.is_empty() || !after[name.len()..].trim_start().starts_with(';') {
            continue;
        }
        let start = code[..offset].rfind([';', '}']).map_or(0, |end| end + 1);
        let is_for_tests = code[start..offset].contains("#[cfg(test)]");
        declared.push(Declared { name: name.to_owned(), is_for_tests });
    }
    declared
}

/// Top-level names that a file reaches through the root of its crate, with offsets.
fn used_modules(file: &Source, inner: &str, root: &Source) -> Vec<(usize, String)> {
    let code = file.code_without_tests.as_str();
    let mut used = Vec::new();
    for offset in root_path_offsets(code, inner) {
        for name in names_at(code, offset) {
            used.push((offset, resolve(root, &name)));
        }
    }
    used
}

/// Offsets right after `crate::` and after as many `super::` as lead to the root.
fn root_path_offsets(code: &str, inner: &str) -> Vec<usize> {
    let mut offsets = Vec::new();
    for offset in source::word_offsets(code, "crate") {
        if code[..offset].ends_with('$') || !code[offset..].starts_with("crate::") {
            continue;
        }
        offsets.push(offset + "crate::".len());
    }
    let file_depth = inner.split('/').count() - usize::from(inner.ends_with("/mod.rs"));
    for offset in source::word_offsets(code, "super") {
        if code[..offset].ends_with("super::") {
            continue; // counted with the first of them
        }
        let rest = &code[offset..];
        let supers = rest.split("super::").take_while(|part| part.is_empty()).count();
        if supers > 0 && supers == file_depth + inline_depth(code, offset) {
            offsets.push(offset + supers * "super::".len());
        }
    }
    offsets
}

/// How many inline modules surround an offset.
fn inline_depth(code: &str, at: usize) -> usize {
    let surrounds = |offset: &usize| {
        let after = code[offset + 3..].trim_start();
        let name = source::word_at(after, 0);
        let open = code.len() - after.len() + name.len();
        let gap = code[open..].len() - code[open..].trim_start().len();
        let brace = open + gap;
        code[brace..].starts_with('{') && brace < at && at < source::after_closing(code, brace)
    };
    source::word_offsets(code, "mod").iter().filter(|offset| surrounds(offset)).count()
}

/// First names of the path or of the group of paths at an offset.
fn names_at(code: &str, offset: usize) -> Vec<String> {
    if !code[offset..].starts_with('{') {
        return vec![source::word_at(code, offset).to_owned()];
    }
    let group = &code[offset + 1..source::after_closing(code, offset) - 1];
    let mut depth = 0_usize;
    let mut names = Vec::new();
    let mut item_starts = true;
    for (index, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => item_starts = true,
            _ if depth == 0 && item_starts && source::is_word(byte) => {
                names.push(source::word_at(group, index).to_owned());
                item_starts = false;
            }
            _ => {}
        }
    }
    names
}

/// The module that a name at the root stands for: itself, or the one it is re-exported from.
fn resolve(root: &Source, name: &str) -> String {
    for statement in root.code.split(';') {
        let Some(start) = source::word_offsets(statement, "use").first().copied() else { continue };
        let path = statement[start + 3..].trim_start();
        if path.contains("::") && source::word_offsets(path, name).iter().any(|offset| *offset > 0) {
            return source::word_at(path.trim_start_matches("self::").trim_start_matches("crate::"), 0)
                .to_owned();
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(root: &str, path: &str, text: &str) -> Vec<Problem> {
        let root = Source::new("crates/a/src/lib.rs", root);
        let file = Source::new(path, text);
        check(&root, &[&file])
    }

    #[test]
    fn a_module_may_use_those_above_it() {
        let text = "use crate::low::X;\nuse crate::high::Y;";
        assert_eq!(problems("pub mod low;\nmod high;", "crates/a/src/high.rs", text), []);
    }

    #[test]
    fn a_module_may_not_use_those_below_it() {
        let text = "\nuse crate::{low::A, high::{B, C}};";
        let found = problems("pub mod low;\nmod high;", "crates/a/src/low.rs", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].text.contains("module `low` uses `high`"), "{}", found[0]);
    }

    #[test]
    fn a_path_in_the_code_and_one_through_super_count() {
        let text = "fn f() { crate::high::g(); super::high::g(); }";
        assert_eq!(problems("mod low;\nmod high;", "crates/a/src/low.rs", text).len(), 2);
    }

    #[test]
    fn a_nested_module_counts_as_its_top_level_module() {
        let text = "use crate::high::B; use super::other::C; use super::super::high::D;";
        assert_eq!(problems("mod low;\nmod high;", "crates/a/src/low/part.rs", text).len(), 2);
    }

    #[test]
    fn a_re_exported_name_counts_as_its_module() {
        let text = "use crate::Thing;";
        assert_eq!(
            problems("mod low;\nmod high;\npub use high::Thing;", "crates/a/src/low.rs", text).len(),
            1
        );
    }

    #[test]
    fn tests_are_exempt() {
        let text = "#[cfg(test)]\nmod tests { use crate::high::B; }";
        assert_eq!(problems("mod low;\nmod high;", "crates/a/src/low.rs", text), []);
        let root = "#[cfg(test)]\nmod fake;\nmod high;";
        assert_eq!(problems(root, "crates/a/src/fake.rs", "use crate::high::B;"), []);
    }

    #[test]
    fn an_inline_module_is_not_taken_for_the_root() {
        let text = "mod inner { use super::high::B; }";
        assert_eq!(problems("mod low;\nmod high;", "crates/a/src/low.rs", text), []);
    }

    #[test]
    fn a_parent_module_with_code_is_refused() {
        assert_eq!(check_parent(&Source::new("crates/a/src/b/mod.rs", "mod c;\npub use c::D;\n")), []);
        assert_eq!(check_parent(&Source::new("crates/a/src/b/mod.rs", "mod c;\nfn f() {}\n")).len(), 1);
    }
}
