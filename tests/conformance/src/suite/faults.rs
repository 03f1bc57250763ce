//! Guests that go wrong: each gets its own clear error, and the object answers afterwards.
//!
//! What only takes too much is in `limits`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::case::{Case, cases};
use crate::eventually::holds_for;
use crate::node::TestConfig;
use crate::{TestNode, eventually, guest};

use super::standing::{IDLE_AFTER, evict_after, lasting_node, node, strict_node};
use super::together::together;

fn a_panic_carries_its_text() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("panic", json!(["the reason is here"]));
    error.assert_reset("guest-trapped");
    error.assert_says("the reason is here");
    assert_eq!(object.ok("traces", json!([])), json!([]));
    let error = object.get("/panic").error();
    error.assert_reset("guest-trapped");
    error.assert_says("panicked in fetch");
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn a_trap_names_its_cause_and_place() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("trap", json!([]));
    error.assert_reset("guest-trapped");
    error.assert_says("unreachable");
    error.assert_says("trapped in `");
    assert_eq!(object.ok("traces", json!([])), json!([]));
}

fn recursion_without_end_is_a_trap_of_the_stack() {
    let object = strict_node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("recurse", json!([]));
    error.assert_reset("guest-trapped");
    // The stack of a Rust guest lies below its data, so that its end is an access out of bounds.
    assert!(["stack", "out of bounds"].iter().any(|part| error.message.contains(part)), "{error:?}");
    error.assert_says("deeper");
    assert_eq!(object.ok("traces", json!([])), json!([]));
}

fn garbage_instead_of_a_result_is_an_error_and_no_reset() {
    let object = node().fresh(guest::FAULTS, "Faults");
    let error = object.fails("garbage", json!([]));
    assert_eq!(
        (error.code.as_str(), error.status, error.object_reset),
        ("invalid-guest-result", 500, false),
        "{error:?}"
    );
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn a_guest_that_talks_without_end_disturbs_nobody() {
    let (object, neighbour) = (node().fresh(guest::FAULTS, "Faults"), node().fresh(guest::FAULTS, "Faults"));
    thread::scope(|scope| {
        let flood = scope.spawn(|| object.ok("noise", json!([20_000])));
        while !flood.is_finished() {
            assert_eq!(neighbour.ok("ping", json!([])), json!("pong"));
        }
        assert_eq!(flood.join().expect("a client panicked"), json!(null));
    });
    // The end of standard error explains a trap even if its line was dropped.
    object.fails("panic", json!(["after the flood"])).assert_says("after the flood");
    assert_eq!(object.ok("ping", json!([])), json!("pong"));
}

fn b_59_events_that_wait_for_themselves_hold_up_nobody_and_end_with_their_instance() {
    const STUCK_EACH: usize = 10;
    let objects: Vec<_> = (0..10).map(|_| node().fresh(guest::GATES, "Gates")).collect();
    let born: Vec<_> = objects.iter().map(|object| object.ok("increment", json!([]))).collect();
    assert_eq!(born, vec![json!(1); objects.len()]);
    let (under_way, healthy) = (Barrier::new(objects.len() + 1), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stuck: Vec<_> = objects
            .iter()
            .flat_map(|object| (0..STUCK_EACH).map(move |_| object))
            .map(|object| scope.spawn(|| object.fails("wait_for_itself", json!([]))))
            .collect();
        for object in &objects {
            let (under_way, healthy) = (&under_way, &healthy);
            scope.spawn(move || {
                // The stuck events of this object are counted by the object itself.
                eventually("the events wait", || {
                    (object.ok("stuck", json!([])) == json!(STUCK_EACH)).then_some(())
                });
                for count in 2..=11 {
                    assert_eq!(object.ok("increment", json!([])), json!(count));
                    healthy.fetch_add(1, Ordering::Relaxed);
                }
                under_way.wait();
            });
        }
        under_way.wait();
        assert!(stuck.iter().all(|call| !call.is_finished()), "an event that waits for itself was answered");
        for object in &objects {
            object.fails("abort_with", json!(["enough"])).assert_reset("object-aborted");
        }
        for call in stuck {
            let error = call.join().expect("a client panicked");
            assert_eq!(error.message, "enough");
            error.assert_reset("object-aborted");
        }
    });
    assert_eq!(healthy.load(Ordering::Relaxed), 100);
    for object in &objects {
        assert_eq!(object.ok("increment", json!([])), json!(12));
    }
}

