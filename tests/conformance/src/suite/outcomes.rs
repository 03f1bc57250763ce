//! Commits that come late, fail, or are not known to be in the log, as callers see them (OG, LC-9); and objects
//! that are evicted or reset as a test says.
//!
//! On nodes with hooks, which no user has. What waits, what passes and what is undone is simulated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_server::AppendOutcome::{self, Committed, Failed, Unknown};
use durabo_server::CommitFault::{Answer, Hold};
use durabo_server::{Durability, ObjectHooks};
use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest_log;
use crate::node::{TestConfig, fresh_name};
use crate::{Object, TestNode, eventually, guest};

use super::database::{Database, step};
use super::standing::hooked_node;

/// Long enough, as a rule, for a commit that nothing holds.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const REFUSED: &str = "the log refused the commit";

pub(super) fn refused() -> AppendOutcome {
    Failed(Failure::new(ErrorCode::StorageFailed, REFUSED))
}

/// An object of `Gates` whose counter is durably 1, and its hooks.
fn counting(node: &TestNode) -> (Object, ObjectHooks) {
    let object = node.fresh(guest::GATES, "Gates");
    object.ok("write", json!([1]));
    let hooks = node.hooks(&object);
    (object, hooks)
}

pub(super) fn wait_until_held(hooks: &ObjectHooks) {
    eventually("the commit is held", || (hooks.held_commits() > 0).then_some(()));
}

/// Waits until so many events are in the object's guest.
pub(super) fn wait_until_in_guest(hooks: &ObjectHooks, events: usize) {
    eventually(&format!("{events} events are in the guest"), || {
        (hooks.events_in_guest() == events).then_some(())
    });
}

/// Waits until so many events wait in the object's mailbox.
pub(super) fn wait_until_waiting(hooks: &ObjectHooks, events: usize) {
    eventually(&format!("{events} events wait in the mailbox"), || {
        (hooks.events_waiting() == events).then_some(())
    });
}

/// Runs `ask` while its commit is held, and `meanwhile` before the commit is let go; the answer must come after
/// that.
pub(super) fn answered_after_the_commit<T: Send>(
    hooks: &ObjectHooks,
    ask: impl FnOnce() -> T + Send,
    meanwhile: impl FnOnce(),
) -> T {
    let let_go = AtomicBool::new(false);
    hooks.plan_fault(Hold);
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let answer = ask();
            assert!(let_go.load(Ordering::SeqCst), "it was answered before the commit");
            answer
        });
        wait_until_held(hooks);
        meanwhile();
        let_go.store(true, Ordering::SeqCst);
        assert!(hooks.answer_held(Committed), "a commit is held");
        asked.join().expect("a client panicked")
    })
}

fn c_059_a_commit_that_fails_resets_the_object_and_the_next_event_sees_the_state_before() {
    let (object, hooks) = counting(hooked_node());
    hooks.plan_fault(Answer(refused()));
    let error = object.fails("write", json!([2]));
    error.assert_reset("storage-failed");
    error.assert_says(REFUSED);
    assert_eq!(object.ok("read", json!([])), json!(1));
    assert_eq!(object.ok("increment", json!([])), json!(2));
    let listed = object.listed().expect("it is in memory");
    assert_eq!((&listed["resets"], &listed["starts"]), (&json!(1), &json!(2)), "{listed}");
}

fn og_6_the_caller_gets_the_commits_error_although_an_earlier_turn_was_answered_well() {
    let (object, hooks) = counting(hooked_node());
    hooks.plan_fault(Answer(Committed));
    hooks.plan_fault(Answer(refused()));
    object.fails("write_sleep_write", json!(["x", 1])).assert_says(REFUSED);
    assert_eq!(object.ok("journal", json!([])), json!(["x before"]));
}

fn c_074_a_response_waits_for_the_commit_and_a_read_elsewhere_waits_for_nothing() {
    let (object, hooks) = counting(hooked_node());
    let (other, _) = counting(hooked_node());
    let response = answered_after_the_commit(
        &hooks,
        || object.get("/"),
        || assert_eq!(other.ok("read", json!([])), json!(1)),
    );
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(object.ok("read", json!([])), json!(2));
}

fn c_297_the_result_of_a_call_waits_for_the_commit() {
    let (object, hooks) = counting(hooked_node());
    let result = answered_after_the_commit(&hooks, || object.ok("increment", json!([])), || ());
    assert_eq!(result, json!(2));
}

