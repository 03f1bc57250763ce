//! Alarms of objects that are not in memory, over stops and deployments, and many at once (AL-5 to AL-7, AL-21,
//! AL-22).
//!
//! No request wakes the objects here: what they saw is read by an operator's SQL.

use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{TestNode, eventually, guest};

use super::standing::{evict_after, hooked_node};
use super::together::together;
use super::waking::{FAR_MS, Waking, ahead_of_the_alarm, now};

/// Sets the alarm so far ahead and lets the object leave memory before it; its time.
fn set_and_evict(object: &Waking, ms: u64) -> Option<u64> {
    let time = object.set(json!({"set-in": ms}));
    hooked_node().hooks(&object.object).evict();
    object.object.wait_until_evicted();
    (now() < time).then_some(time)
}

fn c_225_an_alarm_wakes_an_object_that_has_left_memory() {
    let (object, time) = ahead_of_the_alarm(|ms| {
        let object = Waking::on(hooked_node());
        set_and_evict(&object, ms).map(|time| (object, time))
    });
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.scheduled, run.start), (time, 2), "{run:?}");
    assert_eq!(run.name.as_deref(), Some(object.object.segment()));
}

fn c_038_an_alarm_that_wakes_an_object_finds_its_constructor_done() {
    let object = ahead_of_the_alarm(|ms| {
        let object = Waking::on(hooked_node());
        object.object.ok("script_start", json!([[{"note": "starting"}, {"wait": 20}, {"note": "started"}]]));
        set_and_evict(&object, ms).map(|_| object)
    });
    object.wait_for_ends(1);
    assert_eq!(object.journal(), ["starting", "started", "alarm began", "alarm ended"]);
}

fn c_226_a_constructor_that_looks_first_does_not_replace_the_alarm_that_is_due() {
    let (object, time) = ahead_of_the_alarm(|ms| {
        let object = Waking::on(hooked_node());
        object.object.ok("script_start", json!([[{"set-in-if-none": ms}]]));
        hooked_node().hooks(&object.object).evict();
        object.object.wait_until_evicted();
        // The constructor has set it; there is none any more if it was due before this event.
        let time = object.alarm()?;
        hooked_node().hooks(&object.object).evict();
        object.object.wait_until_evicted();
        (now() < time).then_some((object, time))
    });
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.scheduled, run.start), (time, 3), "{run:?}");
    // What the third constructor saw was the alarm that was due.
    assert_eq!(object.alarms_at_start()[..3], [None, None, Some(time)]);
}

fn b_24_a_constructor_that_arms_a_due_alarm_anew_has_one_run_for_it() {
    let object = ahead_of_the_alarm(|ms| {
        let object = Waking::on(hooked_node());
        object.object.ok("script_start", json!([["rearm-if-due"]]));
        set_and_evict(&object, ms).map(|_| object)
    });
    object.wait_for_ends(1);
    eventually("the alarm is gone", || object.alarm().is_none().then_some(()));
    assert_eq!(object.runs().len(), 1);
    assert!(object.alarms_at_start().len() <= 3, "the object starts again and again");
}

fn c_223_an_alarm_that_fell_due_while_the_node_was_down_runs_after_its_start() {
    let mut node = TestNode::start();
    let object = Waking::on(&node);
    let time = object.set(json!({"set-in": 300}));
    let segment = object.object.segment().to_owned();
    node.stop();
    eventually("the alarm is overdue", || (now() > time).then_some(()));
    node.start_again();
    let object = Waking { object: node.object(guest::ALARM, "Alarm", &segment) };
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.scheduled, run.retries), (time, 0), "{run:?}");
    assert_eq!(object.alarm(), None);
}

fn c_224_an_alarm_outlives_a_restart_and_runs_at_its_time() {
    let mut node = TestNode::start();
    let (object, time) = ahead_of_the_alarm(|ms| {
        let object = Waking::on(&node);
        let time = object.set(json!({"set-in": ms}));
        let segment = object.object.segment().to_owned();
        node.restart();
        let object = Waking { object: node.object(guest::ALARM, "Alarm", &segment) };
        (now() < time).then_some((object, time))
    });
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!(run.scheduled, time);
    assert!(run.at >= time, "it ran {} ms early", time - run.at);
    assert_eq!(object.runs().len(), 1);
}

/// Repeats its alarm at each run.
fn beating(node: &TestNode, segment: Option<&str>) -> Waking {
    match segment {
        Some(segment) => Waking { object: node.object(guest::ALARM, "Alarm", segment) },
        None => {
            let object = Waking::on(node).script_all(json!([]), json!([{"set-in": 100}]));
            object.run(json!([{"set-in": 100}]));
            object
        }
    }
}

/// Waits for two more beats than there are.
fn assert_beats_on(object: &Waking) {
    let before = object.runs().len();
    object.wait_for_ends(before + 2);
    assert!(object.runs().iter().all(|run| run.retries == 0), "a beat was tried again");
}

