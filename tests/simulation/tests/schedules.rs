//! Seeded schedules over gates, calls and sections, with accidents: nothing gets out ahead of what it depends
//! on, nobody enters a section. And each fault planted in the gates is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::scenario::{Events, run};
use durabo_simulation::seeds::{find_each, repeat_each, seeds};

const SEEDS: u64 = 200;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 400;

#[test]
fn gates_hold_whatever_the_schedule_and_the_accident() {
    for seed in 0..seeds(SEEDS) {
        if let Err(why) = run(seed, Events::CallAndHold, None) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    repeat_each(20, |seed| run(seed, Events::CallAndHold, None));
}

#[test]
fn every_fault_planted_in_the_gates_is_found_by_a_seed() {
    let violation = |seed, mutation| run(seed, Events::CallAndHold, Some(mutation)).err();
    // The model must see it: an assertion in the code itself is not there in earnest.
    let seen = |seed, mutation| violation(seed, mutation).filter(|why| !why.starts_with("panicked"));
    find_each(Mutation::OF_GATES.iter().copied(), SEEDS_TO_FIND, seen);
}