fn c_076_a_call_behind_a_commit_that_fails_never_reaches_the_other_object() {
    let caller = hooked_node().fresh(guest::STUB, "Caller");
    let target = hooked_node().fresh(guest::STUB, "Target");
    caller.ok("append", json!(["here"]));
    let hooks = hooked_node().hooks(&caller);
    hooks.plan_fault(Hold);
    let noted = |target: &Object| -> Value { target.ok("journal", json!([])) };
    let before = noted(&target);
    thread::scope(|scope| {
        let call = scope.spawn(|| caller.fails("note_and_append", json!([target.segment()])));
        wait_until_held(&hooks);
        assert_eq!(noted(&target), before, "the call left before the commit");
        assert!(hooks.answer_held(refused()), "a commit is held");
        call.join().expect("a client panicked").assert_says(REFUSED);
    });
    // What is asked for now stands behind it.
    assert_eq!(caller.ok("journal", json!([])), json!(["here"]));
    assert_eq!(noted(&target), before);
}

fn c_089_a_line_of_the_log_does_not_wait_for_the_commit() {
    guest_log::collect();
    let (object, hooks) = counting(hooked_node());
    let line = format!("logged by {}", fresh_name());
    let written = answered_after_the_commit(
        &hooks,
        || object.ok("write_and_log", json!([2, line])),
        || eventually("the line is in the log", || guest_log::holds(&line).then_some(())),
    );
    assert_eq!(written, json!(null));
}

fn c_090_a_commit_that_hangs_resets_the_object_and_stays_if_it_is_durable_after_all() {
    let mut config = TestConfig::with_hooks(|limits| limits.commit_timeout = COMMIT_TIMEOUT);
    // What is held is not in the log yet, and what passes is not to wait for a slow disk.
    config.durability = Durability::Relaxed;
    let node = TestNode::with(config);
    for (outcome, count) in [(Committed, 2), (refused(), 1)] {
        let object = node.fresh(guest::GATES, "Gates");
        // The limit holds for this commit too; the first of all begins a segment, whose name is synced all the same.
        eventually("the counter is 1", || object.call("write", json!([1])).ok());
        let hooks = node.hooks(&object);
        hooks.plan_fault(Hold);
        let error = object.fails("write", json!([2]));
        error.assert_says("exceeded timeout which caused object to be reset");
        assert!(error.overloaded && error.object_reset, "{error:?}");
        assert_eq!(error.code, "commit-timeout");
        // Nobody may see a state that is not known yet.
        let error = object.fails("read", json!([]));
        error.assert_says("out of service until it is known");
        assert!(error.retryable, "{error:?}");
        assert!(hooks.answer_held(outcome), "a commit is held");
        let read = || object.call("read", json!([])).ok();
        assert_eq!(eventually("the object is in service again", read), json!(count));
    }
}

fn a_guest_that_waits_for_the_disk_before_it_writes_on_is_reset_when_the_commit_hangs() {
    let mut config = TestConfig::with_hooks(|limits| {
        limits.commit_timeout = COMMIT_TIMEOUT;
        limits.wal_bytes_max = 64 * 1024;
    });
    config.durability = Durability::Relaxed;
    let node = TestNode::with(config);
    let object = node.fresh(guest::SQL, "Sql");
    let (hooks, db) = (node.hooks(&object), Database::of(object));
    let made = || db.call("run", json!([[{"query": "CREATE TABLE IF NOT EXISTS t (a)"}]])).ok();
    eventually("the table is there", made);
    hooks.plan_fault(Hold);
    thread::scope(|scope| {
        // More than the object may have in memory, so that its next turn waits before it writes.
        let filling = scope.spawn(|| db.run_fails(&[step("INSERT INTO t VALUES (randomblob(1000000))")]));
        wait_until_held(&hooks);
        // On a busy machine it may come when the object is out of service already, and is told so.
        db.run_fails(&[step("INSERT INTO t VALUES (1)")]);
        let error = filling.join().expect("a client panicked");
        assert_eq!((error.code.as_str(), error.object_reset), ("commit-timeout", true), "{error:?}");
    });
    assert!(hooks.answer_held(Committed), "a commit is held");
    let count = || db.call("run", json!([[{"query": "SELECT count(*) FROM t"}]])).ok();
    assert_eq!(eventually("the object is in service again", count)[0]["rows"], json!([[1]]));
}

