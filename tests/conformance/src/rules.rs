//! Which rules a case of the contract shows, and which rules durabo deviates from on purpose.
//!
//! The first comes from `rules.txt`, a line a case; the second from the tables of `docs/deviations.md`, so that
//! what the report calls documented is documented.

use std::cmp::Ordering;
use std::collections::BTreeSet;

const CASES: &str = include_str!("rules.txt");
const DEVIATIONS: &str = include_str!("../../../docs/deviations.md");

/// A rule of the contract: `SQ-9`. Ordered by group and then by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(String);

impl Rule {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, u16) {
        let (group, number) = self.0.split_once('-').expect("made by `rule`");
        (group, number.parse().expect("made by `rule`"))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The rules that a case shows, by its number.
pub fn rules_of(case: u16) -> Vec<Rule> {
    let prefix = format!("C-{case:03} ");
    let line = CASES.lines().find_map(|line| line.strip_prefix(&prefix));
    line.map_or_else(Vec::new, |rules| rules.split(' ').filter_map(rule).collect())
}

/// The rules that the page of deviations names.
pub fn deviations() -> BTreeSet<Rule> {
    let rows = DEVIATIONS.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(|rules| rules.split(", ").filter_map(rule)).collect()
}

/// Two capital letters and a number.
fn rule(text: &str) -> Option<Rule> {
    let (group, number) = text.split_once('-')?;
    let is_rule = group.len() == 2
        && group.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.parse::<u16>().is_ok();
    is_rule.then(|| Rule(text.to_owned()))
}
