//! The object's alarm: setting it, its run, what of it belongs to the turn (AL-1 to AL-10, AL-14 to AL-16, AL-24).
//!
//! Runs that fail are in `alarm_retries`, what the node does meanwhile in `alarm_wakes`. Exact times are simulated.

use std::thread;

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Hold;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest;
use crate::node::fresh_name;

use super::outcomes::{answered_after_the_commit, wait_until_held};
use super::standing::{hooked_node, lasting_node, node, socket_node};
use super::waking::{FAR_MS, Run, Waking, ahead_of_the_alarm, now, wait_until_past};

fn fresh() -> Waking {
    Waking::on(node())
}

fn scheduled(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.scheduled).collect()
}

fn assert_refused(outcome: &Value, text: &str) {
    let error = &outcome["error"];
    assert_eq!(
        (&error["name"], &error["code"]),
        (&json!("TypeError"), &json!("invalid-argument")),
        "{outcome}"
    );
    assert!(error["message"].as_str().is_some_and(|message| message.contains(text)), "{outcome}");
}

fn c_207_an_alarm_runs_once_at_its_time_or_later_and_is_gone() {
    let object = fresh();
    let time = object.set(json!({"set-in": 100}));
    let run = object.wait_for_ends(1).remove(0);
    assert!(run.at >= time, "it ran {} ms early", time - run.at);
    object.wait_until_cleared();
    wait_until_past(node(), now());
    assert_eq!(scheduled(&object.runs()), [time]);
}

fn c_208_a_date_is_the_same_as_its_milliseconds() {
    let object = fresh();
    let time = now() + FAR_MS;
    assert_eq!(object.run(json!([{"set-date": time}, "get"])), [json!(null), json!(time)]);
}

fn c_209_times_that_no_date_has_are_refused() {
    let object = fresh();
    let far = now() + FAR_MS;
    // What is before the epoch becomes the epoch in the SDK, and nothing that is no number has a form.
    let steps = json!([{"set": far}, {"set": 0}, {"set-date": -5}, {"set": 7_000_000_000_000_u64}, "get"]);
    let outcomes = object.run(steps);
    assert_refused(&outcomes[1], "setAlarm() cannot be called with an alarm time <= 0");
    assert_refused(&outcomes[2], "alarm time <= 0");
    assert_refused(&outcomes[3], "doesn't support dates after 2189");
    assert_eq!(outcomes[4], json!(far), "a refused time has replaced the alarm");
}

fn c_210_a_past_time_means_now() {
    let object = fresh();
    let outcomes = object.run(json!(["now", {"set": now() - 60_000}, "get", "now"]));
    let [before, set, after] = [0, 2, 3].map(|step: usize| outcomes[step].as_u64().expect("a time"));
    assert!(before <= set && set <= after, "{outcomes:?}");
    assert_eq!(scheduled(&object.wait_for_ends(1)), [set]);
}

fn c_211_a_later_time_replaces_an_earlier_one() {
    let runs = ahead_of_the_alarm(|ms| {
        let object = fresh();
        let first = object.set(json!({"set-in": ms}));
        let outcomes = object.run(json!(["get", {"set-in": ms + 200}, "get"]));
        (outcomes[0] == json!(first)).then(|| (object.wait_for_ends(1), outcomes[2].clone()))
    });
    assert_eq!(json!(scheduled(&runs.0)), json!([runs.1]));
}

fn c_212_an_earlier_time_replaces_a_later_one() {
    let object = fresh();
    object.run(json!([{"set-in": FAR_MS}]));
    let second = object.set(json!({"set-in": 100}));
    assert_eq!(scheduled(&object.wait_for_ends(1)), [second]);
    object.wait_until_cleared();
}

fn c_213_a_deleted_alarm_never_runs() {
    let object = ahead_of_the_alarm(|ms| {
        let object = fresh();
        let time = object.set(json!({"set-in": ms}));
        let outcomes = object.run(json!(["get", "delete", "get", "delete"]));
        (outcomes[0] == json!(time)).then(|| {
            assert_eq!(outcomes[1..], [json!(null), json!(null), json!(null)]);
            wait_until_past(node(), time);
            object
        })
    });
    assert_eq!(object.runs(), []);
}

