//! Named alarms as what is stored: what may be set, what is seen of it, what of it belongs to the turn (SC-1 to SC-5,
//! SC-7 to SC-9, SC-18, SC-19).
//!
//! Their runs are in `schedule_runs`. The times of cron rules, days on which clocks change, and the bounds on
//! numbers of entries are unit tests.

use durabo_server::AppendOutcome::Committed;
use durabo_server::CommitFault::Hold;
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest;
use crate::node::fresh_name;

use super::outcomes::{answered_after_the_commit, wait_until_held};
use super::standing::{hooked_node, lasting_node, node};
use super::waking::{FAR_MS, Waking, get_entry as get, now, set_entry as set, wait_until_past};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

fn fresh() -> Waking {
    Waking::on(node())
}

fn delete(name: &str) -> Value {
    json!({"named": {"delete": name}})
}

fn every(ms: u64) -> Value {
    json!({"every": ms})
}

fn next(entry: &Value) -> u64 {
    entry["next"].as_u64().unwrap_or_else(|| panic!("an entry was expected, not {entry}"))
}

#[track_caller]
fn assert_refused(outcome: &Value, (name, code): (&str, &str), text: &str) {
    let error = &outcome["error"];
    assert_eq!((&error["name"], &error["code"]), (&json!(name), &json!(code)), "{outcome}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(text)), "{outcome}");
}

const INVALID: (&str, &str) = ("TypeError", "invalid-argument");
const TOO_LARGE: (&str, &str) = ("RangeError", "limit-exceeded");

fn sc_1_names_and_payloads_that_are_too_large_are_refused_and_change_nothing() {
    let object = fresh();
    let (longest, too_long) = ("n".repeat(256), "n".repeat(257));
    let large = |size: usize| json!({"named": {"set-large": ["a", size]}});
    let before = object.run(json!([large(65_536), set(&longest, &every(HOUR_MS)), get("a")]));
    let outcomes = object.run(json!([
        set("", &every(HOUR_MS)),
        set(&too_long, &every(HOUR_MS)),
        get(""),
        delete(&too_long),
        large(65_537),
        get("a"),
    ]));
    assert_refused(&outcomes[0], INVALID, "1 to 256 bytes, not 0");
    assert_refused(&outcomes[1], INVALID, "not 257");
    assert_refused(&outcomes[2], INVALID, "not 0");
    assert_refused(&outcomes[3], INVALID, "not 257");
    assert_refused(&outcomes[4], TOO_LARGE, "65537 bytes, the limit is 65536");
    assert_eq!(outcomes[5], before[2]);
    assert_eq!(object.entries(), json!(["a", longest]));
}

fn sc_2_times_that_no_date_has_are_refused_and_a_past_one_means_now() {
    let object = fresh();
    let far = now() + FAR_MS;
    let outcomes = object.run(json!([
        set("a", &json!({"at": far})),
        set("a", &json!({"at": 0})),
        set("a", &json!({"at": 7_000_000_000_000_u64})),
        get("a"),
    ]));
    assert_refused(&outcomes[1], INVALID, "<= 0");
    assert_refused(&outcomes[2], INVALID, "doesn't support dates after 2189");
    assert_eq!(outcomes[3], json!({"name": "a", "trigger": {"at": far}, "payload": "p", "next": far}));
    let outcomes = object.run(json!(["now", set("past", &json!({"at": 5})), get("past"), "now"]));
    let (before, after) = (outcomes[0].as_u64(), outcomes[3].as_u64());
    let time = next(&outcomes[2]);
    assert!(before <= Some(time) && Some(time) <= after, "{outcomes:?}");
    assert_eq!(outcomes[2]["trigger"], json!({"at": 5}));
    assert_eq!(object.wait_for_ends(1)[0].scheduled, time);
}

fn sc_3_an_interval_begins_when_it_is_set_and_has_a_second_to_a_hundred_years() {
    let object = fresh();
    let hundred_years = 100 * 365 * 24 * HOUR_MS;
    let steps = json!([
        "now",
        set("a", &every(HOUR_MS)),
        get("a"),
        "now",
        set("b", &every(999)),
        set("b", &every(hundred_years + 1)),
        set("longest", &every(hundred_years)),
        get("longest"),
    ]);
    let outcomes = object.run(steps);
    let (before, after) = (outcomes[0].as_u64().expect("a time"), outcomes[3].as_u64().expect("a time"));
    assert!((before + HOUR_MS..=after + HOUR_MS).contains(&next(&outcomes[2])), "{outcomes:?}");
    assert_eq!(outcomes[2]["trigger"], every(HOUR_MS));
    assert_refused(&outcomes[4], INVALID, "not 999");
    assert_refused(&outcomes[5], INVALID, "an interval is 1000 ms to 3153600000000 ms long");
    assert_eq!(outcomes[7]["trigger"], every(hundred_years));
}

fn sc_4_a_cron_rule_names_the_next_time_and_what_is_none_is_refused() {
    let object = fresh();
    let outcomes = object.run(json!(["now", set("a", &json!({"cron": "7 * * * *"})), get("a"), "now"]));
    let (before, after) = (outcomes[0].as_u64().expect("a time"), outcomes[3].as_u64().expect("a time"));
    let hourly = next(&outcomes[2]);
    assert_eq!(hourly % HOUR_MS, 7 * MINUTE_MS);
    assert!(hourly > before && hourly <= after + HOUR_MS, "{outcomes:?}");
    assert_eq!(outcomes[2]["trigger"], json!({"cron": "7 * * * *", "in": null}));
    for rule in ["", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* * L * *", "* * * * 5#2"] {
        let refused = object.run(json!([set("a", &json!({"cron": rule})), get("a")]));
        assert_refused(&refused[0], INVALID, "is no cron rule");
        assert_eq!(refused[1], outcomes[2], "a refused rule has replaced the entry");
    }
    let never = object.run(json!([set("a", &json!({"cron": "0 0 30 feb *"}))]));
    assert_refused(&never[0], INVALID, "names no time in the next 100 years");
}

fn sc_5_a_rule_is_read_in_its_time_zone_and_an_unknown_one_is_refused() {
    let object = fresh();
    let noon = |zone: &str| {
        let outcomes = object.run(json!([set("a", &json!({"cron-in": ["0 12 * * *", zone]})), get("a")]));
        assert_eq!(outcomes[1]["trigger"], json!({"cron": "0 12 * * *", "in": zone}));
        next(&outcomes[1]) % (24 * HOUR_MS)
    };
    assert_eq!((noon("Etc/UTC"), noon("Asia/Tokyo")), (12 * HOUR_MS, 3 * HOUR_MS));
    for zone in ["Mars/Olympus", "+02:00", ""] {
        let outcomes = object.run(json!([set("b", &json!({"cron-in": ["0 12 * * *", zone]})), get("b")]));
        assert_refused(&outcomes[0], INVALID, "is no time zone of the IANA database");
        assert_eq!(outcomes[1], Value::Null);
    }
}

fn sc_7_setting_what_is_stored_takes_no_commit_and_starts_no_interval_anew() {
    let object = Waking::on(hooked_node());
    let first = object.run(json!([set("a", &every(HOUR_MS)), get("a")])).remove(1);
    let hooks = hooked_node().hooks(&object.object);
    hooks.plan_fault(Hold);
    let again = object.run(json!([set("a", &every(HOUR_MS)), get("a")]));
    assert_eq!((hooks.held_commits(), &again[1]), (0, &first));
}

fn sc_7_another_trigger_or_payload_replaces_the_entry() {
    let object = fresh();
    let first = object.run(json!([set("a", &every(HOUR_MS)), get("a")])).remove(1);
    let later = object.run(json!([set("a", &every(2 * HOUR_MS)), get("a")])).remove(1);
    assert!(next(&later) >= next(&first) + HOUR_MS, "{first} {later}");
    let other = json!({"named": {"set": ["a", every(2 * HOUR_MS), "other"]}});
    let replaced = object.run(json!([other, get("a")])).remove(1);
    assert_eq!((&replaced["payload"], &replaced["trigger"]), (&json!("other"), &later["trigger"]));
    assert!(next(&replaced) >= next(&later));
    assert_eq!(object.entries(), json!(["a"]));
}

fn sc_7_an_entry_that_each_constructor_sets_keeps_its_time() {
    let object = Waking::on(hooked_node());
    object.object.ok("script_start", json!([[set("a", &every(HOUR_MS))]]));
    let evict = || {
        hooked_node().hooks(&object.object).evict();
        object.object.wait_until_evicted();
    };
    evict();
    let first = object.entry("a");
    assert!(first.is_object(), "the constructor has set it");
    evict();
    assert_eq!(object.entry("a"), first);
    assert_eq!(object.alarms_at_start().len(), 3, "the object did not start anew");
}

fn sc_8_a_class_without_a_handler_sets_no_entry_save_in_its_constructor() {
    let object = node().fresh(guest::ALARM, "Silent");
    let error = object.fails("enter", json!([]));
    error.assert_says("must have a scheduled() handler in order to set a schedule");
    assert_eq!((error.name.as_str(), object.ok("entries", json!([]))), ("TypeError", json!([])));
}

fn sc_8_and_sc_17_without_a_handler_one_that_comes_once_is_dropped_and_one_that_repeats_goes_on() {
    let object = lasting_node().object(guest::ALARM, "Silent", &format!("enters-{}", fresh_name()));
    let first = object.ok("entries", json!([]));
    let often = |entries: &Value| entries.as_array()?.iter().find(|entry| entry[0] == "often")?[1].as_u64();
    let set_for = often(&first).unwrap_or_else(|| panic!("the constructor has set it: {first}"));
    let gone_on = crate::eventually("one is dropped and the other goes on", || {
        let entries = object.ok("entries", json!([]));
        let is_alone = entries.as_array().is_some_and(|entries| entries.len() == 1);
        often(&entries).filter(|next| is_alone && *next > set_for)
    });
    assert_eq!((gone_on - set_for) % 1000, 0, "the interval was shifted");
}

fn sc_9_entries_are_listed_by_name_with_prefix_start_and_limit() {
    let object = fresh();
    let names = ["b", "a", "ab", "ac", "B", "ä"];
    object.run(names.iter().map(|name| set(name, &every(HOUR_MS))).collect());
    let list =
        |prefix: &str, after: Option<&str>, limit: u32| json!({"named": {"list": [prefix, after, limit]}});
    let outcomes = object.run(json!([
        list("", None, 100),
        list("a", None, 100),
        list("a", Some("a"), 1),
        list("", Some("b"), 100),
        list("x", None, 1),
        list("", None, 0),
    ]));
    assert_eq!(outcomes[0], json!(["B", "a", "ab", "ac", "b", "ä"]));
    assert_eq!(outcomes[1..5], [json!(["a", "ab", "ac"]), json!(["ab"]), json!(["ä"]), json!([])]);
    assert_refused(&outcomes[5], INVALID, "List limit must be positive");
}

fn sc_16_deleting_tells_whether_the_entry_was_there_and_it_never_runs() {
    let object = fresh();
    let time = now() + 300;
    let outcomes =
        object.run(json!([set("a", &json!({"at": time})), delete("a"), delete("a"), get("a"), delete("b")]));
    assert_eq!(outcomes[1..], [json!(true), json!(false), Value::Null, json!(false)]);
    wait_until_past(node(), time);
    assert_eq!(object.runs(), []);
}

fn sc_18_an_entry_that_is_undone_with_its_turn_never_runs() {
    for end in [json!("trap"), json!({"abort": "on purpose"})] {
        let object = fresh();
        object.run(json!([]));
        object.fails(json!([set("a", &json!({"in": 50})), end]));
        wait_until_past(node(), now() + 50);
        assert_eq!((object.runs(), object.entries()), (vec![], json!([])));
    }
}

fn sc_18_an_entry_is_undone_with_its_transaction_and_the_older_one_stays() {
    let object = fresh();
    let older = object.run(json!([set("a", &every(HOUR_MS)), get("a")])).remove(1);
    let steps = json!([delete("a"), set("b", &json!({"in": 0}))]);
    let outcomes = object.run(json!([{"undone": steps}, get("a"), get("b")]));
    assert_eq!(outcomes[0]["error"]["message"], json!("no"));
    assert_eq!(outcomes[1..], [older.clone(), Value::Null]);
    // One that is due while the transaction waits never runs either.
    let outcomes = object.run(json!([{"rolled-back-after": [100, steps]}, get("a"), get("b")]));
    assert_eq!(outcomes, [Value::Null, older, Value::Null]);
    wait_until_past(node(), now());
    assert_eq!(object.runs(), []);
}

fn sc_18_answers_wait_for_an_entry_that_is_confirmed() {
    let object = Waking::on(hooked_node());
    object.run(json!([]));
    let hooks = hooked_node().hooks(&object.object);
    answered_after_the_commit(&hooks, || object.run(json!([set("a", &every(HOUR_MS))])), || ());
}

fn sc_18_answers_do_not_wait_for_an_entry_that_is_not_confirmed() {
    let object = Waking::on(hooked_node());
    object.run(json!([]));
    let hooks = hooked_node().hooks(&object.object);
    hooks.plan_fault(Hold);
    object.run(json!([{"named": {"set-unconfirmed": ["a", every(HOUR_MS), "p"]}}]));
    wait_until_held(&hooks);
    assert_eq!(object.entries(), json!(["a"]));
    assert!(hooks.answer_held(Committed), "a commit is held");
}

fn sc_19_entries_go_with_everything_that_is_stored_and_one_that_is_set_afterwards_stands() {
    let object = fresh();
    let time = now() + 300;
    object.run(json!([set("a", &json!({"at": time})), set("b", &every(HOUR_MS)), "delete-all"]));
    assert_eq!(object.entries(), json!([]));
    wait_until_past(node(), time);
    assert_eq!(object.runs(), []);
    object.run(json!([set("a", &every(HOUR_MS))]));
    let outcomes = object.run(json!(["delete-all", set("b", &json!({"in": 50})), get("b")]));
    let run = object.wait_for_ends(1).remove(0);
    assert_eq!((run.scheduled, run.entry), (next(&outcomes[2]), Some(("b".to_owned(), "p".to_owned()))));
    assert_eq!(object.entries(), json!([]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    sc_1_names_and_payloads_that_are_too_large_are_refused_and_change_nothing,
    sc_2_times_that_no_date_has_are_refused_and_a_past_one_means_now,
    sc_3_an_interval_begins_when_it_is_set_and_has_a_second_to_a_hundred_years,
    sc_4_a_cron_rule_names_the_next_time_and_what_is_none_is_refused,
    sc_5_a_rule_is_read_in_its_time_zone_and_an_unknown_one_is_refused,
    sc_7_setting_what_is_stored_takes_no_commit_and_starts_no_interval_anew,
    sc_7_another_trigger_or_payload_replaces_the_entry,
    sc_7_an_entry_that_each_constructor_sets_keeps_its_time,
    sc_8_a_class_without_a_handler_sets_no_entry_save_in_its_constructor,
    sc_8_and_sc_17_without_a_handler_one_that_comes_once_is_dropped_and_one_that_repeats_goes_on,
    sc_9_entries_are_listed_by_name_with_prefix_start_and_limit,
    sc_16_deleting_tells_whether_the_entry_was_there_and_it_never_runs,
    sc_18_an_entry_that_is_undone_with_its_turn_never_runs,
    sc_18_an_entry_is_undone_with_its_transaction_and_the_older_one_stays,
    sc_18_answers_wait_for_an_entry_that_is_confirmed,
    sc_18_answers_do_not_wait_for_an_entry_that_is_not_confirmed,
    sc_19_entries_go_with_everything_that_is_stored_and_one_that_is_set_afterwards_stands,
];