fn lc_9_a_guest_that_has_stopped_is_reset_when_its_commit_fails() {
    let (object, hooks) = counting(hooked_node());
    hooks.plan_fault(Hold);
    thread::scope(|scope| {
        let call = scope.spawn(|| object.fails("write_and_stop", json!([2, 3_600_000])));
        wait_until_held(&hooks);
        assert!(hooks.answer_held(refused()), "a commit is held");
        call.join().expect("a client panicked").assert_says(REFUSED);
    });
    assert_eq!(object.ok("read", json!([])), json!(1));
}

fn lc_3_a_constructor_whose_commit_fails_answers_its_caller_and_the_next_event_tries_again() {
    let object = hooked_node().fresh(guest::LIFECYCLE, "SlowStart");
    let hooks = hooked_node().hooks(&object);
    // It waits in its midst, which ends its first turn.
    hooks.plan_fault(Answer(refused()));
    object.fails("note", json!(["x"])).assert_says(REFUSED);
    assert_eq!(object.ok("note", json!(["y"])), json!(["starting", "started", "y"]));
}

fn an_object_whose_outcome_is_open_disturbs_no_other() {
    let (object, hooks) = counting(hooked_node());
    hooks.plan_fault(Answer(Unknown));
    object.fails("write", json!([2])).assert_says("is not known at present");
    let (other, _) = counting(hooked_node());
    assert_eq!(other.ok("increment", json!([])), json!(2));
    assert!(hooks.answer_held(Committed), "a commit is held");
    let read = || object.call("read", json!([])).ok();
    assert_eq!(eventually("the object is in service again", read), json!(2));
}

fn lc_10_an_object_that_is_evicted_starts_anew_with_what_it_stored() {
    let object = hooked_node().fresh(guest::LIFECYCLE, "Lifecycle");
    object.ok("set", json!(["k", 7]));
    let born = object.ok("born", json!([]));
    hooked_node().hooks(&object).evict();
    object.wait_until_evicted();
    assert_eq!(object.ok("value", json!(["k"])), json!(7));
    assert_ne!(object.ok("born", json!([])), born);
}

fn lc_8_an_object_that_is_reset_fails_its_events_and_starts_anew() {
    let (object, hooks) = counting(hooked_node());
    let failure = Failure::new(ErrorCode::ObjectReset, "reset by a test");
    thread::scope(|scope| {
        let call = scope.spawn(|| object.fails("write_sleep_write", json!(["x", 3_600_000])));
        eventually("the event waits", || {
            (object.ok("journal", json!([])) == json!(["x before"])).then_some(())
        });
        assert!(hooks.reset(failure), "an instance runs");
        call.join().expect("a client panicked").assert_reset("object-reset");
    });
    assert_eq!(object.ok("journal", json!([])), json!(["x before"]));
}

fn a_node_has_hooks_only_if_it_is_started_with_them() {
    assert!(hooked_node().has_hooks());
    assert!(!TestNode::start().has_hooks());
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_059_a_commit_that_fails_resets_the_object_and_the_next_event_sees_the_state_before,
    og_6_the_caller_gets_the_commits_error_although_an_earlier_turn_was_answered_well,
    c_074_a_response_waits_for_the_commit_and_a_read_elsewhere_waits_for_nothing,
    c_297_the_result_of_a_call_waits_for_the_commit,
    c_076_a_call_behind_a_commit_that_fails_never_reaches_the_other_object,
    c_089_a_line_of_the_log_does_not_wait_for_the_commit,
    c_090_a_commit_that_hangs_resets_the_object_and_stays_if_it_is_durable_after_all,
    a_guest_that_waits_for_the_disk_before_it_writes_on_is_reset_when_the_commit_hangs,
    lc_9_a_guest_that_has_stopped_is_reset_when_its_commit_fails,
    lc_3_a_constructor_whose_commit_fails_answers_its_caller_and_the_next_event_tries_again,
    an_object_whose_outcome_is_open_disturbs_no_other,
    lc_10_an_object_that_is_evicted_starts_anew_with_what_it_stored,
    lc_8_an_object_that_is_reset_fails_its_events_and_starts_anew,
    a_node_has_hooks_only_if_it_is_started_with_them,
];
