//! Keys and values (KV-1 to KV-14, KV-18, KV-19).
//!
//! Random lists are compared with a model where the logic is (`storage`); here is what crosses the contract.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{guest, values};

use super::database::Database;
use super::standing::{lasting_node, node};

/// The store of an object of class `Kv`.
fn store() -> Database {
    Database::of(node().fresh(guest::KV, "Kv"))
}

fn text(text: &str) -> Value {
    values::bytes(text.as_bytes())
}

impl Database {
    /// Makes calls in one turn.
    #[track_caller]
    fn calls(&self, calls: Value) -> Vec<Value> {
        let outcomes = self.call("run", json!([calls])).unwrap_or_else(|error| panic!("{error:?}"));
        outcomes.as_array().expect("a list of outcomes").clone()
    }

    /// Makes one call, which must succeed.
    #[track_caller]
    fn one(&self, call: Value) -> Value {
        let outcome = self.calls(json!([call])).remove(0);
        assert!(outcome.get("error").is_none(), "{call}: {outcome}");
        outcome
    }

    /// Stores keys, each with its own text as value.
    fn with_keys(self, keys: &[&str]) -> Self {
        let puts: Vec<Value> = keys.iter().map(|key| json!({"put": [key, text(key)]})).collect();
        self.calls(json!(puts));
        self
    }

    #[track_caller]
    fn keys(&self, options: Value) -> Value {
        self.one(json!({"keys": options}))
    }
}

