//! Sockets over hibernation, eviction, traps, instances that cannot start, commits that fail and power loss: no event is
//! lost or comes twice, those of one socket come in order and one at a time, its end comes once (WS-15, WS-19, WS-29);
//! frames leave in order, once, and only after the commit that they wait for (WS-23, OG-3). And each fault planted in
//! their way is found.
//!
//! `DURABO_SIMULATION_SEEDS` sets the number of seeds without a planted fault.

use durabo_changelog::mutation::Mutation;
use durabo_simulation::seeds::{find_each, repeat_each, report, seeds};
use durabo_simulation::socket_scenario::{Happened, run};

const SEEDS: u64 = 100;
/// Seeds tried before a planted fault counts as unseen.
const SEEDS_TO_FIND: u64 = 400;

#[test]
fn no_event_of_a_socket_is_lost_or_doubled_and_no_frame_leaves_too_early() {
    let mut all = Happened::default();
    for seed in 0..seeds(SEEDS) {
        let one = run(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        all.sockets += one.sockets;
        all.messages += one.messages;
        all.ends += one.ends;
        all.frames += one.frames;
        all.closed += one.closed;
        all.fell_behind += one.fell_behind;
        all.cut += one.cut;
        all.gentle_rests += one.gentle_rests;
    }
    report(&format!("{} seeds: {all:?}", seeds(SEEDS)));
    // Each of these is common, or the schedules are not what they are meant to be.
    let least = seeds(SEEDS);
    assert!(all.messages > 5 * least && all.frames > 3 * least && all.ends > least, "{all:?}");
    let seldom = seeds(SEEDS) / 10;
    assert!(all.closed > seldom && all.cut > seldom && all.fell_behind > 0, "{all:?}");
    assert!(all.gentle_rests > least / 2, "{all:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    repeat_each(10, |seed| run(seed, None));
}

#[test]
fn every_fault_planted_in_the_way_of_sockets_is_found_by_a_seed() {
    let of_gates = [Mutation::IgnoreOpenTurn, Mutation::KeepDiscardedEffects];
    let all = [Mutation::OF_SOCKETS, &of_gates].concat();
    let violation = |seed, mutation| run(seed, Some(mutation)).err();
    find_each(all, SEEDS_TO_FIND, violation);
}