fn b_25_a_repeated_alarm_goes_on_over_deployments_and_a_pause_of_the_node() {
    let mut node = TestNode::start();
    let object = beating(&node, None);
    assert_beats_on(&object);
    for mark in 1..=3 {
        node.control().deploy(guest::ALARM.app, &guest::ALARM.bytes_marked(mark)).expect("it is accepted");
        assert_beats_on(&object);
    }
    let segment = object.object.segment().to_owned();
    let runs_before = object.runs().len();
    node.stop();
    node.start_again();
    let object = beating(&node, Some(&segment));
    assert_beats_on(&object);
    let runs = object.runs();
    let gaps: Vec<_> =
        runs[runs_before - 1..].windows(2).map(|pair| pair[1].scheduled - pair[0].at).collect();
    assert!(gaps.iter().all(|gap| *gap >= 100), "a beat was made up twice: {gaps:?}");
}

fn b_28_no_beat_is_lost_or_doubled_when_objects_leave_memory_between_them() {
    const OBJECTS: usize = 50;
    const ROUNDS: usize = 40;
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        evict_after(limits, Duration::from_millis(100));
    }));
    let sibling = node.fresh(guest::ALARM, "Alarm");
    let objects = together(OBJECTS, |number| {
        let object = Waking::on(&node);
        let beat = |round: usize| {
            let ms = 97 + (number * 31 + round * 17) % 7;
            let tell = json!({"tell": [sibling.segment(), "told"]});
            json!([{"set-in": ms}, "get", {"tell-self": "told"}, tell])
        };
        let rounds: Vec<Value> = (0..ROUNDS - 1).map(beat).chain([json!([])]).collect();
        let object = object.script(json!(rounds));
        object.run(json!([{"set-in": 97}]));
        object
    });
    for object in &objects {
        // Longer than the patience of one wait.
        (1..=ROUNDS).for_each(|round| drop(object.wait_for_ends(round)));
    }
    for object in &objects {
        let runs = object.runs();
        assert_eq!(runs.len(), ROUNDS, "a beat was lost or doubled");
        let next = runs.windows(2).all(|pair| pair[0].outcomes[1] == json!(pair[1].scheduled));
        assert!(next, "a run was not for the time that the one before it had set: {runs:?}");
        assert_eq!(object.journal().iter().filter(|line| *line == "told").count(), ROUNDS - 1);
    }
    let sibling = Waking { object: sibling };
    assert_eq!(sibling.journal().len(), OBJECTS * (ROUNDS - 1));
}

/// Lets a thousand alarms come within two seconds on a node of its own, each once and none early; their median
/// lateness, in ms.
fn median_lateness_of_a_thousand() -> u64 {
    const OBJECTS: usize = 1000;
    const CLIENTS: usize = 8;
    let node = TestNode::start();
    let objects: Vec<Waking> = together(CLIENTS, |client| {
        let own = (client..OBJECTS).step_by(CLIENTS);
        let set = own.map(|number| {
            let object = Waking::on(&node);
            object.run(json!([{"set-in": 2 * number}]));
            object
        });
        set.collect::<Vec<_>>()
    })
    .concat();
    let mut lateness: Vec<u64> = objects
        .iter()
        .map(|object| {
            let run = object.wait_for_ends(1).remove(0);
            assert!(run.at >= run.scheduled, "it ran {} ms early", run.scheduled - run.at);
            run.at - run.scheduled
        })
        .collect();
    lateness.sort_unstable();
    assert!(objects.iter().all(|object| object.runs().len() == 1), "an alarm ran twice");
    lateness[OBJECTS / 2]
}

fn c_232_a_thousand_alarms_run_once_each_and_soon() {
    /// What docs/reference/alarm.md promises of a node that is not overloaded.
    const MEDIAN_LATENESS_MS_MAX: u64 = 1000;
    const ROUNDS_MAX: usize = 3;
    let mut medians: Vec<u64> = Vec::new();
    // Other cases may overload the machine for a while; a node that is slow by itself is so in each round.
    while medians.last().is_none_or(|median| *median > MEDIAN_LATENESS_MS_MAX) {
        assert!(medians.len() < ROUNDS_MAX, "median lateness of each round, in ms: {medians:?}");
        medians.push(median_lateness_of_a_thousand());
    }
}

fn al_21_a_far_alarm_keeps_no_object_in_memory() {
    let node = TestNode::with(TestConfig::with_limits(|limits| evict_after(limits, Duration::ZERO)));
    let object = Waking::on(&node);
    object.run(json!([{"set-in": FAR_MS}]));
    object.object.wait_until_evicted();
    assert!(object.alarm().is_some());
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_225_an_alarm_wakes_an_object_that_has_left_memory,
    c_038_an_alarm_that_wakes_an_object_finds_its_constructor_done,
    c_226_a_constructor_that_looks_first_does_not_replace_the_alarm_that_is_due,
    b_24_a_constructor_that_arms_a_due_alarm_anew_has_one_run_for_it,
    c_223_an_alarm_that_fell_due_while_the_node_was_down_runs_after_its_start,
    c_224_an_alarm_outlives_a_restart_and_runs_at_its_time,
    b_25_a_repeated_alarm_goes_on_over_deployments_and_a_pause_of_the_node,
    b_28_no_beat_is_lost_or_doubled_when_objects_leave_memory_between_them,
    c_232_a_thousand_alarms_run_once_each_and_soon,
    al_21_a_far_alarm_keeps_no_object_in_memory,
];
