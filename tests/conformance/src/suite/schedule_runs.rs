//! Runs of named alarms: when and in which order they come, what they see, and what becomes of those that fail (SC-2,
//! SC-3, SC-10 to SC-19, SC-23).
//!
//! They run by the mechanism of the alarm, whose own cases are in `alarms`, `alarm_retries` and `alarm_wakes`. What a
//! step of the clock makes of a time is a unit test, and so is which times a cron rule names; one is waited for here, a
//! minute at most.

use std::time::Duration;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Answer;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::eventually::holds_for;
use crate::node::TestConfig;
use crate::{TestNode, eventually, guest};

use super::alarm_retries::{patient_node, quick_node};
use super::growing_times::with_growing_times;
use super::outcomes::refused;
use super::standing::{hooked_node, lasting_node, node, socket_node};
use super::waking::{
    FAR_MS, Run, Waking, ahead_of_the_alarm, get_entry as get, now, set_entry as set, wait_until_past,
};

const MINUTE_MS: u64 = 60_000;
/// Interval of entries that repeat: the shortest that there is.
const INTERVAL_MS: u64 = 1000;

fn fresh() -> Waking {
    Waking::on(node())
}

fn every() -> Value {
    json!({"every": INTERVAL_MS})
}

fn soon() -> Value {
    json!({"in": 0})
}

fn next(entry: &Value) -> u64 {
    entry["next"].as_u64().unwrap_or_else(|| panic!("an entry was expected, not {entry}"))
}

/// Sets an entry; the time of its first run.
#[track_caller]
fn set_for(object: &Waking, name: &str, when: &Value) -> u64 {
    next(&object.run(json!([set(name, when), get(name)]))[1])
}

/// Names of the entries that ran, and `alarm` for the alarm.
fn who_ran(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.entry.as_ref().map_or("alarm", |(name, _)| name)).collect()
}

fn retries(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.retries).collect()
}

fn sc_2_and_sc_10_an_entry_that_comes_once_runs_at_its_time_or_later_and_is_gone() {
    let object = fresh();
    let time = set_for(&object, "a", &json!({"in": 100}));
    let run = object.wait_for_ends(1).remove(0);
    assert!(run.at >= time, "it ran {} ms early", time - run.at);
    assert_eq!((run.scheduled, run.retries, run.is_retry), (time, 0, false));
    assert_eq!(run.entry, Some(("a".to_owned(), "p".to_owned())));
    wait_until_past(node(), now());
    assert_eq!((object.runs().len(), object.entries()), (1, json!([])));
}

fn sc_3_an_entry_that_repeats_keeps_its_steps() {
    let object = fresh();
    let first = set_for(&object, "a", &every());
    let runs = object.wait_for_ends(3);
    assert_eq!(runs[0].scheduled, first);
    for run in &runs {
        assert!(run.at >= run.scheduled, "it ran {} ms early", run.scheduled - run.at);
        assert_eq!(((run.scheduled - first) % INTERVAL_MS, run.retries), (0, 0), "{run:?}");
    }
    assert!(runs.windows(2).all(|pair| pair[0].scheduled < pair[1].scheduled), "{runs:?}");
}

fn sc_4_and_sc_10_an_entry_with_a_cron_rule_runs_when_its_minute_comes_and_goes_on() {
    let object = Waking::on(lasting_node());
    let time = set_for(&object, "a", &json!({"cron": "* * * * *"}));
    while now() + MINUTE_MS / 10 < time {
        // On a slow machine this takes longer, and the minute may come meanwhile.
        holds_for(Duration::from_millis(500), "no run comes ahead of its minute", || {
            object.runs().first().is_none_or(|run| run.at >= time)
        });
    }
    let run = object.wait_for_ends(1).remove(0);
    assert!(run.at >= run.scheduled, "it ran {} ms early", run.scheduled - run.at);
    assert_eq!((run.scheduled, run.scheduled % MINUTE_MS, run.retries), (time, 0, 0));
    eventually("the next minute is shown", || (next(&object.entry("a")) == time + MINUTE_MS).then_some(()));
    object.run(json!([{"named": {"delete": "a"}}]));
}

fn sc_10_an_entry_wakes_an_object_that_has_left_memory() {
    let (object, time) = ahead_of_the_alarm(|ms| {
        let object = Waking::on(hooked_node());
        let time = set_for(&object, "a", &json!({"in": ms}));
        hooked_node().hooks(&object.object).evict();
        object.object.wait_until_evicted();
        (now() < time).then_some((object, time))
    });
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.scheduled, run.start), (time, 2), "{run:?}");
}

