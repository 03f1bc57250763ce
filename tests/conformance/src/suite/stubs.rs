//! Ids and stubs as guests make them (group ID), and what breaks a stub.
//!
//! Ids as hashes are unit tests of `model`; calls are in `calls`.

use std::collections::HashSet;
use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{Object, eventually, guest};

use super::standing::{lasting_node, node};

fn caller() -> Object {
    node().fresh(guest::STUB, "Caller")
}

fn target(name: &str) -> Object {
    node().object(guest::STUB, "Target", name)
}

fn id(class: &str, name: &str) -> String {
    guest::STUB.id(class, name)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn c_005_the_id_of_a_name_is_the_same_for_everyone() {
    let once = caller().ok("ids", json!(["Target", ["n", "n", ""]]));
    assert_eq!(once, json!([id("Target", "n"), id("Target", "n"), id("Target", "")]));
    assert_eq!(caller().ok("ids", json!(["Target", ["n", "n", ""]])), once);
}

fn c_006_names_that_differ_in_any_byte_have_different_ids() {
    let names = ["Room", "room", "room ", "\u{e9}", "e\u{301}"];
    let ids = caller().ok("ids", json!(["Target", names]));
    let ids: HashSet<String> = ids.as_array().expect("ids").iter().map(text).collect();
    assert_eq!(ids.len(), names.len());
}

fn c_007_unique_ids_are_all_different_and_of_their_namespace() {
    let caller = caller();
    let ids = caller.ok("unique_ids", json!(["Target", 1000]));
    let ids: HashSet<String> = ids.as_array().expect("ids").iter().map(text).collect();
    assert_eq!(ids.len(), 1000);
    for id in ids.iter().take(20) {
        assert!(
            id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "{id}"
        );
        assert_eq!(caller.ok("id_from_text", json!(["Target", id])), json!(id));
    }
}

fn c_008_the_text_of_an_id_is_an_id_and_upper_case_is_read_too() {
    let named = id("Target", "c-008");
    for form in [named.clone(), named.to_uppercase()] {
        assert_eq!(caller().ok("id_from_text", json!(["Target", form])), json!(named));
    }
}

fn c_009_and_b_77_texts_that_are_no_ids_are_refused_wherever_they_come_from() {
    let good = id("Target", "c-009");
    let caller = caller();
    let full_width = good.replace('0', "\u{ff10}");
    let texts = [
        "".to_owned(),
        good[1..].to_owned(),
        format!("{good}0"),
        format!("g{}", &good[1..]),
        format!(" {good}"),
        format!("0x{good}"),
        full_width,
        "undefined".to_owned(),
    ];
    for text in texts {
        for method in ["id_from_text", "stub_of_id"] {
            let error = caller.fails(method, json!(["Target", text]));
            error.assert_says("must be 64 hex digits");
            assert_eq!((error.code.as_str(), error.name.as_str()), ("invalid-object-id", "TypeError"));
        }
    }
}

fn c_010_ids_of_nobody_and_of_other_namespaces_are_refused() {
    let good = id("Target", "c-010");
    let flipped = |digit: &str| if digit == "0" { "1" } else { "0" };
    let foreign = [
        "a".repeat(64),
        id("Caller", "c-010"),
        format!("{}{}", &good[..63], flipped(&good[63..])),
        format!("{}{}", flipped(&good[..1]), &good[1..]),
    ];
    for text in foreign {
        let error = caller().fails("id_from_text", json!(["Target", text]));
        error.assert_says("not valid for this namespace");
        assert_eq!(error.name, "TypeError");
    }
}

fn c_013_a_stub_has_a_name_if_it_was_made_from_one() {
    let (caller, id) = (caller(), id("Target", "n"));
    assert_eq!(caller.ok("stub_of_name", json!(["Target", "n"])), json!([id, "n"]));
    assert_eq!(caller.ok("stub_of_id", json!(["Target", id])), json!([id, null]));
    let unique = caller.ok("unique_ids", json!(["Target", 1]))[0].clone();
    assert_eq!(caller.ok("stub_of_id", json!(["Target", unique])), json!([unique, null]));
}

fn c_015_an_object_knows_the_name_by_which_another_object_reached_it() {
    let name = fresh_name();
    let seen = caller().ok("call", json!(["Target", name, "identity", []]));
    assert_eq!(seen, json!([id("Target", &name), name, null]));
    let unique = caller().ok("unique_ids", json!(["Target", 1]))[0].clone();
    assert_eq!(
        caller().ok("call_id", json!(["Target", unique, "identity", []])),
        json!([unique, null, null])
    );
}

fn c_016_ids_and_stubs_start_nothing() {
    let name = fresh_name();
    caller().ok("stub_of_name", json!(["Target", name]));
    assert!(!target(&name).is_live() && target(&name).listed().is_none());
}

fn c_018_a_name_leads_to_one_object_from_wherever_it_is_asked_for() {
    // The contract has no hint of a place; that none can be given is tested with the uploads.
    let name = fresh_name();
    assert_eq!(caller().ok("call", json!(["Target", name, "append", ["x"]])), json!(1));
    assert_eq!(caller().ok("call", json!(["Target", name, "append", ["x"]])), json!(2));
    assert_eq!(target(&name).ok("append", json!(["x"])), json!(3));
}

fn c_020_an_id_of_another_class_gives_no_stub() {
    let error = caller().fails("stub_of_id", json!(["Target", id("Caller", "c-020")]));
    error.assert_says("not valid for this namespace");
}

fn an_unknown_binding_is_named_with_those_that_there_are() {
    let error = caller().fails("ids", json!(["target", ["x"]]));
    assert_eq!(error.code, "binding-not-found");
    error.assert_says("no namespace is bound as `target`; bound are `Caller`, `Looped`, `Target`");
}

fn c_028_a_stub_is_broken_by_a_reset_and_a_new_one_is_not() {
    let seen = caller().ok("abort_and_call", json!([fresh_name()]));
    for failure in [&seen[0], &seen[1]] {
        assert_eq!((&failure["message"], &failure["object_reset"]), (&json!("x"), &json!(true)), "{seen}");
    }
    assert_eq!(seen[2], json!(1), "it is a new instance");
}

fn st_3_a_reset_by_others_breaks_a_stub_that_had_reached_the_object() {
    // An object that leaves memory is reached anew, and its reset breaks nothing that reached it before.
    let (caller, name) = (lasting_node().fresh(guest::STUB, "Caller"), fresh_name());
    let target = lasting_node().object(guest::STUB, "Target", &name);
    let seen = thread::scope(|scope| {
        let waiting = scope.spawn(|| caller.ok("call_when_told", json!([name])));
        eventually("the target was reached", || {
            target.ok("journal", json!([])).as_array().is_some_and(|lines| !lines.is_empty()).then_some(())
        });
        target.fails("abort_with", json!(["by others"]));
        caller.ok("append", json!(["go"]));
        waiting.join().expect("a client panicked")
    });
    assert_eq!((&seen[0]["message"], &seen[1]), (&json!("by others"), &json!(1)), "{seen}");
}

fn c_030_a_stub_crosses_as_its_id_and_the_copy_has_no_name() {
    let (receiver, name) = (fresh_name(), fresh_name());
    let passed = caller().ok("stub_of_name", json!(["Target", name]));
    let to_receiver =
        |method: &str, args: Value| caller().ok("call", json!(["Caller", receiver, method, args]));
    assert_eq!(to_receiver("stub_of_id", json!(["Target", passed[0]])), json!([passed[0], null]));
    let appended = to_receiver("call_id", json!(["Target", passed[0], "append", ["from the receiver"]]));
    assert_eq!(appended, json!(1));
    assert_eq!(target(&name).ok("journal", json!([])), json!(["from the receiver"]));
}

fn c_034_what_a_stub_has_of_its_own_hides_no_method_of_the_object() {
    let name = fresh_name();
    for method in ["id", "name"] {
        let answer = caller().ok("call", json!(["Caller", name, method, []]));
        assert_eq!(answer, json!(format!("the method `{method}`")));
    }
    assert_eq!(caller().ok("stub_of_name", json!(["Caller", name])), json!([id("Caller", &name), name]));
}

fn c_322_an_object_reached_by_its_stored_id_is_the_one_of_that_name() {
    let (caller, name) = (caller(), fresh_name());
    caller.ok("call", json!(["Target", name, "append", ["x"]]));
    let journal = caller.ok("call_id", json!(["Target", id("Target", &name), "journal", []]));
    assert_eq!(journal, json!(["x"]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_005_the_id_of_a_name_is_the_same_for_everyone,
    c_006_names_that_differ_in_any_byte_have_different_ids,
    c_007_unique_ids_are_all_different_and_of_their_namespace,
    c_008_the_text_of_an_id_is_an_id_and_upper_case_is_read_too,
    c_009_and_b_77_texts_that_are_no_ids_are_refused_wherever_they_come_from,
    c_010_ids_of_nobody_and_of_other_namespaces_are_refused,
    c_013_a_stub_has_a_name_if_it_was_made_from_one,
    c_015_an_object_knows_the_name_by_which_another_object_reached_it,
    c_016_ids_and_stubs_start_nothing,
    c_018_a_name_leads_to_one_object_from_wherever_it_is_asked_for,
    c_020_an_id_of_another_class_gives_no_stub,
    an_unknown_binding_is_named_with_those_that_there_are,
    c_028_a_stub_is_broken_by_a_reset_and_a_new_one_is_not,
    st_3_a_reset_by_others_breaks_a_stub_that_had_reached_the_object,
    c_030_a_stub_crosses_as_its_id_and_the_copy_has_no_name,
    c_034_what_a_stub_has_of_its_own_hides_no_method_of_the_object,
    c_322_an_object_reached_by_its_stored_id_is_the_one_of_that_name,
];
