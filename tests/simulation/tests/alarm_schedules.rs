//! Alarms under power loss, kill, stops, checkpoints and steps of the clock: each runs at least once, none early, none
//! is forgotten, none runs after it was replaced or deleted. And each fault planted in their way is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::alarm_scenario::run;
use durabo_simulation::seeds::{find_each, repeat_each, report, seeds};

const SEEDS: u64 = 100;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 400;

#[test]
fn every_alarm_runs_and_none_runs_that_should_not() {
    let (mut runs, mut retries, mut starts) = (0, 0, 0);
    for seed in 0..seeds(SEEDS) {
        let happened = run(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        runs += happened.runs;
        retries += happened.retries;
        starts += happened.starts_with_alarms;
    }
    report(&format!(
        "{} seeds: {runs} runs, {retries} of them retries, {starts} alarms at rest",
        seeds(SEEDS)
    ));
    assert!(runs > 5 * seeds(SEEDS) && retries > seeds(SEEDS) / 2, "{runs} runs, {retries} retries");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    repeat_each(10, |seed| run(seed, None));
}

#[test]
fn every_fault_planted_in_the_way_of_alarms_is_found_by_a_seed() {
    let violation = |seed, mutation| run(seed, Some(mutation)).err();
    find_each(Mutation::OF_ALARMS.iter().copied(), SEEDS_TO_FIND, violation);
}