fn sc_10_and_sc_13_what_fell_due_while_the_node_was_down_runs_once_after_its_start() {
    let mut node = TestNode::start();
    let object = Waking::on(&node);
    let once = set_for(&object, "once", &json!({"in": 1}));
    let first = set_for(&object, "often", &every());
    let before = object.run(json!(["now"])).remove(0).as_u64().expect("a time");
    let segment = object.object.segment().to_owned();
    node.stop();
    eventually("three intervals have passed", || (now() > first + 2 * INTERVAL_MS).then_some(()));
    let started = now();
    node.start_again();
    let object = Waking { object: node.object(guest::ALARM, "Alarm", &segment) };
    let runs = eventually("it runs again behind the present", || {
        let runs = object.runs();
        runs.iter()
            .any(|run| run.entry.as_ref().is_some_and(|(name, _)| name == "often") && run.scheduled > started)
            .then_some(runs)
    });
    let of = |name: &str| runs.iter().filter(|run| who_ran(&[(*run).clone()]) == [name]).collect::<Vec<_>>();
    assert!(of("once").iter().any(|run| run.scheduled == once), "{runs:?}");
    // A stop may cut a first run, which then comes again; none of the times that were missed later does.
    let late = of("often").iter().filter(|run| run.at >= started && run.scheduled <= started).count();
    assert!(late <= 1, "what was missed since {before} was made up more than once: {runs:?}");
    assert!(runs.iter().all(|run| run.retries == 0), "{runs:?}");
}

fn sc_11_what_is_due_runs_in_the_order_of_time_the_alarm_first_then_by_name() {
    let at = |time: u64| json!({"at": time});
    let object = ahead_of_the_alarm(|ms| {
        let object = fresh();
        let time = now() + ms;
        let outcomes = object.run(json!([
            set("z", &at(time - 1)),
            {"set": time},
            set("b", &at(time)),
            set("a", &at(time)),
            set("0", &at(time + 1)),
            "now",
        ]));
        // A time that has passed becomes the present.
        (outcomes[5].as_u64()? < time - 1).then_some(object)
    });
    let runs = object.wait_for_ends(5);
    assert_eq!(who_ran(&runs), ["z", "alarm", "a", "b", "0"], "{runs:?}");
}

fn sc_10_one_run_of_the_object_at_a_time() {
    let object = fresh().script_all(json!([]), json!([{"wait": 50}]));
    object.run(json!([set("a", &soon()), set("b", &soon()), {"set-in": 0}]));
    object.wait_for_ends(3);
    assert_eq!(object.journal(), [["alarm began", "alarm ended"]; 3].concat());
}

fn sc_12_within_its_run_an_entry_that_comes_once_is_gone_and_may_be_set_anew() {
    let list = json!({"named": {"list": ["", null, 9]}});
    let far = json!({"at": now() + FAR_MS});
    let delete = json!({"named": {"delete": "a"}});
    let object = fresh().script(json!([[get("a"), list, delete, set("a", &far), get("a")]]));
    object.run(json!([set("a", &soon())]));
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!(run.outcomes.as_array().expect("outcomes")[..3], [Value::Null, json!([]), json!(false)]);
    assert_eq!(run.outcomes[4]["trigger"], far);
    assert_eq!(object.entry("a")["trigger"], far);
}

fn sc_12_within_its_run_an_entry_that_repeats_shows_its_next_time() {
    let object = fresh().script(json!([["now", get("a"), set("a", &every()), get("a")]]));
    let first = set_for(&object, "a", &every());
    let run = object.wait_for_ends(1).remove(0);
    let shown = next(&run.outcomes[1]);
    assert!(Some(shown) > run.outcomes[0].as_u64(), "{run:?}");
    assert_eq!((shown - first) % INTERVAL_MS, 0);
    // Setting what is stored changes nothing here either (SC-7).
    assert_eq!((next(&run.outcomes[3]) - first) % INTERVAL_MS, 0);
}

fn sc_13_times_that_pass_during_a_run_are_made_up_by_none() {
    let object = fresh().script(json!([[{"wait": 2200}, "now"]]));
    let first = set_for(&object, "a", &every());
    object.wait_for_ends(1);
    let runs = object.wait_for_ends(2);
    let ended = runs[0].outcomes[1].as_u64().expect("a time");
    assert!(runs[1].scheduled > ended, "it ran for a time that passed during the run before: {runs:?}");
    assert_eq!((runs[1].scheduled - first) % INTERVAL_MS, 0);
}

fn sc_14_a_run_that_fails_is_tried_again_and_keeps_its_time() {
    let object = Waking::on(quick_node()).script(json!([[{"fail": "no"}], ["trap"]]));
    let time = set_for(&object, "a", &soon());
    let runs = object.wait_for_ends(1);
    assert_eq!(retries(&runs), [0, 1, 2]);
    for run in &runs {
        let told = (run.scheduled, run.is_retry, run.entry.clone());
        assert_eq!(told, (time, run.retries > 0, Some(("a".to_owned(), "p".to_owned()))));
    }
    eventually("the entry is gone", || (object.entries() == json!([])).then_some(()));
}

