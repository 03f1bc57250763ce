//! Commits that are held, refused, fenced or not known to be in the log, at random: nothing acknowledged is
//! lost, nothing that failed is seen. And each fault planted in the way back is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::lost_commits::run;
use durabo_simulation::seeds::{find_each, repeat_each, report, seeds};

const SEEDS: u64 = 100;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 100;

#[test]
fn whatever_becomes_of_commits_what_was_acknowledged_stays_and_what_failed_is_gone() {
    let (mut failed, mut left_open, mut turned_away) = (0, 0, 0);
    for seed in 0..seeds(SEEDS) {
        let happened = run(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        failed += happened.failed;
        left_open += happened.left_open;
        turned_away += happened.turned_away;
    }
    report(&format!(
        "{} seeds: {failed} failed, {left_open} left open, {turned_away} turned away",
        seeds(SEEDS)
    ));
    for often in [failed, left_open, turned_away] {
        assert!(
            often > 2 * seeds(SEEDS),
            "{failed} failed, {left_open} left open, {turned_away} turned away"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    repeat_each(20, |seed| run(seed, None));
}

#[test]
fn every_fault_planted_in_the_way_back_is_found_by_a_seed() {
    let violation = |seed, mutation| run(seed, Some(mutation)).err();
    find_each(Mutation::OF_OUTCOMES.iter().copied(), SEEDS_TO_FIND, violation);
}
