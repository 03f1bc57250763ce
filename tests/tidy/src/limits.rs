//! `docs/reference/limits.md` names every limit of `model`, constants and settings alike, and every setting can be
//! set by that name.
//!
//! A limit that is not written down surprises whoever meets it, and one without a name cannot be changed.

use crate::problem::Problem;

/// Where the limits stand.
pub const LIMITS_PATH: &str = "crates/model/src/limits.rs";
/// Where the settings get their names.
pub const SETTINGS_PATH: &str = "crates/model/src/settings.rs";
/// Where they are explained.
pub const DOCUMENT_PATH: &str = "docs/reference/limits.md";

/// Compares the three files.
pub fn check(limits: &str, settings: &str, document: &str) -> Vec<Problem> {
    let groups = groups(settings);
    let mut problems = Vec::new();
    let (mut names, mut structure) = (Vec::new(), "");
    for (index, line) in limits.lines().enumerate() {
        structure =
            line.strip_prefix("pub struct ").and_then(|rest| rest.split(' ').next()).unwrap_or(structure);
        let Some(Limit { name, is_field }) = limit(line) else { continue };
        let group = groups.iter().find(|group| is_field && group.structure == structure);
        let name = format!("{}{name}", group.map_or("", |group| group.prefix));
        let mut report = |text| problems.push(Problem::new(LIMITS_PATH, index + 1, text));
        if !document.contains(&format!("| `{name}` |")) {
            report(format!("limit `{name}` has no row in {DOCUMENT_PATH}; explain it there"));
        }
        if is_field && !group.is_some_and(|group| group.names.contains(&name)) {
            report(format!("`{name}` cannot be set; add it to the table in {SETTINGS_PATH}"));
        }
        names.push(name);
    }
    if names.is_empty() {
        problems.push(Problem::new(LIMITS_PATH, 1, "no limit found; public constants and fields are read"));
    }
    for (index, line) in document.lines().enumerate() {
        let row = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        if let Some((name, _)) = row.filter(|(name, _)| !names.iter().any(|known| known == name)) {
            let text = format!("`{name}` is no limit of {LIMITS_PATH}; remove the row or mend the name");
            problems.push(Problem::new(DOCUMENT_PATH, index + 1, text));
        }
    }
    problems
}

/// The settings that are the fields of one structure.
struct Group<'a> {
    structure: &'a str,
    prefix: &'a str,
    /// With the prefix.
    names: Vec<String>,
}

/// The groups of the table: `objects: ObjectLimits, "" {`, and then a line such as `drain: Time from 0,` for each.
fn groups(settings: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let table = settings.lines().skip_while(|line| *line != "settings! {").take_while(|line| *line != "}");
    for line in table {
        let Some((name, rest)) = line.trim().split_once(": ") else { continue };
        if let Some((structure, prefix)) = rest.strip_suffix(" {").and_then(|head| head.split_once(", ")) {
            groups.push(Group { structure, prefix: prefix.trim_matches('"'), names: Vec::new() });
        } else if let Some(group) = groups.last_mut() {
            group.names.push(format!("{}{name}", group.prefix));
        }
    }
    groups
}

struct Limit<'a> {
    name: &'a str,
    is_field: bool,
}

/// The constant or field that a line declares.
fn limit(line: &str) -> Option<Limit<'_>> {
    let declared = line.trim_start().strip_prefix("pub ")?;
    let constant = declared.strip_prefix("const ");
    let (name, _) = constant.unwrap_or(declared).split_once(':')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(Limit { name, is_field: constant.is_none() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "pub const A_MAX: usize = 1;\npub struct Limits {\n    pub b_max: usize,\n}\n";
    const SETTINGS: &str =
        "settings! {\n    some: Limits, \"some.\" {\n        b_max: Count from 1,\n    }\n}\n";

    #[test]
    fn limits_that_all_have_a_row_and_a_name_are_fine() {
        assert!(check(LIMITS, SETTINGS, "| `A_MAX` | 1 |\n| `some.b_max` | 2 |\n").is_empty());
    }

    #[test]
    fn a_limit_without_a_row_is_refused() {
        assert_eq!(check(LIMITS, SETTINGS, "| `A_MAX` | 1 |\nsome.b_max\n").len(), 1);
        assert_eq!(check(LIMITS, SETTINGS, "| `A_MAX` | 1 |\n| `b_max` | 2 |\n").len(), 2);
    }

    #[test]
    fn a_field_without_a_name_is_refused() {
        let document = "| `A_MAX` | 1 |\n| `some.b_max` | 2 |\n";
        assert_eq!(check(LIMITS, &SETTINGS.replace("b_max", "c_max"), document).len(), 1);
        assert_eq!(
            check(LIMITS, &SETTINGS.replace("Limits", "Others"), document.replace("some.", "").as_str())
                .len(),
            1
        );
    }

    #[test]
    fn a_row_without_its_limit_is_refused() {
        assert_eq!(check(LIMITS, SETTINGS, "| `A_MAX` | 1 |\n| `some.b_max` | 2 |\n| `c` | 3 |\n").len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused() {
        assert_eq!(check("", SETTINGS, "").len(), 1);
        assert_eq!(check(LIMITS, "", "| `A_MAX` | 1 |\n| `b_max` | 2 |\n").len(), 1);
    }
}