#[track_caller]
fn assert_refused(outcome: &Value, name: &str, part: &str) {
    let error = &outcome["error"];
    assert_eq!(error["name"], json!(name), "{outcome}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "{outcome}");
}

const NAMES: [&str; 4] = ["qux", "bar", "foo", "baz"];

fn c_166_a_missing_key_gives_nothing() {
    assert_eq!(store().one(json!({"get": "k"})), json!(null));
}

fn c_167_values_that_are_empty_are_not_missing() {
    let store = store();
    let values = json!([null, false, 0, "", [], {"a": [1.5, "ä"]}]);
    let back = store.call("round_trip", json!([values])).expect("round trip");
    assert_eq!(back, json!([null, false, 0, "", [], {"a": [1.5, "ä"]}, null]));
    store.one(json!({"put": ["empty", values::bytes(&[])]}));
    assert_eq!(store.one(json!({"get": "empty"})), values::bytes(&[]));
    assert_eq!(store.keys(json!({"limit": 3})), json!(["0", "1", "2"]), "`null` is stored as a value");
}

fn c_169_several_keys_come_in_their_order_and_missing_ones_not_at_all() {
    let store = store().with_keys(&["a", "b"]);
    let got = store.one(json!({"get-many": ["b", "zz", "a", "b"]}));
    assert_eq!(got, json!([["a", text("a")], ["b", text("b")]]));
}

fn c_170_several_entries_are_written_and_none_is_no_error() {
    let store = store();
    store.one(json!({"put-many": [["a", text("1")], ["b", text("2")], ["a", text("3")]]}));
    store.one(json!({"put-many": []}));
    assert_eq!(store.one(json!({"list": {}})), json!([["a", text("3")], ["b", text("2")]]));
}

fn c_172_a_delete_tells_what_existed() {
    let store = store().with_keys(&["a", "b", "c"]);
    assert_eq!(store.one(json!({"delete": "c"})), json!(true));
    assert_eq!(store.one(json!({"delete": "c"})), json!(false));
    assert_eq!(store.one(json!({"delete-many": ["a", "b", "zz"]})), json!(2));
    assert_eq!(store.keys(json!({})), json!([]));
}

fn c_173_keys_are_ordered_by_their_bytes() {
    let store = store().with_keys(&["é", "a", "Z", "9", "10", "\u{ffff}", "\u{10000}"]);
    assert_eq!(store.keys(json!({})), json!(["10", "9", "Z", "a", "é", "\u{ffff}", "\u{10000}"]));
}

fn c_174_a_list_may_begin_and_end_at_keys() {
    let store = store().with_keys(&NAMES);
    for (options, keys) in [
        (json!({"start": "baz"}), json!(["baz", "foo", "qux"])),
        (json!({"start_after": "baz"}), json!(["foo", "qux"])),
        (json!({"end": "foo"}), json!(["bar", "baz"])),
        (json!({"start": "bar", "end": "foo"}), json!(["bar", "baz"])),
    ] {
        assert_eq!(store.keys(options.clone()), keys, "{options}");
    }
}

fn c_175_a_list_may_have_a_prefix_and_a_limit() {
    let store = store().with_keys(&NAMES);
    for (options, keys) in [
        (json!({"prefix": "ba"}), json!(["bar", "baz"])),
        (json!({"limit": 2}), json!(["bar", "baz"])),
        (json!({"prefix": "ba", "limit": 1}), json!(["bar"])),
        (json!({"prefix": "ba", "start": "a"}), json!(["bar", "baz"])),
        (json!({"prefix": "ba", "start": "c"}), json!([])),
        (json!({"prefix": "ba", "end": "ba"}), json!([])),
        (json!({"prefix": ""}), json!(["bar", "baz", "foo", "qux"])),
    ] {
        assert_eq!(store.keys(options.clone()), keys, "{options}");
    }
}

fn c_176_a_reversed_list_walks_the_same_range_from_its_end() {
    let store = store().with_keys(&NAMES);
    for (options, keys) in [
        (json!({"reverse": true}), json!(["qux", "foo", "baz", "bar"])),
        (json!({"reverse": true, "limit": 2}), json!(["qux", "foo"])),
        (json!({"reverse": true, "start": "baz", "end": "qux"}), json!(["foo", "baz"])),
    ] {
        assert_eq!(store.keys(options.clone()), keys, "{options}");
    }
}

fn c_177_a_list_with_two_starts_is_refused() {
    let outcomes = store().calls(json!([{"list": {"start": "a", "start_after": "b"}}]));
    assert_refused(&outcomes[0], "TypeError", "both start and startAfter");
}

fn c_178_a_list_of_nothing_is_refused() {
    let outcomes = store().calls(json!([{"list": {"limit": 0}}]));
    assert_refused(&outcomes[0], "TypeError", "List limit must be positive");
}

fn c_179_a_range_that_ends_before_it_begins_is_empty() {
    assert_eq!(store().with_keys(&NAMES).keys(json!({"start": "z", "end": "a"})), json!([]));
}

fn c_180_nothing_stands_between_a_key_and_the_same_with_a_zero_byte() {
    let store = store().with_keys(&["k", "k\0"]);
    assert_eq!(store.keys(json!({"start_after": "k"})), json!(["k\0"]));
}

fn c_182_a_call_has_128_keys_at_most_and_a_refused_one_does_nothing() {
    let store = store();
    let keys: Vec<String> = (0..129).map(|number| format!("{number:03}")).collect();
    let entries =
        |count: usize| -> Value { keys[..count].iter().map(|key| json!([key, text("v")])).collect() };
    let refused = |call: Value| {
        let part = "Maximum number of key value pairs is 128. 129 pairs were provided.";
        assert_refused(&store.calls(json!([call]))[0], "RangeError", part);
    };
    refused(json!({"put-many": entries(129)}));
    assert_eq!(store.keys(json!({})), json!([]));
    store.one(json!({"put-many": entries(128)}));
    refused(json!({"get-many": keys}));
    refused(json!({"delete-many": keys}));
    assert_eq!(store.one(json!({"get-many": keys[..128]})).as_array().map(Vec::len), Some(128));
    assert_eq!(store.one(json!({"delete-many": keys[..128]})), json!(128));
}

fn c_183_a_key_has_2048_bytes_at_most() {
    let store = store();
    let key = "é".repeat(1024);
    store.one(json!({"put": [key, text("v")]}));
    assert_eq!(store.one(json!({"get": key})), text("v"));
    let outcomes = store.calls(json!([{"put": [format!("{key}x"), text("v")]}]));
    assert_refused(&outcomes[0], "RangeError", "Keys cannot be larger than 2048 bytes");
}

fn c_184_a_value_above_the_limit_is_refused_and_the_old_one_stays() {
    let store = store();
    let large = values::bytes(&vec![7; 131_073]);
    store.one(json!({"put": ["k", large]}));
    let outcomes = store.calls(json!([{"put": ["k", values::bytes(&vec![8; 2 * 1024 * 1024])]}]));
    assert_refused(&outcomes[0], "RangeError", "Key and value together cannot be larger than 2097152 bytes");
    assert_eq!(store.one(json!({"get": "k"})), large);
}

fn c_185_what_is_read_and_what_was_written_are_copies() {
    assert_eq!(store().call("copies", json!([])).expect("copies"), json!([1]));
}

fn c_186_every_byte_comes_back() {
    let store = store();
    let bytes: Vec<u8> = (0..102_400).map(|number| number as u8).collect();
    store.one(json!({"put": ["k", values::bytes(&bytes)]}));
    assert_eq!(store.one(json!({"get": "k"})), values::bytes(&bytes));
}

fn c_191_reading_a_new_object_gives_nothing_and_makes_nothing() {
    // Once it has left memory there is nothing that an operator could ask.
    let object = lasting_node().fresh(guest::KV, "Kv");
    let store = Database::of(object.clone());
    assert_eq!(
        store.calls(json!([{"get": "k"}, {"list": {}}, {"delete": "k"}])),
        [json!(null), json!([]), json!(false)]
    );
    assert_eq!(object.sql("SELECT count(*) FROM sqlite_master").expect("SQL")["rows"], json!([[0]]));
}

fn kv_1_keys_and_sql_are_one_transaction_that_a_trap_undoes() {
    let store = store().with_keys(&["k"]);
    store.one(json!({"sql": "CREATE TABLE t (a)"}));
    let calls = json!([{"put": ["k", text("new")]}, {"sql": "INSERT INTO t VALUES (1)"}, {"delete": "k"}]);
    store.call("run_and_trap", json!([calls])).expect_err("it traps").assert_reset("guest-trapped");
    assert_eq!(store.one(json!({"get": "k"})), text("k"));
    assert_eq!(store.one(json!({"sql": "SELECT count(*) FROM t"})), json!([0]));
}

fn sq_17_keys_cannot_be_reached_by_sql() {
    let outcomes = store().with_keys(&["k"]).calls(json!([
        {"sql": "SELECT count(*) FROM _cf_KV"},
        {"sql": "DELETE FROM _cf_kv"},
        {"get": "k"},
    ]));
    for refused in &outcomes[..2] {
        assert_refused(refused, "Error", "SQLITE_AUTH");
    }
    assert_eq!(outcomes[2], text("k"));
}

fn b_14_a_list_is_not_bounded_by_the_size_of_a_batch() {
    let store = store();
    let keys: Vec<String> =
        (0..1000).map(|number| format!("{}{number:04}", if number < 300 { "p" } else { "q" })).collect();
    let batches = keys.chunks(125).map(|batch| {
        let entries: Vec<Value> = batch.iter().map(|key| json!([key, text("v")])).collect();
        json!({"put-many": entries})
    });
    store.calls(json!(batches.collect::<Vec<_>>()));
    assert_eq!(store.keys(json!({})), json!(keys));
    assert_eq!(store.keys(json!({"limit": 1000})), json!(keys));
    let last: Vec<&String> = keys.iter().rev().take(129).collect();
    assert_eq!(store.keys(json!({"limit": 129, "reverse": true})), json!(last));
    assert_eq!(store.keys(json!({"prefix": "p"})), json!(keys[..300]));
    let outcomes = store.calls(json!([{"delete-many": keys[..129]}, {"keys": {}}]));
    assert_refused(&outcomes[0], "RangeError", "129 pairs were provided");
    assert_eq!(outcomes[1], json!(keys));
}

fn c_321_a_page_of_a_prefix_begins_at_its_start() {
    let store = store();
    let keys: Vec<String> = (0..200).map(|number| format!("user:{number:03}")).collect();
    for half in keys.chunks(100) {
        let entries: Vec<Value> = half.iter().map(|key| json!([key, text("v")])).collect();
        store.calls(json!([{"put-many": entries}]));
    }
    let page = store.keys(json!({"prefix": "user:", "start": "user:100", "limit": 50}));
    assert_eq!(page, json!(keys[100..150]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_166_a_missing_key_gives_nothing,
    c_167_values_that_are_empty_are_not_missing,
    c_169_several_keys_come_in_their_order_and_missing_ones_not_at_all,
    c_170_several_entries_are_written_and_none_is_no_error,
    c_172_a_delete_tells_what_existed,
    c_173_keys_are_ordered_by_their_bytes,
    c_174_a_list_may_begin_and_end_at_keys,
    c_175_a_list_may_have_a_prefix_and_a_limit,
    c_176_a_reversed_list_walks_the_same_range_from_its_end,
    c_177_a_list_with_two_starts_is_refused,
    c_178_a_list_of_nothing_is_refused,
    c_179_a_range_that_ends_before_it_begins_is_empty,
    c_180_nothing_stands_between_a_key_and_the_same_with_a_zero_byte,
    c_182_a_call_has_128_keys_at_most_and_a_refused_one_does_nothing,
    c_183_a_key_has_2048_bytes_at_most,
    c_184_a_value_above_the_limit_is_refused_and_the_old_one_stays,
    c_185_what_is_read_and_what_was_written_are_copies,
    c_186_every_byte_comes_back,
    c_191_reading_a_new_object_gives_nothing_and_makes_nothing,
    kv_1_keys_and_sql_are_one_transaction_that_a_trap_undoes,
    sq_17_keys_cannot_be_reached_by_sql,
    b_14_a_list_is_not_bounded_by_the_size_of_a_batch,
    c_321_a_page_of_a_prefix_begins_at_its_start,
];
