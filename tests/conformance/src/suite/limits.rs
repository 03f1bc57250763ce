//! What the node takes from guests that want too much: time, memory, places in the queue (LC-14, ST-7).
//!
//! While an object is cut its neighbours must be answered.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{ErrorRecord, Object, TestNode, eventually, guest};

use super::standing::{lasting_node, node, strict_node};
use super::together::together;

fn fresh() -> Object {
    strict_node().fresh(guest::FAULTS, "Faults")
}

/// Calls what goes wrong; meanwhile a neighbour of the same class is asked, at least once.
fn fails_while_a_neighbour_answers(object: &Object, method: &str) -> ErrorRecord {
    let neighbour = fresh();
    neighbour.ok("ping", json!([]));
    thread::scope(|scope| {
        let failing = scope.spawn(|| object.fails(method, json!([])));
        let mut answers = 0;
        while !failing.is_finished() {
            assert_eq!(neighbour.ok("ping", json!([])), json!("pong"));
            answers += 1;
        }
        assert!(answers > 1, "the neighbour answered {answers} times");
        failing.join().expect("a client panicked")
    })
}

fn assert_well_again(object: &Object) {
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
    assert_eq!(object.ok("traces", json!([])), json!([]));
}

fn c_056_an_endless_loop_is_cut_at_the_cpu_limit() {
    let object = fresh();
    let error = fails_while_a_neighbour_answers(&object, "spin");
    error.assert_reset("cpu-limit-exceeded");
    error.assert_says("more than 0.7 s of CPU time");
    assert_well_again(&object);
}

fn an_endless_statement_is_cut_at_the_cpu_limit() {
    let object = fresh();
    let error = object.fails("spin_in_sql", json!([]));
    error.assert_reset("cpu-limit-exceeded");
    assert_well_again(&object);
}

fn c_057_memory_without_end_is_cut_at_the_memory_limit() {
    let (object, neighbour) = (fresh(), fresh());
    neighbour.ok("ping", json!([]));
    // It may be over before another could have been answered meanwhile.
    let error = object.fails("allocate", json!([]));
    error.assert_reset("memory-limit-exceeded");
    error.assert_says("more than 32 MiB of memory");
    assert_well_again(&object);
    assert_well_again(&neighbour);
}

fn a_storm_of_timers_is_cut_and_undone() {
    let object = node().fresh(guest::GATES, "Gates");
    assert_eq!(object.ok("sleep_at_once", json!([9000, 50])), json!(9000));
    object.ok("write", json!([7]));
    let error = object.fails("sleep_at_once", json!([100_000, 60_000]));
    error.assert_reset("import-limit-exceeded");
    error.assert_says("10000 imports under way");
    // Neither its sleeps nor its turn is left.
    assert_eq!(object.ok("read", json!([])), json!(7));
    assert_eq!(object.ok("journal", json!([])), json!(["sleeps began"]));
}

fn events_wait_while_many_imports_are_under_way() {
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.imports_while_taking_max = 3));
    let object = node.fresh(guest::GATES, "Gates");
    object.ok("leave_behind", json!([2, 300]));
    assert_eq!(object.ok("ended_behind", json!([])), json!(0));
    object.ok("leave_behind", json!([1, 600]));
    let ended = object.ok("ended_behind", json!([]));
    assert!(ended.as_u64() >= Some(1), "the event came before any of three sleeps had ended");
}

fn timers_left_behind_hold_later_events_back_and_lose_nothing() {
    let object = lasting_node().fresh(guest::GATES, "Gates");
    together(10, |_| object.ok("leave_behind", json!([300, 400])));
    eventually("all sleeps have ended", || {
        (object.ok("ended_behind", json!([])) == json!(3000)).then_some(())
    });
}

