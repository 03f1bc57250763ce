//! Seeds: how many a test takes, what it tells of them, and that each planted fault is found by one.
//!
//! For the tests of this package, which run a scenario once per seed.

use std::fmt::Debug;
use std::io::Write;

use durabo_changelog::mutation::Mutation;

/// Characters of a violation that are told of a fault which was found.
const TOLD_CHARS: usize = 160;

/// How many seeds to run: `DURABO_SIMULATION_SEEDS`, or `fallback`.
pub fn seeds(fallback: u64) -> u64 {
    std::env::var("DURABO_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(fallback)
}

/// Says what was found in the output of a passing run too, which the test runner would keep back.
pub fn report(line: &str) {
    writeln!(std::io::stderr(), "simulation: {line}").expect("a standard error");
}

/// Runs seeds below `tries` with each of the faults planted, until `violation` gives one. Panics with those that no
/// seed has found.
pub fn find_each(
    mutations: impl IntoIterator<Item = Mutation>,
    tries: u64,
    violation: impl Fn(u64, Mutation) -> Option<String>,
) {
    let mut unseen = Vec::new();
    for mutation in mutations {
        match (0..tries).find_map(|seed| Some((seed, violation(seed, mutation)?))) {
            Some((seed, why)) => {
                let why: String = why.chars().take(TOLD_CHARS).collect();
                report(&format!("{mutation:?}: seed {seed}: {why}"));
            }
            None => unseen.push(mutation),
        }
    }
    assert!(unseen.is_empty(), "planted and not found: {unseen:?}");
}

/// Runs each seed below `count` twice. Panics if the two differ.
pub fn repeat_each<R: PartialEq + Debug>(count: u64, run: impl Fn(u64) -> R) {
    for seed in 0..count {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
