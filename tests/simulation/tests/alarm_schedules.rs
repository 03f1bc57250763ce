//! Alarms under power loss, kill, stops, checkpoints and steps of the clock: each runs at least once, none early, none
//! is forgotten, none runs after it was replaced or deleted; named ones too, and those that repeat run at each of their
//! times once (SC-10 to SC-18, SC-22). And each fault planted in their way is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::alarm_scenario::{Subject, run};
use durabo_simulation::seeds::{find_each, repeat_each, report, seeds};

const SEEDS: u64 = 100;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 400;

#[test]
fn every_alarm_runs_and_none_runs_that_should_not() {
    let (mut runs, mut retries, mut starts) = (0, 0, 0);
    for seed in 0..seeds(SEEDS) {
        let happened = run(seed, Subject::Alarm, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
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
fn every_named_alarm_runs_at_its_times_and_none_runs_that_should_not() {
    let count = seeds(SEEDS / 2);
    for subject in [Subject::Entries, Subject::Both] {
        let (mut by_kind, mut retries, mut unnamed) = ([0; 3], 0, 0);
        for seed in 0..count {
            let happened =
                run(seed, subject, None).unwrap_or_else(|why| panic!("{subject:?}, seed {seed}: {why}"));
            by_kind.iter_mut().zip(happened.entries.by_kind).for_each(|(all, one)| *all += one);
            retries += happened.entries.retries;
            unnamed += happened.runs;
        }
        let [once, every, cron] = by_kind;
        report(&format!(
            "{subject:?}, {count} seeds: {once} runs of entries that run once, {every} at intervals, {cron} by rules, \
             {retries} retries; {unnamed} of alarms without a name"
        ));
        let least = 3 * count;
        assert!(once > least && every > least && cron > least, "{by_kind:?}");
        assert!(retries > count / 4 && (subject == Subject::Entries || unnamed > 0), "{retries}, {unnamed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    repeat_each(10, |seed| run(seed, Subject::Alarm, None));
    repeat_each(10, |seed| run(seed, Subject::Both, None));
}

#[test]
fn every_fault_planted_in_the_way_of_alarms_is_found_by_a_seed() {
    let violation = |seed, mutation| run(seed, Subject::Alarm, Some(mutation)).err();
    find_each(Mutation::OF_ALARMS.iter().copied(), SEEDS_TO_FIND, violation);
}

#[test]
fn every_fault_planted_in_the_way_of_named_alarms_is_found_by_a_seed() {
    let all = [Mutation::OF_ALARMS, Mutation::OF_NAMED_ALARMS].concat();
    let violation = |seed, mutation| run(seed, Subject::Entries, Some(mutation)).err();
    find_each(all, SEEDS_TO_FIND, violation);
}
