//! Calls from object to object: order, errors, cycles, limits, requests (groups ST and RP).
//!
//! When a call leaves is tested under planted faults in `tests/simulation`.

use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::eventually::eventually;
use crate::node::fresh_name;
use crate::{Object, guest};

use super::rpc::RESERVED_NAMES;
use super::standing::{lasting_node, node};
use super::together::together;

fn caller() -> Object {
    node().fresh(guest::STUB, "Caller")
}

fn target(name: &str) -> Object {
    node().object(guest::STUB, "Target", name)
}

/// The failure that a guest sees when it calls a method of a fresh target.
fn failure_of(method: &str, args: Value) -> Value {
    caller().ok("failure_of", json!(["Target", fresh_name(), method, args]))
}

fn c_022_calls_of_one_stub_arrive_in_order_although_none_is_awaited() {
    assert_eq!(caller().ok("six_appends", json!([fresh_name()])), json!([1, 2, 3, 4, 5, 6]));
}

fn c_023_a_quick_call_behind_a_slow_one_is_answered_first() {
    let noted = caller().ok("slow_and_quick", json!([fresh_name(), 50]));
    assert_eq!(noted, json!(["slow begins", "quick", "slow"]));
}

fn c_024_and_c_032_a_request_and_its_response_pass_unchanged() {
    let body: Vec<u8> = (0..=255).collect();
    let path = format!("/to/{}/status/418", fresh_name());
    let answer = caller().fetch("POST", &path, &[("x-k", "v")], &body);
    assert_eq!((answer.status, &answer.body), (418, &body));
    assert_eq!(answer.header("x-seen"), "POST http://do/status/418 v");
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().filter_map(|v| v.to_str().ok()).collect();
    assert_eq!(cookies, ["a=1", "b=2; Path=/"], "B-50");
    let path = format!("/to/{}", fresh_name());
    let url = "https://do/items?x=1&y=%20#z";
    let answer = caller().fetch("PUT", &path, &[("x-url", url)], b"");
    assert_eq!(answer.header("x-seen"), format!("PUT {url} -"));
}

fn a_request_that_is_none_is_refused_where_it_is_made() {
    for url in ["/items", "do/items", "ftp://do/", "http://", "http://do/a b"] {
        let path = format!("/to/{}", fresh_name());
        let error = caller().fetch("GET", &path, &[("x-url", url)], b"").error();
        assert_eq!(error.code, "invalid-argument", "{url}");
        error.assert_says("is not an absolute URL");
    }
}

fn c_025_an_error_of_fetch_reaches_the_calling_object_and_then_the_client() {
    let error = caller().fetch("GET", &format!("/to/{}/fail", fresh_name()), &[], b"").error();
    assert_eq!((error.status, error.message.as_str(), error.remote), (500, "boom", true));
}

fn c_026_and_b_45_an_error_crosses_with_its_class_text_code_and_details() {
    for name in ["TypeError", "RangeError", "SyntaxError", "ReferenceError", "Error", "NoStock"] {
        let seen = failure_of("fail", json!([name, "bad", "sold-out", false]));
        assert_eq!((&seen["name"], &seen["message"]), (&json!(name), &json!("bad")));
        assert_eq!((&seen["code"], &seen["kind"]), (&json!("sold-out"), &json!("FailureKind::Application")));
        assert_eq!(seen["details"], json!({"sku": "x"}));
        let flags =
            ["remote", "retryable", "overloaded", "object_reset"].map(|flag| seen[flag] == json!(true));
        assert_eq!(flags, [true, false, false, false]);
        assert!(seen["object"].as_str().is_some_and(|id| id.len() == 64), "{seen}");
    }
    assert_eq!(failure_of("fail", json!(["Error", "busy", "", true]))["retryable"], json!(true));
}

fn b_45_a_failure_that_is_passed_on_keeps_what_it_had() {
    let (inner, outer) = (fresh_name(), caller());
    let through =
        json!(["Caller", fresh_name(), "call", ["Target", inner, "fail", ["NoStock", "bad", "E7", true]]]);
    let error = outer.fails("call", through);
    assert_eq!((error.name.as_str(), error.message.as_str(), error.code.as_str()), ("NoStock", "bad", "E7"));
    assert_eq!((error.retryable, error.remote, error.object_reset), (true, true, false));
    assert_eq!(error.details, Some(json!({"sku": "x"})));
}

fn a_trap_of_the_callee_is_a_reset_for_the_caller_and_undoes_the_callees_turn() {
    let name = fresh_name();
    let seen = caller().ok("failure_of", json!(["Target", name, "append_and_trap", ["x"]]));
    assert_eq!((&seen["code"], &seen["object_reset"]), (&json!("guest-trapped"), &json!(true)));
    assert_eq!(target(&name).ok("journal", json!([])), json!([]));
}