fn c_214_the_first_run_is_no_retry_and_knows_the_time_that_was_set() {
    let object = fresh();
    let time = object.set(json!({"set-in": 0}));
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.retries, run.is_retry, run.scheduled), (0, false, time));
}

fn c_215_within_a_run_no_alarm_is_set_unless_the_run_has_set_one() {
    let far = now() + FAR_MS;
    let object = fresh().script(json!([["get", {"set": far}, "get"]]));
    object.run(json!([{"set-in": 0}]));
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.alarm, run.outcomes), (None, json!([null, null, far])));
    assert_eq!(object.alarm(), Some(far));
}

fn c_218_a_run_sets_the_next_alarm() {
    let object = fresh().script(json!([[{"set-in": 100}, "get"]]));
    object.run(json!([{"set-in": 0}]));
    let runs = object.wait_for_ends(2);
    assert_eq!(json!(runs[1].scheduled), runs[0].outcomes[1]);
    assert_eq!((runs[1].retries, runs[1].is_retry), (0, false));
    object.wait_until_cleared();
}

fn c_219_a_run_deletes_what_it_has_set() {
    let object = fresh().script(json!([[{"set-in": 50}, "delete", "now"]]));
    object.run(json!([{"set-in": 0}]));
    let run = object.wait_for_ends(1).remove(0);
    wait_until_past(node(), run.outcomes[2].as_u64().expect("a time") + 50);
    assert_eq!(object.runs().len(), 1);
    assert_eq!(object.alarm(), None);
}

fn c_221_an_alarm_that_is_undone_with_its_turn_never_runs() {
    for end in [json!("trap"), json!({"abort": "on purpose"})] {
        let object = fresh();
        object.run(json!([]));
        object.fails(json!([{"set-in": 50}, end]));
        wait_until_past(node(), now() + 50);
        assert_eq!(object.runs(), []);
        assert_eq!(object.alarm(), None);
    }
}

fn c_222_an_alarm_that_is_undone_with_its_transaction_leaves_the_older_one() {
    let object = fresh();
    let outcomes = object.run(json!([{"set-in": 300}, "get", {"undone": [{"set-in": 50}]}, "get"]));
    assert_eq!((&outcomes[2]["error"]["message"], &outcomes[3]), (&json!("no"), &outcomes[1]));
    assert_eq!(json!(scheduled(&object.wait_for_ends(1))), json!([outcomes[1]]));
    let far = now() + FAR_MS;
    object.run(json!([{"set": far}]));
    object.run(json!([{"undone": [{"set-in": 50}, "delete"]}]));
    assert_eq!(object.alarm(), Some(far));
}

fn c_205_an_alarm_is_seen_in_a_transaction_over_a_wait_and_undone_with_it() {
    let object = fresh();
    let far = now() + FAR_MS;
    object.run(json!([{"set": far}]));
    let outcomes = object.run(json!([{"set-and-roll-back": [far + 1, 20]}, "get"]));
    assert_eq!(outcomes, [json!(far + 1), json!(far)]);
    object.run(json!(["delete", {"set-and-roll-back": [far, 1]}]));
    assert_eq!(object.alarm(), None);
    // One that is due when it is set never runs.
    object.run(json!([{"set-and-roll-back": [1, 100]}]));
    wait_until_past(node(), now());
    assert_eq!(object.runs(), []);
}

fn c_194_a_transaction_that_fails_undoes_its_row_its_key_and_its_alarm() {
    let object = fresh();
    let transaction =
        json!([{"sql": "INSERT INTO journal (text) VALUES ('in')"}, {"put": "k"}, {"set-in": FAR_MS}]);
    let outcomes = object.run(json!([{"note": "before"}, {"undone": transaction}, {"has": "k"}, "get"]));
    assert_eq!(outcomes[1]["error"]["message"], json!("no"));
    assert_eq!(outcomes[2..], [json!(false), json!(null)]);
    assert_eq!(object.journal(), ["before"]);
}

