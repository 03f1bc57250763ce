//! Hibernation: the instance goes, the object stays in memory with its database open (LC-10, LC-12).
//!
//! What eviction does is in `lifecycle`. Sockets that hibernate come with sockets.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{Object, TestNode, guest};

use super::database::{Database, opened};
use super::standing::{hibernate_after, hibernating_node, hooked_node};

fn fresh(guest: guest::Guest, class: &str) -> Object {
    hibernating_node().fresh(guest, class)
}

fn lc_10_an_idle_object_drops_its_instance_and_stays_in_memory() {
    let object = fresh(guest::LIFECYCLE, "Lifecycle");
    let born = object.ok("born", json!([]));
    object.wait_until_hibernated();
    let listed = object.listed().expect("it is in memory");
    assert_eq!((&listed["live"], &listed["instance"]), (&json!(true), &json!(false)), "{listed}");
    assert_ne!(object.ok("born", json!([])), born);
}

fn lc_10_what_an_instance_has_in_memory_goes_with_it_and_the_next_is_constructed() {
    let object = hooked_node().fresh(guest::LIFECYCLE, "Lifecycle");
    let born = object.ok("born", json!([]));
    assert_eq!((object.ok("hit", json!([])), object.ok("hit", json!([]))), (json!(1), json!(2)));
    hooked_node().hooks(&object).hibernate();
    object.wait_until_hibernated();
    assert_ne!(object.ok("born", json!([])), born);
    assert_eq!(object.ok("hit", json!([])), json!(1), "memory was kept");
    assert_eq!(object.ok("starts", json!([])), json!(2), "no constructor ran");
    assert_eq!(object.listed().expect("it is in memory")["instance"], json!(true));
}

fn lc_2_whatever_wakes_an_object_finds_its_constructor_done() {
    let two_lives = |last: &str| json!(["starting", "started", "first", "starting", "started", last]);
    for last in ["PATCH", "second"] {
        let object = fresh(guest::LIFECYCLE, "SlowStart");
        object.ok("note", json!(["first"]));
        object.wait_until_hibernated();
        let noted = match last {
            "PATCH" => object.fetch("PATCH", "/", &[], b"").json(),
            _ => object.ok("note", json!([last])),
        };
        assert_eq!(noted, two_lives(last));
    }
}

fn sq_34_switches_and_cursors_go_with_the_instance() {
    let object = hooked_node().fresh(guest::SQL, "Sql");
    let db = Database::of(object.clone());
    db.exec("CREATE TABLE t (a INTEGER)");
    db.exec("INSERT INTO t VALUES (1), (2), (3)");
    db.exec("PRAGMA case_sensitive_like = ON");
    assert_eq!(db.value("SELECT 'A' LIKE 'a'", json!([])), json!(0));
    let query = "SELECT a FROM t";
    db.call("open_and_take", json!([[opened("c", query)], [["c", 1]]])).expect("opened");
    hooked_node().hooks(&object).hibernate();
    object.wait_until_hibernated();
    assert_eq!(db.value("SELECT 'A' LIKE 'a'", json!([])), json!(1));
    assert_eq!(db.value("SELECT last_insert_rowid()", json!([])), json!(0));
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(3));
}

fn an_operator_looks_into_an_object_that_hibernates_without_waking_it() {
    let object = fresh(guest::LIFECYCLE, "Lifecycle");
    object.ok("set", json!(["k", 7]));
    object.wait_until_hibernated();
    let answer =
        object.sql("SELECT value FROM rows WHERE key = 'k'").expect("the operator's SQL is answered");
    assert_eq!(answer["rows"], json!([[7]]));
    assert_eq!(object.listed().expect("it is in memory")["instance"], json!(false));
}

fn while_the_process_holds_too_much_memory_objects_without_work_leave_early() {
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        hibernate_after(limits, Duration::from_secs(3600));
        // Any process holds more.
        limits.node_resident_bytes_max = Some(1);
    }));
    let objects: Vec<Object> = (0..2).map(|_| node.fresh(guest::GATES, "Gates")).collect();
    objects.iter().for_each(|object| assert_eq!(object.ok("increment", json!([])), json!(1)));
    objects.iter().for_each(Object::wait_until_evicted);
    objects.iter().for_each(|object| assert_eq!(object.ok("increment", json!([])), json!(2)));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    lc_10_an_idle_object_drops_its_instance_and_stays_in_memory,
    lc_10_what_an_instance_has_in_memory_goes_with_it_and_the_next_is_constructed,
    lc_2_whatever_wakes_an_object_finds_its_constructor_done,
    sq_34_switches_and_cursors_go_with_the_instance,
    an_operator_looks_into_an_object_that_hibernates_without_waking_it,
    while_the_process_holds_too_much_memory_objects_without_work_leave_early,
];