fn c_031_a_cycle_between_objects_that_suspend_completes() {
    let (a, b, c) = (fresh_name(), fresh_name(), fresh_name());
    let object = node().object(guest::STUB, "Caller", &a);
    for way in [json!([b, a]), json!([a]), json!([b, c, a, b, a])] {
        assert_eq!(object.ok("through", json!([way])), json!(way.as_array().map(Vec::len)));
    }
}

fn st_12_a_cycle_from_within_a_section_is_refused_at_once() {
    let (a, b) = (fresh_name(), fresh_name());
    let object = node().object(guest::STUB, "Caller", &a);
    for way in [json!([b, a]), json!([a])] {
        let error = object.fails("through_from_section", json!([way]));
        assert_eq!((error.code.as_str(), error.object_reset), ("object-busy", false), "{error:?}");
        error.assert_says("is in a critical section");
    }
    assert_eq!(object.ok("through_from_section", json!([[b]])), json!(1));
}

fn a_cycle_through_a_constructor_is_refused_and_does_not_wait_for_the_constructors_limit() {
    for name in [fresh_name(), fresh_name()] {
        let error = node().object(guest::STUB, "Looped", &name).fails("ping", json!([]));
        assert_eq!((error.code.as_str(), error.object_reset), ("object-busy", true), "{error:?}");
        error.assert_says("is in its constructor");
        let error = node().object(guest::STUB, "Caller", &name).fails("ping_looped", json!([name]));
        assert_eq!(error.code, "object-busy", "{error:?}");
    }
    let straight = node().object(guest::STUB, "Looped", "straight");
    assert_eq!(straight.ok("ping", json!([])), json!("pong"));
}

fn a_chain_without_end_is_cut_at_its_limit() {
    let object = caller();
    assert_eq!(object.ok("endless", json!([]))["code"], json!("call-chain-too-deep"));
    assert_eq!(object.ok("journal", json!([])), json!([]));
}

fn c_076_a_call_of_a_turn_that_traps_never_arrives() {
    let (object, name) = (caller(), fresh_name());
    object.fails("write_call_trap", json!([name])).assert_reset("guest-trapped");
    assert_eq!(object.ok("journal", json!([])), json!(["a", "b"]));
    assert_eq!(target(&name).ok("journal", json!([])), json!(["first"]));
}

fn st_10_a_call_that_its_caller_gives_up_runs_to_its_end() {
    // A stop of the node loses a call that nobody waits for.
    let name = fresh_name();
    lasting_node().fresh(guest::STUB, "Caller").ok("call_and_forget", json!([name]));
    let target = lasting_node().object(guest::STUB, "Target", &name);
    eventually("the call has run to its end", || {
        (target.ok("journal", json!([])) == json!(["heard begins", "heard"])).then_some(())
    });
}

fn c_290_and_c_291_methods_that_do_not_exist_are_refused_alike() {
    for method in ["nope", "toString", "__proto__", "hasOwnProperty", "env", "ctx", "new", ""] {
        let seen = failure_of(method, json!([]));
        assert_eq!(
            (&seen["name"], &seen["kind"]),
            (&json!("TypeError"), &json!("FailureKind::NotFound")),
            "{method}"
        );
        let text = format!("does not implement the method \"{method}\"");
        assert!(seen["message"].as_str().is_some_and(|message| message.contains(&text)), "{seen}");
    }
}

fn c_292_reserved_names_are_refused_on_a_stub_and_start_nothing() {
    for method in RESERVED_NAMES {
        let name = fresh_name();
        let seen = caller().ok("reserved", json!([name, method]));
        assert_eq!((&seen["code"], &seen["name"]), (&json!("method-reserved"), &json!("TypeError")));
        let text = format!("'{method}' is a reserved method and cannot be called over RPC.");
        assert_eq!(seen["message"], json!(text));
        assert!(target(&name).listed().is_none());
    }
}

fn c_293_what_the_callee_does_to_an_argument_does_not_reach_the_caller() {
    let seen = caller().ok("change_there", json!([fresh_name()]));
    assert_eq!(seen[0], json!({"count": 1, "what": "x", "parts": ["a"]}));
    assert_eq!(seen[1], json!({"count": 2, "what": "", "parts": ["a", "changed"]}));
}

fn c_294_and_b_46_values_cross_a_stub_as_they_are() {
    let values = json!([
        [[], [[1, [2]]], {}, {"a": null}],
        "", "emoji \u{1f600} and \u{0}", true, null, -0.5, 1.5e300,
        {"$int": "9007199254740993"}, 9007199254740992_i64, {"$int": "-9223372036854775808"},
        {"$bytes": "AAEC/w=="}, {"$date": 1000}
    ]);
    let values = values.as_array().expect("values");
    for value in values {
        let back = caller().ok("call", json!(["Target", fresh_name(), "echo", [value]]));
        assert_eq!(back, *value);
    }
}

