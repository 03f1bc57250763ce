//! Ids and names as objects and their callers see them (group ID).
//!
//! Ids as hashes are unit tests of `model`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{TestNode, guest};

use super::standing::{lasting_node, node};
use super::together::together;

const CLASS: &str = "Lifecycle";

fn c_013_the_name_is_known_where_a_name_was_used() {
    let named = node().object(guest::LIFECYCLE, CLASS, "c-013");
    assert_eq!(named.ok("identity", json!([]))[2], json!("c-013"));

    let created = named.sibling("~new").call_raw("identity", json!([]));
    let id = created.header("x-durabo-object-id").to_owned();
    assert_eq!(created.json(), json!([CLASS, id, null]));
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");

    let never_named = guest::LIFECYCLE.id(CLASS, "c-013, never used by its name");
    let by_id = named.sibling(&format!("~id:{never_named}"));
    assert_eq!(by_id.ok("identity", json!([])), json!([CLASS, never_named, null]));
}

fn c_015_an_object_reports_the_id_that_callers_compute() {
    let id = guest::LIFECYCLE.id(CLASS, "c-015");
    let object = node().object(guest::LIFECYCLE, CLASS, "c-015");
    assert_eq!(object.ok("identity", json!([])), json!([CLASS, id, "c-015"]));
    let listed = object.listed().expect("the object has written something");
    assert_eq!((&listed["id"], &listed["name"]), (&json!(id), &json!("c-015")));
}

fn c_016_an_address_alone_starts_nothing_and_makes_no_file() {
    let node = TestNode::start();
    let object_files = || node.folder().files().into_iter().map(|(path, _)| path).collect::<HashSet<_>>();
    let before = object_files();
    let client = node.client();
    for number in 0..100 {
        let id = guest::LIFECYCLE.id(CLASS, &format!("c-016-{number}"));
        let path = format!("/rpc/{}/{CLASS}/~id:{id}/alarm", guest::LIFECYCLE.app);
        let answer = client.send("POST", &path, &[], b"[]");
        assert_eq!((answer.status, answer.error().code.as_str()), (400, "method-reserved"));
    }
    assert_eq!(node.control().status()["liveObjects"], json!(0));
    assert_eq!(node.control().objects(guest::LIFECYCLE.app, CLASS), Vec::<Value>::new());
    assert_eq!(object_files(), before);
}

fn c_017_of_fifty_first_calls_one_starts_the_object() {
    let object = lasting_node().fresh(guest::LIFECYCLE, CLASS);
    let born: HashSet<Value> = together(50, |_| object.ok("born", json!([]))).into_iter().collect();
    assert_eq!(born.len(), 1, "{born:?}");
    assert_eq!(object.ok("starts", json!([])), json!(1));
}

fn ids_of_another_class_and_texts_that_are_no_ids_are_refused() {
    let foreign = guest::LIFECYCLE.id("Fetchless", "x");
    let object = node().object(guest::LIFECYCLE, CLASS, "x");
    for (text, part) in [
        (foreign.as_str(), "not valid for this namespace"),
        (&"a".repeat(64), "not valid for this namespace"),
        ("00ff", "must be 64 hex digits"),
    ] {
        let error = object.sibling(&format!("~id:{text}")).fails("hit", json!([]));
        error.assert_says(part);
        assert_eq!((error.code.as_str(), error.status), ("invalid-object-id", 400));
    }
}

fn names_of_every_form_reach_their_object() {
    let object = node().object(guest::LIFECYCLE, CLASS, "~b64:YS9i");
    let identity = object.ok("identity", json!([]));
    assert_eq!(identity, json!([CLASS, guest::LIFECYCLE.id(CLASS, "a/b"), "a/b"]));
    let spaced = object.sibling("Hello%20W%C3%B6rld").ok("identity", json!([]));
    assert_eq!(spaced[2], json!("Hello Wörld"));
    let long = "n".repeat(1025);
    let unnamed = object.sibling(&long).ok("identity", json!([]));
    assert_eq!(unnamed, json!([CLASS, guest::LIFECYCLE.id(CLASS, &long), null]));
}

fn c_322_the_same_object_is_found_by_its_stored_id() {
    let by_name = lasting_node().fresh(guest::LIFECYCLE, CLASS);
    by_name.ok("set", json!(["k", 5]));
    let id = by_name.ok("identity", json!([]))[1].as_str().expect("an id").to_owned();
    let by_id = by_name.sibling(&format!("~id:{id}"));
    assert_eq!(by_id.ok("value", json!(["k"])), json!(5));
    assert_eq!(by_id.ok("born", json!([])), by_name.ok("born", json!([])));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_013_the_name_is_known_where_a_name_was_used,
    c_015_an_object_reports_the_id_that_callers_compute,
    c_016_an_address_alone_starts_nothing_and_makes_no_file,
    c_017_of_fifty_first_calls_one_starts_the_object,
    ids_of_another_class_and_texts_that_are_no_ids_are_refused,
    names_of_every_form_reach_their_object,
    c_322_the_same_object_is_found_by_its_stored_id,
];
