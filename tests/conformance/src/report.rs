//! Runs the cases on one node and tells, rule by rule, what became of them.
//!
//! A rule has failed if one of its cases has. Cases without a rule show things that the contract leaves to
//! durabo; they stand in the table by their module.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::case::{Case, Verdict};
use crate::rules::{deviations, rules_of};

/// Cases that run at the same time; some of them wait most of their time.
const THREADS: usize = 8;

/// Cases with their verdicts, in the order of the suite.
#[derive(Debug)]
pub struct Report(Vec<(Case, Verdict)>);

#[derive(Debug, Default)]
struct Row {
    passed: usize,
    failed: usize,
    not_here: usize,
}

impl Report {
    /// Runs all of `cases`.
    pub fn of(cases: &[Case]) -> Self {
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(Vec::with_capacity(cases.len()));
        let work = || {
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let verdict = case.run();
                verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((*case, verdict));
            }
        };
        thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|(case, _)| case.name());
        Self(verdicts)
    }

    /// Whether a case failed.
    pub fn has_failures(&self) -> bool {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_))) > 0
    }

    /// Whether the node could show nothing of what was asked.
    pub fn is_empty(&self) -> bool {
        self.count(|verdict| !matches!(verdict, Verdict::NotHere(_))) == 0
    }

    /// The table, what failed, and the sums.
    pub fn text(&self) -> String {
        let (mut rules, mut modules) = (BTreeMap::new(), BTreeMap::new());
        for (case, verdict) in &self.0 {
            let shown = rules_of(case);
            if shown.is_empty() {
                count(&mut modules, case.name().split("::").next().unwrap_or_default(), verdict);
            }
            shown.into_iter().for_each(|rule| count(&mut rules, rule, verdict));
        }
        let deviations = deviations();
        let mut text = format!("{:<16} {:>6} {:>6} {:>8}  remark\n", "rule", "passed", "failed", "not here");
        for (rule, row) in &rules {
            let remark = if deviations.contains(rule) { "documented deviation" } else { "" };
            push_row(&mut text, rule.text(), row, remark);
        }
        for (module, row) in &modules {
            push_row(&mut text, module, row, "cases beyond the contract");
        }
        for (case, verdict) in &self.0 {
            if let Verdict::Failed(found) = verdict {
                text.push_str(&format!("\nfailed: {}\n{found}\n", case.name()));
            }
        }
        let sums = format!(
            "\n{} cases passed, {} failed, {} cannot be shown by this node\n",
            self.count(|verdict| *verdict == Verdict::Passed),
            self.count(|verdict| matches!(verdict, Verdict::Failed(_))),
            self.count(|verdict| matches!(verdict, Verdict::NotHere(_))),
        );
        text + &sums
    }

    fn count(&self, is_counted: impl Fn(&Verdict) -> bool) -> usize {
        self.0.iter().filter(|(_, verdict)| is_counted(verdict)).count()
    }
}

fn count<K: Ord>(rows: &mut BTreeMap<K, Row>, key: K, verdict: &Verdict) {
    let row = rows.entry(key).or_default();
    match verdict {
        Verdict::Passed => row.passed += 1,
        Verdict::Failed(_) => row.failed += 1,
        Verdict::NotHere(_) => row.not_here += 1,
    }
}

fn push_row(text: &mut String, name: &str, row: &Row, remark: &str) {
    let Row { passed, failed, not_here } = row;
    let line = format!("{name:<16} {passed:>6} {failed:>6} {not_here:>8}  {remark}");
    writeln!(text, "{}", line.trim_end()).expect("a text takes every line");
}