fn c_295_arguments_of_32_mib_pass_and_one_byte_more_does_not() {
    let (object, name) = (caller(), fresh_name());
    let limit = 32 * 1024 * 1024;
    assert!(object.ok("large", json!([name, limit])).as_u64().is_some_and(|bytes| bytes > 0));
    let error = object.fails("large", json!([name, limit + 1]));
    error.assert_says("limited to 32MiB, but the size of this value was: 33554433 bytes");
    assert_eq!((error.code.as_str(), error.object_reset), ("limit-exceeded", false));
}

fn c_298_calls_of_many_callers_are_all_answered_each_callers_in_order() {
    let name = fresh_name();
    let all: Vec<Value> = together(10, |_| caller().ok("six_appends", json!([name])));
    for lengths in &all {
        let lengths: Vec<_> = lengths.as_array().expect("lengths").iter().filter_map(Value::as_i64).collect();
        assert!(lengths.len() == 6 && lengths.is_sorted(), "{lengths:?}");
    }
    assert_eq!(target(&name).ok("journal", json!([])).as_array().map(Vec::len), Some(60));
}

fn ig_1_a_flood_of_one_caller_delays_another_by_one_event() {
    let [name, latch, other] = [(); 3].map(|()| fresh_name());
    thread::scope(|scope| {
        let held = scope.spawn(|| target(&name).ok("hold", json!([latch])));
        let latch_object = node().object(guest::STUB, "Caller", &latch);
        eventually("the target holds events back", || {
            (latch_object.ok("journal", json!([])) == json!(["waits"])).then_some(())
        });
        // All calls wait at the target before it goes on: they leave in the order in which they were made.
        caller().ok("flood", json!([name, 20, other, latch]));
        held.join().expect("a client panicked");
    });
    let journal = target(&name).ok("journal", json!([]));
    let journal: Vec<&str> = journal.as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    let (others, flood): (Vec<_>, Vec<_>) =
        journal.iter().enumerate().partition(|(_, what)| **what == "other");
    assert!(matches!(others[..], [(0..=1, _)]), "{journal:?}");
    assert!(
        flood.iter().map(|(_, what)| **what).eq((0..20).map(|n| format!("flood {n}"))),
        "ST-2: {journal:?}"
    );
}

fn the_trace_of_a_request_is_carried_on_by_calls() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let object = caller();
    let path = format!("/rpc/{}/call", object.address());
    let args = json!(["Target", fresh_name(), "identity", []]).to_string();
    let answer = node().client().send("POST", &path, &[("traceparent", trace)], args.as_bytes());
    assert_eq!(answer.json()[2], json!(trace));
}

fn b_13_very_many_calls_through_one_stub_leave_nothing_behind() {
    // More than the handles, events and imports that an instance may have at once.
    assert_eq!(caller().ok("call_often", json!([fresh_name(), 20_000, 2048])), json!(1));
}

fn a_storm_of_calls_is_cut_with_an_error_of_its_own() {
    let object = caller();
    assert_eq!(object.ok("call_at_once", json!([fresh_name(), 500])), json!(500));
    let error = object.fails("call_at_once", json!([fresh_name(), 100_000]));
    error.assert_reset("import-limit-exceeded");
    assert_eq!(object.ok("call_at_once", json!([fresh_name(), 5])), json!(5));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_022_calls_of_one_stub_arrive_in_order_although_none_is_awaited,
    c_023_a_quick_call_behind_a_slow_one_is_answered_first,
    c_024_and_c_032_a_request_and_its_response_pass_unchanged,
    a_request_that_is_none_is_refused_where_it_is_made,
    c_025_an_error_of_fetch_reaches_the_calling_object_and_then_the_client,
    c_026_and_b_45_an_error_crosses_with_its_class_text_code_and_details,
    b_45_a_failure_that_is_passed_on_keeps_what_it_had,
    a_trap_of_the_callee_is_a_reset_for_the_caller_and_undoes_the_callees_turn,
    c_031_a_cycle_between_objects_that_suspend_completes,
    st_12_a_cycle_from_within_a_section_is_refused_at_once,
    a_cycle_through_a_constructor_is_refused_and_does_not_wait_for_the_constructors_limit,
    a_chain_without_end_is_cut_at_its_limit,
    c_076_a_call_of_a_turn_that_traps_never_arrives,
    st_10_a_call_that_its_caller_gives_up_runs_to_its_end,
    c_290_and_c_291_methods_that_do_not_exist_are_refused_alike,
    c_292_reserved_names_are_refused_on_a_stub_and_start_nothing,
    c_293_what_the_callee_does_to_an_argument_does_not_reach_the_caller,
    c_294_and_b_46_values_cross_a_stub_as_they_are,
    c_295_arguments_of_32_mib_pass_and_one_byte_more_does_not,
    c_298_calls_of_many_callers_are_all_answered_each_callers_in_order,
    ig_1_a_flood_of_one_caller_delays_another_by_one_event,
    the_trace_of_a_request_is_carried_on_by_calls,
    b_13_very_many_calls_through_one_stub_leave_nothing_behind,
    a_storm_of_calls_is_cut_with_an_error_of_its_own,
];
