//! An object whose guest cannot suspend: it is busy until an event returns (D2, ST-12).
//!
//! Cycles between guests that suspend are in `calls`.

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::fresh_name;
use crate::{Object, guest};

use super::standing::node;
use super::together::together;

fn named(name: &str) -> Object {
    node().object(guest::BLOCKING, "Blocking", name)
}

fn c_031_a_cycle_through_a_busy_object_is_refused_at_once() {
    let (a, b) = (fresh_name(), fresh_name());
    for way in [json!([b, a]), json!([a]), json!([b, fresh_name(), b])] {
        let error = named(&a).fails("through", json!([way]));
        assert_eq!((error.code.as_str(), error.object_reset), ("object-busy", false), "{way}: {error:?}");
        error.assert_says("cannot suspend");
    }
    assert_eq!(named(&a).ok("through", json!([[b, fresh_name()]])), json!("the end"));
}

fn calls_of_others_wait_for_their_turn() {
    let object = node().fresh(guest::BLOCKING, "Blocking");
    let answers = together(5, |_| object.ok("sleep", json!([20])));
    assert_eq!(answers, vec![json!("slept"); 5]);
    assert_eq!(object.ok("in_section", json!([])), json!("left"));
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

/// What this module shows.
pub(super) const CASES: &[Case] =
    cases![c_031_a_cycle_through_a_busy_object_is_refused_at_once, calls_of_others_wait_for_their_turn,];
