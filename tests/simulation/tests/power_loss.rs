//! Power loss, kill and disk faults at any moment: nothing acknowledged is lost, nothing half-written
//! is seen. And each planted fault is found, so that the runs are known to look where it matters.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault; 10,000 is the long mode.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::scenario::{Events, run};
use durabo_simulation::seeds::{find_each, repeat_each, report, seeds};

const SEEDS: u64 = 300;
/// Seeds tried before a planted fault counts as unseen; the hardest one needs less than half of them.
const SEEDS_TO_FIND: u64 = 1_000;
/// Faults that show in so rare an order of events that `checkpoints` takes just that one.
const FOUND_IN_CHECKPOINTS: [Mutation; 1] = [Mutation::SkipCheckpointRecordSync];

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_power_and_disk() {
    let (mut lives, mut recoveries_cut, mut relaxed) = (0, 0, 0);
    for seed in 0..seeds(SEEDS) {
        match run(seed, Events::Write, None) {
            Ok(happened) => {
                lives += happened.lives;
                recoveries_cut += happened.recoveries_cut;
                relaxed += u64::from(happened.relaxed);
            }
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    report(&format!(
        "{} seeds ({relaxed} relaxed), {lives} lives, {recoveries_cut} recoveries cut short",
        seeds(SEEDS)
    ));
    assert!(recoveries_cut * 4 > lives, "only {recoveries_cut} recoveries in {lives} lives were cut short");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    repeat_each(20, |seed| run(seed, Events::Write, None));
}

#[test]
fn every_planted_fault_is_found_by_a_seed() {
    let here = Mutation::OF_DURABILITY.iter().filter(|mutation| !FOUND_IN_CHECKPOINTS.contains(mutation));
    let violation = |seed, mutation| run(seed, Events::Write, Some(mutation)).err();
    find_each(here.copied(), SEEDS_TO_FIND, violation);
}