fn lc_15_an_event_that_waits_for_itself_ends_when_its_caller_has_gone_for_too_long() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let node = TestNode::with(TestConfig::with_limits(|limits| {
        limits.pending_work_timeout = TIMEOUT;
        evict_after(limits, IDLE_AFTER);
    }));
    // One that suspends, one that cannot, and one that stops its whole instance.
    let stuck = [
        (guest::GATES, "Gates", "wait_for_itself", "[]"),
        (guest::BLOCKING, "Blocking", "sleep", "[3600000]"),
        (guest::BLOCKING, "Blocking", "sleep_by_wasi", "[3600000]"),
    ];
    for (guest, class, method, args) in stuck {
        let object = node.fresh(guest, class);
        let mut caller = node.connect();
        let fields = ["content-type: application/json", &format!("content-length: {}", args.len())];
        caller.send_head(&format!("POST /rpc/{}/{method}", object.address()), &fields);
        caller.send(args);
        eventually("the object has started", || object.is_live().then_some(()));
        holds_for(3 * TIMEOUT, "the event goes on while its caller waits", || object.is_live());
        drop(caller);
        object.wait_until_evicted();
    }
}

fn imports_that_are_given_up_under_way_leave_nothing_behind() {
    let counts = together(10, |_| {
        let object = node().fresh(guest::GATES, "Gates");
        (0..10).for_each(|_| drop(object.ok("give_up_sleeps", json!([100, 60_000]))));
        object.ok("ended_behind", json!([]));
        object.ok("increment", json!([]))
    });
    assert_eq!(counts, vec![json!(11); 10]);
}

fn events_that_return_before_their_imports_end_disturb_nobody() {
    let ended = together(10, |_| {
        let object = lasting_node().fresh(guest::GATES, "Gates");
        for count in 1..=10 {
            object.ok("leave_behind", json!([10, 50]));
            assert_eq!(object.ok("increment", json!([])), json!(count));
        }
        eventually("all that was left behind has ended", || {
            (object.ok("ended_behind", json!([])) == json!(100)).then_some(())
        });
        object.ok("increment", json!([]))
    });
    assert_eq!(ended, vec![json!(11); 10]);
}

fn faults_of_many_objects_at_once_leave_the_node_well() {
    let kinds = ["trap", "recurse", "allocate", "garbage", "spin"];
    let codes = together(kinds.len() * 2, |number| {
        let object = strict_node().fresh(guest::FAULTS, "Faults");
        let error = object.fails(kinds[number % kinds.len()], json!([]));
        assert_eq!(object.ok("ping", json!([])), json!("pong"));
        error.code
    });
    let expected = [
        "guest-trapped",
        "guest-trapped",
        "memory-limit-exceeded",
        "invalid-guest-result",
        "cpu-limit-exceeded",
    ];
    assert_eq!(codes, expected.repeat(2));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    a_panic_carries_its_text,
    a_trap_names_its_cause_and_place,
    recursion_without_end_is_a_trap_of_the_stack,
    garbage_instead_of_a_result_is_an_error_and_no_reset,
    a_guest_that_talks_without_end_disturbs_nobody,
    b_59_events_that_wait_for_themselves_hold_up_nobody_and_end_with_their_instance,
    lc_15_an_event_that_waits_for_itself_ends_when_its_caller_has_gone_for_too_long,
    imports_that_are_given_up_under_way_leave_nothing_behind,
    events_that_return_before_their_imports_end_disturb_nobody,
    faults_of_many_objects_at_once_leave_the_node_well,
];