fn c_071_a_trap_undoes_rows_keys_and_alarm_of_its_turn() {
    let object = fresh();
    object.run(json!([]));
    object
        .fails(json!([{"note": "row"}, {"put": "k"}, {"set-in": FAR_MS}, "trap"]))
        .assert_reset("guest-trapped");
    assert_eq!(object.run(json!([{"has": "k"}, "get"])), [json!(false), json!(null)]);
    assert_eq!(object.journal(), Vec::<String>::new());
}

fn c_048_an_alarm_that_is_committed_runs_after_an_abort() {
    let object = ahead_of_the_alarm(|ms| {
        let object = fresh();
        object.run(json!([{"set-in": ms}]));
        let stood = object.alarm().is_some();
        object.fails(json!([{"abort": "on purpose"}])).assert_reset("object-aborted");
        stood.then_some(object)
    });
    // One that was under way when the object was reset begins twice.
    object.wait_for_ends(1);
    assert_eq!(object.journal().last().map(String::as_str), Some("alarm ended"));
}

fn c_228_a_class_without_a_handler_sets_no_alarm() {
    let object = node().fresh(guest::ALARM, "Silent");
    let error = object.fails("set", json!([]));
    error.assert_says("Your Durable Object class must have an alarm() handler in order to call setAlarm()");
    assert_eq!((error.name.as_str(), object.ok("get", json!([]))), ("TypeError", json!(null)));
}

fn al_13_an_alarm_without_a_handler_is_dropped_at_its_time() {
    let object = lasting_node().object(guest::ALARM, "Silent", &format!("sets-{}", fresh_name()));
    assert!(object.ok("set_at_start", json!([])).is_u64());
    crate::eventually("the alarm is dropped", || object.ok("get", json!([])).is_null().then_some(()));
}

fn c_229_a_run_waits_for_a_critical_section_and_for_the_run_before_it() {
    let [object, latch] = std::array::from_fn(|_| Waking::on(socket_node()));
    let object = object.script(json!([[{"wait": 50}], [{"until": "go"}]]));
    latch.run(json!([]));
    thread::scope(|scope| {
        let section = scope.spawn(|| object.run(json!([{"due-in-section": latch.object.segment()}])));
        crate::eventually("the alarm is due", || (latch.journal() == ["the alarm is due"]).then_some(()));
        wait_until_past(socket_node(), now());
        latch.run(json!([{"note": "go"}]));
        assert_eq!(section.join().expect("a client panicked"), [json!(null)]);
    });
    object.wait_for_ends(1);
    let first = ["section began", "section ended", "alarm began", "alarm ended"];
    assert_eq!(object.journal(), first);
    object.run(json!([{"set-in": 0}]));
    object.wait_for_begins(2);
    let time = object.set(json!({"set-in": 0}));
    wait_until_past(socket_node(), time);
    object.run(json!([{"put": "go"}]));
    object.wait_for_ends(3);
    let pairs = object.journal().split_off(2);
    assert_eq!(pairs, [["alarm began", "alarm ended"]; 3].concat());
}

fn al_16_the_same_time_set_during_a_run_is_one_more_run() {
    let object = Waking::on(socket_node()).script(json!([[{"until": "go"}]]));
    let time = object.set(json!({"set-in": 0}));
    object.wait_for_begins(1);
    object.run(json!([{"set": time}, {"put": "go"}]));
    let runs = object.wait_for_ends(2);
    assert_eq!((runs.len(), runs[1].retries, runs[1].is_retry), (2, 0, false));
}

fn c_233_a_turn_sees_what_it_has_set() {
    let object = fresh();
    let far = now() + FAR_MS;
    assert_eq!(object.run(json!([{"set": far}, "get"])), [json!(null), json!(far)]);
    assert_eq!(object.run(json!(["delete", "get"])), [json!(null), json!(null)]);
}

