//! Commits that are held, refused, fenced or not known to be in the log, at random: nothing acknowledged is
//! lost, nothing that failed is seen. And each fault planted in the way back is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use std::io::Write;

use durabo_changelog::mutation::Mutation;
use durabo_simulation::lost_commits::run;

const SEEDS: u64 = 100;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 100;

fn seeds() -> u64 {
    std::env::var("DURABO_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

fn report(line: &str) {
    writeln!(std::io::stderr(), "simulation: {line}").expect("a standard error");
}

#[test]
fn whatever_becomes_of_commits_what_was_acknowledged_stays_and_what_failed_is_gone() {
    let (mut failed, mut left_open, mut turned_away) = (0, 0, 0);
    for seed in 0..seeds() {
        let happened = run(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        failed += happened.failed;
        left_open += happened.left_open;
        turned_away += happened.turned_away;
    }
    report(&format!("{} seeds: {failed} failed, {left_open} left open, {turned_away} turned away", seeds()));
    for often in [failed, left_open, turned_away] {
        assert!(often > 2 * seeds(), "{failed} failed, {left_open} left open, {turned_away} turned away");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

#[test]
fn every_fault_planted_in_the_way_back_is_found_by_a_seed() {
    let mut unseen = Vec::new();
    for mutation in Mutation::OF_OUTCOMES {
        let fails = |seed| run(seed, Some(*mutation)).err().map(|why| (seed, why));
        match (0..SEEDS_TO_FIND).find_map(fails) {
            Some((seed, why)) => {
                report(&format!("{mutation:?}: seed {seed}: {}", why.chars().take(160).collect::<String>()));
            }
            None => unseen.push(mutation),
        }
    }
    assert!(unseen.is_empty(), "planted and not found: {unseen:?}");
}
