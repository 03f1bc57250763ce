//! Runs of the alarm that fail, and what becomes of them (AL-10 to AL-12, AL-14, AL-15, AL-17 to AL-19, AL-23,
//! AL-25).
//!
//! The waits between tries are bounded from below here; exact ones, and the faults that are not counted, are
//! simulated.

use std::sync::OnceLock;
use std::time::Duration;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Answer;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::{TestConfig, fresh_name};
use crate::{TestNode, eventually, guest, guest_log};

use super::growing_times::with_growing_times;
use super::outcomes::refused;
use super::waking::{FAR_MS, RETRY_WAIT, Run, Waking, now, quick_retries, wait_until_past};

/// A node whose retries come soon, whose instances have little memory, and that has hooks.
pub fn quick_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        let mut config = quick_retries();
        config.limits.memory_bytes_max = 32 * 1024 * 1024;
        config.test_hooks = true;
        TestNode::with(config)
    })
}

/// A node whose retries come so late that no case sees them.
pub fn patient_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        let wait = Duration::from_millis(FAR_MS);
        TestNode::with(TestConfig::with_limits(|limits| limits.alarm_retry_wait = wait))
    })
}

fn fresh() -> Waking {
    Waking::on(quick_node())
}

fn retries(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.retries).collect()
}

fn c_216_a_handler_that_always_fails_runs_seven_times_and_is_given_up() {
    let object = fresh().script_all(json!([]), json!([{"fail": "no"}]));
    let time = object.set(json!({"set-in": 0}));
    let runs = object.wait_for_begins(7);
    object.wait_until_cleared();
    wait_until_past(quick_node(), now());
    let runs_at_last = object.runs();
    assert_eq!(runs_at_last, runs, "it was run again after it had been given up");
    assert_eq!(retries(&runs), [0, 1, 2, 3, 4, 5, 6]);
    for (number, pair) in runs.windows(2).enumerate() {
        let wait = u64::try_from(RETRY_WAIT.as_millis()).expect("short") << number;
        assert!(pair[1].at - pair[0].at >= wait, "retry {number} came after less than {wait} ms: {pair:?}");
    }
    for run in &runs {
        assert_eq!((run.scheduled, run.is_retry, run.alarm), (time, run.retries > 0, None), "{run:?}");
    }
}

fn c_217_a_handler_that_fails_twice_runs_three_times() {
    let object = fresh().script(json!([[{"fail": "no"}], [{"fail": "no"}]]));
    object.run(json!([{"set-in": 0}]));
    assert_eq!(retries(&object.wait_for_ends(1)), [0, 1, 2]);
    object.wait_until_cleared();
}

fn al_11_between_two_tries_the_alarm_is_the_time_that_was_set() {
    let object = Waking::on(patient_node()).script(json!([[{"fail": "no"}]]));
    let time = object.set(json!({"set-in": 0}));
    object.wait_for_begins(1);
    assert_eq!(eventually("the run has failed", || object.alarm()), time);
}

fn c_220_an_alarm_that_is_set_while_a_retry_waits_replaces_it() {
    let object = Waking::on(patient_node()).script(json!([[{"fail": "no"}]]));
    object.run(json!([{"set-in": 0}]));
    object.wait_for_begins(1);
    eventually("the run has failed", || object.alarm());
    let second = object.set(json!({"set-in": 300}));
    let run = object.wait_for_ends(1).remove(1);
    assert_eq!((run.scheduled, run.retries, run.is_retry), (second, 0, false));
    object.wait_until_cleared();
    assert_eq!(object.runs().len(), 2);
}

fn al_14_an_alarm_that_a_failing_run_has_set_replaces_the_retry() {
    let object = fresh().script(json!([["now", {"set-in": 300}, "get", {"fail": "no"}]]));
    let first = object.set(json!({"set-in": 0}));
    let runs = object.wait_for_ends(1);
    assert_eq!(retries(&runs), [0, 0]);
    assert!(runs[1].scheduled >= first + 300, "{runs:?}");
}

fn al_15_a_failing_run_that_deletes_the_alarm_is_not_tried_again() {
    let object = fresh().script(json!([["delete", {"note": "deleted"}, {"fail": "no"}]]));
    object.run(json!([{"set-in": 0}]));
    object.wait_for_begins(1);
    object.wait_until_cleared();
    // The first retry would come after 25 ms at most.
    wait_until_past(quick_node(), now() + 100);
    assert_eq!((object.runs().len(), object.alarm()), (1, None));
    assert_eq!(object.journal(), ["alarm began", "deleted"]);
}

fn c_227_what_a_failing_run_has_written_stays() {
    let count = json!([{"note": "written"}, {"sql": "SELECT count(*) FROM journal WHERE text = 'written'"}]);
    let fails = |text: &str| [count.as_array().expect("steps").clone(), vec![json!({"fail": text})]].concat();
    let object = fresh().script(json!([fails("no"), fails("no"), count]));
    object.run(json!([{"set-in": 0}]));
    assert_eq!(object.wait_for_ends(1)[2].outcomes, json!([null, [3]]));
}