fn al_24_setting_the_time_that_is_set_takes_no_commit() {
    let object = Waking::on(hooked_node());
    let far = now() + FAR_MS;
    object.run(json!([{"set": far}]));
    let hooks = hooked_node().hooks(&object.object);
    hooks.plan_fault(Hold);
    object.run(json!([{"set": far}, "get"]));
    assert_eq!(hooks.held_commits(), 0);
}

fn al_24_answers_wait_for_an_alarm_that_is_confirmed_and_for_no_other() {
    let object = Waking::on(hooked_node());
    object.run(json!([]));
    let hooks = hooked_node().hooks(&object.object);
    let far = now() + FAR_MS;
    answered_after_the_commit(&hooks, || object.run(json!([{"set": far}])), || ());
    hooks.plan_fault(Hold);
    object.run(json!([{"set-unconfirmed": far + 1}]));
    wait_until_held(&hooks);
    assert_eq!(object.alarm(), Some(far + 1));
    assert!(hooks.answer_held(Committed), "a commit is held");
}

fn c_189_an_alarm_goes_with_everything_that_is_stored() {
    let object = ahead_of_the_alarm(|ms| {
        let object = fresh();
        let time = object.set(json!({"set-in": ms}));
        let outcomes = object.run(json!(["get", "delete-all", "get"]));
        (outcomes[0] == json!(time)).then(|| {
            assert_eq!(outcomes[2], json!(null));
            wait_until_past(node(), time);
            object
        })
    });
    assert_eq!((object.runs(), object.alarm()), (vec![], None));
}

fn kv_16_an_alarm_that_is_set_after_everything_was_removed_stands() {
    let object = fresh();
    object.run(json!([{"set-in": FAR_MS}]));
    let outcomes = object.run(json!(["delete-all", {"set-in": 50}, "get"]));
    assert_eq!(json!(scheduled(&object.wait_for_ends(1))), json!([outcomes[2]]));
}

fn kv_17_a_run_that_removes_everything_ends_and_does_not_come_again() {
    let object = fresh().script(json!([["delete-all"]]));
    object.run(json!([{"set-in": 0}]));
    object.wait_for_ends(1);
    wait_until_past(node(), now());
    assert_eq!((object.journal(), object.alarm()), (vec!["alarm ended".to_owned()], None));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_207_an_alarm_runs_once_at_its_time_or_later_and_is_gone,
    c_208_a_date_is_the_same_as_its_milliseconds,
    c_209_times_that_no_date_has_are_refused,
    c_210_a_past_time_means_now,
    c_211_a_later_time_replaces_an_earlier_one,
    c_212_an_earlier_time_replaces_a_later_one,
    c_213_a_deleted_alarm_never_runs,
    c_214_the_first_run_is_no_retry_and_knows_the_time_that_was_set,
    c_215_within_a_run_no_alarm_is_set_unless_the_run_has_set_one,
    c_218_a_run_sets_the_next_alarm,
    c_219_a_run_deletes_what_it_has_set,
    c_221_an_alarm_that_is_undone_with_its_turn_never_runs,
    c_222_an_alarm_that_is_undone_with_its_transaction_leaves_the_older_one,
    c_205_an_alarm_is_seen_in_a_transaction_over_a_wait_and_undone_with_it,
    c_194_a_transaction_that_fails_undoes_its_row_its_key_and_its_alarm,
    c_071_a_trap_undoes_rows_keys_and_alarm_of_its_turn,
    c_048_an_alarm_that_is_committed_runs_after_an_abort,
    c_228_a_class_without_a_handler_sets_no_alarm,
    al_13_an_alarm_without_a_handler_is_dropped_at_its_time,
    c_229_a_run_waits_for_a_critical_section_and_for_the_run_before_it,
    al_16_the_same_time_set_during_a_run_is_one_more_run,
    c_233_a_turn_sees_what_it_has_set,
    c_189_an_alarm_goes_with_everything_that_is_stored,
    kv_16_an_alarm_that_is_set_after_everything_was_removed_stands,
    kv_17_a_run_that_removes_everything_ends_and_does_not_come_again,
    al_24_setting_the_time_that_is_set_takes_no_commit,
    al_24_answers_wait_for_an_alarm_that_is_confirmed_and_for_no_other,
];
