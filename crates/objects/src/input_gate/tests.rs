//! The rules of sections on the gate alone.
//!
//! What a guest sees of them is in the simulation and in the conformance suite.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use futures::FutureExt;

use super::*;

/// Lets the runtime wake what has yielded.
async fn turn_over() {
    for _ in 0..4 {
        yield_now().await;
    }
}

async fn opened(gate: &InputGate, parent: Option<&Section>) -> Section {
    gate.ask(parent).expect("may be asked for").open().await.expect("opens")
}

fn passes(gate: &InputGate, asked: AskedAt) -> bool {
    gate.poll_pass(asked, &mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn a_section_never_opens_at_the_first_poll() {
    let gate = InputGate::default();
    let mut opening = pin!(gate.ask(None).expect("asked").open());
    assert!(opening.as_mut().now_or_never().is_none());
    assert!(gate.is_closed(), "events wait from the call on");
    assert!(opening.await.is_ok());
}

#[tokio::test]
async fn ig_5_what_was_asked_for_before_waits_and_what_is_asked_for_since_passes() {
    let gate = InputGate::default();
    let before = gate.now();
    assert!(passes(&gate, before));
    let section = opened(&gate, None).await;
    assert!(!passes(&gate, before) && passes(&gate, gate.now()));
    assert!(!gate.is_open(Waker::noop()));
    section.leave();
    assert!(passes(&gate, before) && gate.is_open(Waker::noop()));
}

#[tokio::test]
async fn what_asks_while_a_section_is_about_to_open_is_not_of_the_section() {
    let gate = InputGate::default();
    let mut opening = pin!(gate.ask(None).expect("asked").open());
    assert!(opening.as_mut().now_or_never().is_none());
    let between = gate.now();
    assert!(!passes(&gate, between));
    let section = opening.await.expect("opens");
    assert!(!passes(&gate, between) && !gate.is_of_section(between));
    drop(section);
    assert!(passes(&gate, between));
}

#[tokio::test]
async fn a_section_does_not_open_while_guest_code_is_stopped_in_its_midst() {
    let gate = InputGate::default();
    let mut opening = pin!(gate.ask(None).expect("asked").open());
    assert!(opening.as_mut().now_or_never().is_none());
    turn_over().await;
    assert!(opening.as_mut().now_or_never().is_none());
    gate.note_suspension();
    turn_over().await;
    assert!(opening.as_mut().now_or_never().is_none(), "what stood behind that code may not have run");
    turn_over().await;
    assert!(opening.as_mut().now_or_never().is_some());
}

#[tokio::test]
async fn c_065_sections_without_a_parent_open_in_the_order_in_which_they_were_asked_for() {
    let gate = InputGate::default();
    let first = gate.ask(None).expect("asked");
    let mut second = pin!(gate.ask(None).expect("asked").open());
    let first = first.open().await.expect("opens");
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert!(!gate.is_open(Waker::noop()), "the second goes before ordinary events");
    let second = second.await.expect("opens");
    drop(second);
    assert!(gate.is_open(Waker::noop()));
}

#[tokio::test]
async fn ig_6_a_nested_section_holds_its_parents_other_work_until_it_is_left() {
    let gate = InputGate::default();
    let outer = opened(&gate, None).await;
    let of_outer = gate.now();
    let inner = opened(&gate, Some(&outer)).await;
    assert!(!passes(&gate, of_outer) && passes(&gate, gate.now()));
    drop(inner);
    assert!(passes(&gate, of_outer));
}

#[tokio::test]
async fn ig_6_the_gate_opens_only_when_the_inner_section_is_left_too() {
    let gate = InputGate::default();
    let outer = opened(&gate, None).await;
    let inner = opened(&gate, Some(&outer)).await;
    drop(outer);
    assert!(gate.is_closed());
    drop(inner);
    assert!(!gate.is_closed());
}

#[tokio::test]
async fn c_066_sixty_four_levels_open_and_one_more_is_refused_without_harm() {
    let gate = InputGate::default();
    let mut levels = vec![opened(&gate, None).await];
    while levels.len() < limits::SECTIONS_NESTED_MAX {
        levels.push(opened(&gate, levels.last()).await);
    }
    let refused = gate.ask(levels.last()).expect_err("too deep");
    assert!(refused.message.contains("nested too deeply") && !refused.flags.object_reset, "{refused}");
    while levels.pop().is_some() {}
    assert!(!gate.is_closed());
}

#[tokio::test]
async fn nobody_enters_within_a_section_that_was_left() {
    let gate = InputGate::default();
    let outer = opened(&gate, None).await;
    let inner = opened(&gate, Some(&outer)).await;
    let mut queued = pin!(gate.ask(Some(&outer)).expect("asked").open());
    assert!(queued.as_mut().now_or_never().is_none());
    outer.leave();
    assert_eq!(gate.ask(Some(&outer)).expect_err("left").code, "section-left");
    assert_eq!(queued.await.expect_err("left").code, "section-left");
    drop(inner);
    assert!(!gate.is_closed());
}

#[tokio::test]
async fn one_that_is_given_up_while_it_waits_holds_nobody() {
    let gate = InputGate::default();
    let first = opened(&gate, None).await;
    let second = gate.ask(None).expect("asked");
    let third = gate.ask(None).expect("asked");
    drop(second);
    drop(first);
    drop(third.open().await.expect("opens"));
    assert!(!gate.is_closed());
}

#[tokio::test]
async fn whoever_is_held_is_woken_when_the_section_is_left() {
    #[derive(Default)]
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let gate = InputGate::default();
    let before = gate.now();
    let section = opened(&gate, None).await;
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    assert!(gate.poll_pass(before, &mut Context::from_waker(&waker)).is_pending());
    assert!(!flag.0.load(Ordering::Relaxed));
    section.leave();
    assert!(flag.0.load(Ordering::Relaxed));
}