fn objects_beyond_the_places_take_turns_and_lose_nothing() {
    const PLACES: usize = 10;
    let node = TestNode::with(TestConfig::with_limits(|limits| limits.live_objects_max = Some(PLACES)));
    let control = node.control();
    let live = || control.status()["liveObjects"].as_u64().expect("a number");
    assert_eq!(control.status()["liveObjectsMax"], json!(PLACES));
    let objects: Vec<Object> = (0..50).map(|_| node.fresh(guest::GATES, "Gates")).collect();
    for round in 1..=3 {
        for object in &objects {
            assert_eq!(object.ok("increment", json!([])), json!(round));
            assert!(live() <= PLACES as u64);
        }
    }
    together(objects.len(), |number| {
        assert_eq!(objects[number].ok("increment", json!([])), json!(4));
        assert!(live() <= PLACES as u64);
    });
    let counters = together(objects.len(), |number| objects[number].ok("read", json!([])));
    assert_eq!(counters, vec![json!(4); objects.len()]);
}

fn an_object_without_a_place_is_refused_while_all_others_are_busy() {
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        limits.live_objects_max = Some(2);
        limits.place_wait = Duration::from_millis(100);
    }));
    let [first, second, third] = std::array::from_fn(|_| node.fresh(guest::GATES, "Gates"));
    first.ok("leave_behind", json!([1, 1500]));
    second.ok("leave_behind", json!([1, 1500]));
    let error = third.fails("read", json!([]));
    assert_eq!((error.code.as_str(), error.status, error.overloaded), ("overloaded", 503, true), "{error:?}");
    error.assert_says("2 objects are in memory");
    // Those that are in memory are served, and their timers were not cut.
    assert_eq!(first.ok("increment", json!([])), json!(1));
    eventually("a place is free", || third.call("read", json!([])).ok());
    assert_eq!(first.ok("read", json!([])), json!(1));
}

fn waiting_costs_no_cpu_time() {
    let object = strict_node().fresh(guest::LIFECYCLE, "Lifecycle");
    assert_eq!(object.ok("sleep", json!([1500])), json!(1));
    assert_eq!(object.ok("starts", json!([])), json!(1));
}

fn c_033_events_beyond_the_mailbox_are_refused_at_once() {
    const QUEUED: usize = 4;
    const SENT: usize = 12;
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        limits.events_in_flight_max = 1;
        limits.mailbox_events_max = QUEUED;
    }));
    let object = node.fresh(guest::GATES, "Gates");
    object.ok("read", json!([]));
    let outcomes = thread::scope(|scope| {
        let busy = scope.spawn(|| object.ok("sleep", json!([2000])));
        // waits: the first call to be under way, of which a client is not told
        thread::sleep(Duration::from_millis(300));
        let outcomes = together(SENT, |number| object.call("append", json!([number.to_string()])));
        assert_eq!(busy.join().expect("a client panicked"), json!(1));
        outcomes
    });
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), SENT - QUEUED, "{outcomes:?}");
    for error in refused {
        assert_eq!((error.code.as_str(), error.status), ("overloaded", 503), "{error:?}");
        assert_eq!(
            (error.overloaded, error.retryable, error.object_reset),
            (true, false, false),
            "{error:?}"
        );
        error.assert_says("Too many requests queued");
    }
    // Lines were numbered in the order in which they were written.
    let mut lines: Vec<_> = outcomes.into_iter().filter_map(Result::ok).collect();
    lines.sort_by_key(|line| line.as_i64());
    assert_eq!(lines, [json!(1), json!(2), json!(3), json!(4)]);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_056_an_endless_loop_is_cut_at_the_cpu_limit,
    an_endless_statement_is_cut_at_the_cpu_limit,
    c_057_memory_without_end_is_cut_at_the_memory_limit,
    a_storm_of_timers_is_cut_and_undone,
    events_wait_while_many_imports_are_under_way,
    timers_left_behind_hold_later_events_back_and_lose_nothing,
    objects_beyond_the_places_take_turns_and_lose_nothing,
    an_object_without_a_place_is_refused_while_all_others_are_busy,
    waiting_costs_no_cpu_time,
    c_033_events_beyond_the_mailbox_are_refused_at_once,
];
