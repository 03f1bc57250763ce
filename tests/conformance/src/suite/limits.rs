//! What the node takes from guests that want too much: time, memory, places in the queue (LC-14, ST-7).
//!
//! While an object is cut its neighbours must be answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{Chunk, ErrorRecord, Object, TestNode, eventually, guest};

use super::outcomes::wait_until_in_guest;
use super::standing::{lasting_node, node, strict_node};
use super::streams::{open, piece};
use super::together::together;
use super::waking::ahead_of_the_alarm;

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
    // An event that had to wait for one of two sleeps would always find it ended.
    let object = ahead_of_the_alarm(|ms| {
        let object = node.fresh(guest::GATES, "Gates");
        object.ok("leave_behind", json!([2, ms]));
        (object.ok("ended_behind", json!([])) == json!(0)).then_some(object)
    });
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
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        limits.live_objects_max = Some(PLACES);
        // Who comes last waits for the syncs of some forty objects that leave before.
        limits.place_wait = Duration::from_secs(60);
    }));
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
        limits.live_objects_max = Some(3);
        limits.place_wait = Duration::from_millis(100);
    }));
    let [first, second, third] = std::array::from_fn(|_| node.fresh(guest::HTTP, "Http"));
    let left_behind = node.fresh(guest::GATES, "Gates");
    left_behind.ok("leave_behind", json!([1, 3_600_000]));
    let mut streams = [&first, &second].map(|object| open(&node, "GET", object, "/events", &[]));
    streams.iter_mut().for_each(|stream| assert!(stream.head().starts_with("HTTP/1.1 200")));
    let error = third.fails("notes", json!([]));
    assert_eq!((error.code.as_str(), error.status, error.overloaded), ("overloaded", 503, true), "{error:?}");
    error.assert_says("3 objects are in memory");
    // Those that are in memory are served, and neither streams nor timers were cut.
    assert_eq!(first.get("/wait-then-note?ms=0").text(), "noted");
    for (object, stream) in [&first, &second].into_iter().zip(&mut streams) {
        assert_eq!(object.ok("emit", json!(["still"])), json!(1));
        assert_eq!(stream.chunk(), piece("data: still\n\n"));
        object.ok("end", json!([]));
        assert_eq!(stream.chunk(), Chunk::End);
    }
    eventually("a place is free", || third.call("notes", json!([])).ok());
    let notes = eventually("a place is free again", || first.call("notes", json!([])).ok());
    assert_eq!(notes, json!(["waited"]));
    assert_eq!(left_behind.ok("increment", json!([])), json!(1));
    assert_eq!(left_behind.listed().expect("it is in memory")["starts"], json!(1));
}

fn waiting_costs_no_cpu_time() {
    let object = strict_node().fresh(guest::LIFECYCLE, "Lifecycle");
    assert_eq!(object.ok("sleep", json!([1500])), json!(1));
    assert_eq!(object.ok("starts", json!([])), json!(1));
}

fn c_033_events_beyond_the_mailbox_are_refused_at_once() {
    const QUEUED: usize = 4;
    const SENT: usize = 12;
    let node = TestNode::with(TestConfig::with_hooks(|limits| {
        limits.events_in_flight_max = 1;
        limits.mailbox_events_max = QUEUED;
    }));
    let [object, latch] = std::array::from_fn(|_| node.fresh(guest::GATES, "Gates"));
    let hooks = node.hooks(&object);
    let refusals = AtomicUsize::new(0);
    let send = |number: usize| {
        let outcome = object.call("append", json!([number.to_string()]));
        refusals.fetch_add(usize::from(outcome.is_err()), Ordering::SeqCst);
        outcome
    };
    let outcomes = thread::scope(|scope| {
        let busy = scope.spawn(|| object.ok("wait_for_go", json!([latch.segment()])));
        wait_until_in_guest(&hooks, 1);
        let sent = scope.spawn(|| together(SENT, send));
        eventually("those beyond the mailbox are refused while the others wait", || {
            (refusals.load(Ordering::SeqCst) == SENT - QUEUED).then_some(())
        });
        assert_eq!((hooks.events_in_guest(), hooks.events_waiting()), (1, QUEUED));
        latch.ok("append", json!(["go"]));
        busy.join().expect("a client panicked");
        sent.join().expect("a client panicked")
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