fn al_19_a_run_that_abandons_its_alarm_is_not_tried_again() {
    let object = fresh().script(json!([[{"note": "undone"}, {"abandon": "enough"}]]));
    object.run(json!([{"set-in": 0}]));
    object.wait_for_begins(1);
    object.wait_until_cleared();
    wait_until_past(quick_node(), now() + 100);
    assert_eq!((object.runs().len(), object.journal()), (1, vec!["alarm began".to_owned()]));
}

fn al_10_an_alarm_whose_last_commit_fails_runs_again() {
    let object = fresh();
    object.run(json!([]));
    let hooks = quick_node().hooks(&object.object);
    // The alarm and the run's row are durable, the run's end is not.
    [Committed, Committed, refused()].into_iter().for_each(|outcome| hooks.plan_fault(Answer(outcome)));
    object.run(json!([{"set-in": 0}]));
    let runs = object.wait_for_ends(1);
    // The log is to blame and not the object, so the try does not count (AL-12).
    assert_eq!(retries(&runs), [0, 0]);
    assert_eq!(runs[0].outcomes, json!(null), "what the first try wrote at its end was not undone");
    object.wait_until_cleared();
}

fn c_230_a_run_that_lasts_too_long_is_cut_and_tried_again() {
    // The time is also that of what the first run does before it waits, and of the whole second one.
    with_growing_times([500, 2000, 8000], |run_timeout| {
        let mut config = quick_retries();
        config.limits.alarm_run_timeout = run_timeout;
        let node = TestNode::with(config);
        let object = Waking::on(&node).script(json!([[{"note": "kept"}, {"wait": FAR_MS}]]));
        object.run(json!([{"set-in": 0}]));
        object.wait_for_begins(2);
        let runs = object.wait_for_ends(1);
        assert_eq!(
            (retries(&runs), runs[0].start, runs[1].start),
            (vec![0, 1], 1, 2),
            "the object was not reset"
        );
        assert_eq!(object.journal(), ["alarm began", "kept", "alarm began", "alarm ended"]);
    });
}

fn c_231_the_error_of_a_run_is_in_the_log_with_the_object_and_reaches_no_client() {
    guest_log::collect();
    let text = fresh_name();
    let object = fresh().script(json!([[{"fail": text}]]));
    object.run(json!([{"set-in": 0}]));
    object.wait_for_ends(1);
    let line = eventually("the error is in the log", || guest_log::line_with(&text));
    let id = guest::ALARM.id("Alarm", object.object.segment());
    assert!(line.contains(&id), "{line}");
    assert_eq!(object.run(json!(["get"])), [json!(null)]);
}

fn b_22_every_way_to_die_in_a_run_counts_and_the_alarm_stays() {
    let ends = json!([["trap"], ["trap"], [{"abort": "x"}], ["exhaust"]]);
    let object = fresh().script(ends);
    object.run(json!([{"set-in": 0}]));
    let runs = object.wait_for_ends(1);
    assert_eq!(retries(&runs), [0, 1, 2, 3, 4]);
    let starts: Vec<u64> = runs.iter().map(|run| run.start).collect();
    assert_eq!(starts, [1, 2, 3, 4, 5], "a run did not end its instance");
    object.wait_until_cleared();
}

fn b_27_a_run_that_takes_all_memory_is_given_up_and_the_object_lives() {
    let object = fresh().script_all(json!([]), json!([{"note": "try"}, {"wait": 1}, "exhaust"]));
    object.run(json!([{"set-in": 0}]));
    let runs = object.wait_for_begins(7);
    object.wait_until_cleared();
    assert_eq!(retries(&runs), [0, 1, 2, 3, 4, 5, 6]);
    let tries = object.journal().iter().filter(|line| *line == "try").count();
    assert_eq!((tries, object.runs().len()), (7, 7));
    assert_eq!(object.run(json!([{"set-in": FAR_MS}, "delete", "get"]))[2], Value::Null);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_216_a_handler_that_always_fails_runs_seven_times_and_is_given_up,
    c_217_a_handler_that_fails_twice_runs_three_times,
    al_11_between_two_tries_the_alarm_is_the_time_that_was_set,
    c_220_an_alarm_that_is_set_while_a_retry_waits_replaces_it,
    al_14_an_alarm_that_a_failing_run_has_set_replaces_the_retry,
    al_15_a_failing_run_that_deletes_the_alarm_is_not_tried_again,
    c_227_what_a_failing_run_has_written_stays,
    al_19_a_run_that_abandons_its_alarm_is_not_tried_again,
    al_10_an_alarm_whose_last_commit_fails_runs_again,
    c_230_a_run_that_lasts_too_long_is_cut_and_tried_again,
    c_231_the_error_of_a_run_is_in_the_log_with_the_object_and_reaches_no_client,
    b_22_every_way_to_die_in_a_run_counts_and_the_alarm_stays,
    b_27_a_run_that_takes_all_memory_is_given_up_and_the_object_lives,
];
