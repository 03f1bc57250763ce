//! Power loss, kill and disk faults at any moment: nothing acknowledged is lost, nothing half-written
//! is seen. And each planted fault is found, so that the runs are known to look where it matters.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds; 10,000 is the long mode.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::scenario::run;

const SEEDS: u64 = 300;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 2_000;

fn seeds() -> u64 {
    std::env::var("DURABO_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_power_and_disk() {
    for seed in 0..seeds() {
        let outcome = run(seed, None);
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[test]
fn every_planted_fault_is_found_by_a_seed() {
    let mut unseen = Vec::new();
    for mutation in Mutation::ALL {
        let found = (0..SEEDS_TO_FIND).find_map(|seed| {
            {
                std::fs::write("/tmp/seed", seed.to_string()).expect("w");
                run(seed, Some(*mutation))
            }
            .err()
            .map(|why| (seed, why))
        });
        match found {
            Some((seed, why)) => {
                println!("{mutation:?}: seed {seed}: {}", why.chars().take(160).collect::<String>())
            }
            None => unseen.push(mutation),
        }
    }
    assert!(unseen.is_empty(), "planted and not found: {unseen:?}");
}

#[test]
fn one() {
    let Some(range) = std::env::var("ONE").ok() else { return };
    let (from, to) = range.split_once("..").expect("range");
    for seed in from.parse::<u64>().expect("n")..to.parse().expect("n") {
        let at = std::time::Instant::now();
        std::fs::write("/tmp/seed", seed.to_string()).expect("w");
        let outcome = run(seed, None);
        let took = at.elapsed().as_millis();
        if outcome.is_err() || took > 500 {
            println!("{seed} {took} ms {outcome:?}");
        }
    }
}

#[test]
fn found() {
    let Some(max) = std::env::var("FOUND").ok() else { return };
    let only = std::env::var("ONLY").unwrap_or_default();
    for mutation in Mutation::ALL.iter().filter(|m| format!("{m:?}").contains(&only)) {
        let at = std::time::Instant::now();
        let found = (0..max.parse().expect("n")).find_map(|seed| {
            {
                std::fs::write("/tmp/seed", seed.to_string()).expect("w");
                run(seed, Some(*mutation))
            }
            .err()
            .map(|why| (seed, why))
        });
        println!(
            "{mutation:?} {} ms {:?}",
            at.elapsed().as_millis(),
            found.map(|(s, why)| (s, why.chars().take(150).collect::<String>()))
        );
    }
}
