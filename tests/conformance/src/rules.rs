//! Which rules a case shows, and which rules durabo deviates from on purpose.
//!
//! A case says so at the head of its name: by numbers of the contract's cases (`c_024_and_c_032_…`), whose rules
//! `rules.txt` has, or by a rule itself (`st_12_…`). `b_…` is a report of a user and stands for no rule.
//! Deviations come from the tables of `docs/deviations.md`, so that what the report calls documented is so.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::case::Case;

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

/// The rules that a case shows, each once; none for one that shows what the contract leaves to durabo.
pub fn rules_of(case: &Case) -> BTreeSet<Rule> {
    let mut words = case.words().filter(|word| *word != "and");
    let mut shown = BTreeSet::new();
    while let (Some(kind), Some(number)) = (words.next(), words.next()) {
        match (kind, number.parse::<u16>()) {
            ("c", Ok(_)) => shown.extend(rules_of_number(number)),
            ("b", Ok(_)) => {}
            (group, Ok(_)) => shown.extend(rule(&format!("{}-{number}", group.to_uppercase()))),
            _ => break,
        }
    }
    shown
}

/// The rules of a case of the contract, by its three digits.
fn rules_of_number(number: &str) -> impl Iterator<Item = Rule> {
    let prefix = format!("C-{number} ");
    let rules = CASES.lines().find_map(move |line| line.strip_prefix(&prefix)).unwrap_or_default();
    rules.split(' ').filter_map(rule)
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