fn sc_14_an_entry_that_comes_once_is_given_up_after_seven_runs() {
    let object = Waking::on(quick_node()).script_all(json!([]), json!([{"note": "kept"}, {"fail": "no"}]));
    set_for(&object, "a", &soon());
    object.wait_for_begins(7);
    // Within its last run the entry is gone as well.
    object.wait_until_cleared();
    wait_until_past(quick_node(), now());
    assert_eq!(retries(&object.runs()), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(object.journal().iter().filter(|line| *line == "kept").count(), 7);
}

fn sc_14_an_entry_that_repeats_goes_on_after_it_was_given_up() {
    let fails = json!([{"fail": "no"}]);
    let object = Waking::on(quick_node()).script(json!([fails, fails, fails, fails, fails, fails, fails]));
    let first = set_for(&object, "a", &every());
    let runs = object.wait_for_ends(1);
    assert_eq!(retries(&runs), [0, 1, 2, 3, 4, 5, 6, 0]);
    assert!(runs[..7].iter().all(|run| run.scheduled == first), "{runs:?}");
    assert!(runs[7].scheduled > runs[6].at, "{runs:?}");
    assert_eq!((runs[7].scheduled - first) % INTERVAL_MS, 0, "{runs:?}");
}

fn sc_14_a_try_that_waits_holds_back_neither_the_alarm_nor_other_entries() {
    // The others are to be set and run before the try comes.
    with_growing_times([1000, 3000, 7000], |retry_wait| {
        let node = TestNode::with(TestConfig::with_limits(|limits| limits.alarm_retry_wait = retry_wait));
        let object = Waking::on(&node).script(json!([[{"fail": "no"}]]));
        set_for(&object, "a", &soon());
        object.wait_for_begins(1);
        let waits = || Some(object.entry("a")).filter(|entry| !entry.is_null());
        eventually("the run has failed", waits);
        object.run(json!([{"set-in": 0}, set("b", &soon())]));
        let runs = object.wait_for_ends(3);
        assert_eq!((who_ran(&runs), retries(&runs)), (vec!["a", "alarm", "b", "a"], vec![0, 0, 0, 1]));
    });
}

fn sc_14_a_run_that_fails_holds_back_no_entry_that_is_due_at_the_same_time() {
    // The other one is to run before the try comes.
    with_growing_times([1000, 3000, 7000], |retry_wait| {
        let node = TestNode::with(TestConfig::with_limits(|limits| limits.alarm_retry_wait = retry_wait));
        let object = ahead_of_the_alarm(|ms| {
            let object = Waking::on(&node).script(json!([[{"fail": "no"}]]));
            let time = now() + ms;
            let at = json!({"at": time});
            let outcomes = object.run(json!([set("a", &at), set("b", &at), "now"]));
            (outcomes[2].as_u64()? < time).then_some(object)
        });
        let runs = object.wait_for_ends(2);
        assert_eq!((who_ran(&runs), retries(&runs)), (vec!["a", "b", "a"], vec![0, 0, 1]));
        let held_back = Duration::from_millis(runs[1].at - runs[0].at);
        assert!(held_back < retry_wait, "it waited for {held_back:?}: {runs:?}");
    });
}

fn sc_15_an_entry_that_is_set_while_a_retry_waits_replaces_it() {
    let object = Waking::on(patient_node()).script(json!([[{"fail": "no"}]]));
    set_for(&object, "a", &soon());
    object.wait_for_begins(1);
    eventually("the run has failed", || Some(object.entry("a")).filter(|entry| !entry.is_null()));
    let second = set_for(&object, "a", &json!({"in": 300}));
    let run = object.wait_for_ends(1).remove(1);
    assert_eq!((run.scheduled, run.retries, run.is_retry), (second, 0, false));
    eventually("the entry is gone", || (object.entries() == json!([])).then_some(()));
    assert_eq!(object.runs().len(), 2);
}

fn sc_15_what_a_failing_run_has_set_stands() {
    let object = Waking::on(quick_node()).script(json!([[set("a", &json!({"in": 300})), {"fail": "no"}]]));
    let first = set_for(&object, "a", &soon());
    let runs = object.wait_for_ends(1);
    assert_eq!(retries(&runs), [0, 0]);
    assert!(runs[1].scheduled >= first + 300, "{runs:?}");
}

fn sc_15_an_entry_that_is_set_from_outside_during_a_run_comes_once_more() {
    let object = Waking::on(socket_node()).script(json!([[{"until": "go"}]]));
    let time = set_for(&object, "a", &soon());
    object.wait_for_begins(1);
    object.run(json!([set("a", &json!({"at": time})), {"put": "go"}]));
    let runs = object.wait_for_ends(2);
    assert_eq!((runs.len(), retries(&runs)), (2, vec![0, 0]));
    eventually("the entry is gone", || (object.entries() == json!([])).then_some(()));
}

fn sc_16_a_failing_run_whose_entry_was_deleted_is_not_tried_again() {
    let delete = json!({"named": {"delete": "a"}});
    for when in [soon(), every()] {
        let object = Waking::on(quick_node()).script(json!([[delete, {"note": "deleted"}, {"fail": "no"}]]));
        set_for(&object, "a", &when);
        object.wait_for_begins(1);
        object.wait_until_cleared();
        // The first retry would come after 25 ms at most, the next run after a second.
        wait_until_past(quick_node(), now() + 100);
        assert_eq!((object.runs().len(), object.entries()), (1, json!([])));
        assert_eq!(object.journal(), ["alarm began", "deleted"]);
    }
}

fn sc_18_an_entry_whose_last_commit_fails_runs_again() {
    let object = Waking::on(quick_node());
    object.run(json!([]));
    let hooks = quick_node().hooks(&object.object);
    // The entry and the run's row are durable, the run's end is not.
    [Committed, Committed, refused()].into_iter().for_each(|outcome| hooks.plan_fault(Answer(outcome)));
    object.run(json!([set("a", &soon())]));
    let runs = object.wait_for_ends(1);
    assert_eq!((retries(&runs), who_ran(&runs)), (vec![0, 0], vec!["a", "a"]));
    assert_eq!(runs[0].outcomes, json!(null), "what the first try wrote at its end was not undone");
    eventually("the entry is gone", || (object.entries() == json!([])).then_some(()));
}

fn sc_19_a_run_that_removes_everything_ends_and_its_entry_does_not_come_back() {
    for when in [soon(), every()] {
        let object = fresh().script(json!([["delete-all"]]));
        object.run(json!([set("a", &when)]));
        object.wait_for_ends(1);
        wait_until_past(node(), now());
        assert_eq!((object.journal(), object.entries()), (vec!["alarm ended".to_owned()], json!([])));
    }
}

fn sc_23_past_runs_are_shown_by_name_newest_first() {
    let object = Waking::on(quick_node()).script(json!([[{"fail": "no"}]]));
    let time = set_for(&object, "a", &soon());
    object.wait_for_ends(1);
    eventually("the entry is gone", || (object.entries() == json!([])).then_some(()));
    let alarm = object.set(json!({"set-in": 0}));
    object.wait_for_ends(2);
    object.wait_until_cleared();
    let history = |name: &str| json!({"named": {"history": name}});
    let outcomes = object.run(json!([history("a"), {"named": "alarm-history"}, history("b")]));
    let failed = json!([time, 0, "failed", "no"]);
    assert_eq!(outcomes[0], json!([[time, 1, "succeeded", null], failed]));
    assert_eq!(outcomes[1..], [json!([[alarm, 0, "succeeded", null]]), json!([])]);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    sc_2_and_sc_10_an_entry_that_comes_once_runs_at_its_time_or_later_and_is_gone,
    sc_3_an_entry_that_repeats_keeps_its_steps,
    sc_4_and_sc_10_an_entry_with_a_cron_rule_runs_when_its_minute_comes_and_goes_on,
    sc_10_an_entry_wakes_an_object_that_has_left_memory,
    sc_10_and_sc_13_what_fell_due_while_the_node_was_down_runs_once_after_its_start,
    sc_10_one_run_of_the_object_at_a_time,
    sc_11_what_is_due_runs_in_the_order_of_time_the_alarm_first_then_by_name,
    sc_12_within_its_run_an_entry_that_comes_once_is_gone_and_may_be_set_anew,
    sc_12_within_its_run_an_entry_that_repeats_shows_its_next_time,
    sc_13_times_that_pass_during_a_run_are_made_up_by_none,
    sc_14_a_run_that_fails_is_tried_again_and_keeps_its_time,
    sc_14_an_entry_that_comes_once_is_given_up_after_seven_runs,
    sc_14_an_entry_that_repeats_goes_on_after_it_was_given_up,
    sc_14_a_try_that_waits_holds_back_neither_the_alarm_nor_other_entries,
    sc_14_a_run_that_fails_holds_back_no_entry_that_is_due_at_the_same_time,
    sc_15_an_entry_that_is_set_while_a_retry_waits_replaces_it,
    sc_15_what_a_failing_run_has_set_stands,
    sc_15_an_entry_that_is_set_from_outside_during_a_run_comes_once_more,
    sc_16_a_failing_run_whose_entry_was_deleted_is_not_tried_again,
    sc_18_an_entry_whose_last_commit_fails_runs_again,
    sc_19_a_run_that_removes_everything_ends_and_its_entry_does_not_come_back,
    sc_23_past_runs_are_shown_by_name_newest_first,
];
