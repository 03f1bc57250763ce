//! What the gate lets out, what it fails, and in which order.
//!
//! Whole objects behind a gate are in `tests/simulation`.

use std::future::poll_fn;

use super::*;
use crate::byte_budget::Budget;
use crate::event::Reply;
use crate::loose_socket::LooseSocket;
use crate::socket::{Frame, SocketClient};
use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::limits::SOCKET_FRAME_BYTES_COUNTED;
use futures::FutureExt;

fn gate(durable: u64) -> Arc<OutputGate> {
    gate_within(durable, HeldBytes::default())
}

fn gate_within(durable: u64, node_bytes: HeldBytes) -> Arc<OutputGate> {
    let beside: RunBeside = Arc::new(|_| panic!("nothing takes long"));
    Arc::new(OutputGate::new(Sequence(durable), node_bytes, beside))
}

/// At most 3 outputs or 5 bytes in one gate, 8 bytes in all.
fn limits() -> ObjectLimits {
    ObjectLimits {
        outputs_held_max: 3,
        outputs_held_bytes_max: 5,
        node_outputs_held_bytes_max: 8,
        ..ObjectLimits::default()
    }
}

fn has_room(gate: &OutputGate) -> bool {
    gate.has_room(&limits(), Waker::noop())
}

fn reply(gate: &OutputGate, position: u64) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    let outcome = Ok(Reply::Rpc(Bytes::from(position.to_string())));
    gate.release_after(Sequence(position), Effect::Reply(sender, outcome));
    receiver
}

fn failure() -> Failure {
    Failure::new(ErrorCode::StorageFailed, "commit failed")
}

#[test]
fn a_reply_without_writes_leaves_at_once() {
    let gate = gate(3);
    assert!(reply(&gate, 3).try_recv().is_ok());
}

#[test]
fn a_reply_waits_for_its_own_commit_and_not_for_later_ones() {
    let gate = gate(0);
    let (mut first, mut second) = (reply(&gate, 1), reply(&gate, 2));
    assert!(first.try_recv().is_err());
    gate.advance(Sequence(1));
    assert!(first.try_recv().is_ok());
    assert!(second.try_recv().is_err());
    gate.advance(Sequence(2));
    assert!(second.try_recv().is_ok());
}

#[test]
fn a_read_only_reply_waits_for_the_newest_commit_before_it() {
    let gate = gate(0);
    let (mut write, mut read) = (reply(&gate, 1), reply(&gate, 1));
    assert!(read.try_recv().is_err());
    gate.advance(Sequence(1));
    assert!(write.try_recv().is_ok() && read.try_recv().is_ok());
}

#[test]
fn whatever_else_leaves_keeps_its_place_among_the_answers() {
    let gate = gate(0);
    let (sender, mut sent) = oneshot::channel();
    let mut before = reply(&gate, 1);
    let departure = move |leave| sender.send((before.try_recv().is_ok(), leave)).expect("listening");
    gate.release_after(Sequence(1), Effect::Send(Box::new(departure)));
    assert!(sent.try_recv().is_err());
    gate.advance(Sequence(1));
    assert_eq!(sent.try_recv().expect("has left"), (true, Ok(())));
}

#[test]
fn st_2_what_comes_while_others_are_let_out_goes_behind_them() {
    let gate = gate(0);
    let (sender, order) = std::sync::mpsc::channel();
    let send = |name: &'static str| {
        let sender = sender.clone();
        Effect::Send(Box::new(move |leave| {
            leave.expect("leaves");
            sender.send(name).expect("listening");
        }))
    };
    let (inner, late) = (gate.clone(), send("third"));
    let first = send("first");
    gate.release_after(
        Sequence(1),
        Effect::Send(Box::new(move |_| {
            first.release();
            inner.release_after(Sequence(1), late);
        })),
    );
    gate.release_after(Sequence(1), send("second"));
    gate.advance(Sequence(1));
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["first", "second", "third"]);
}

#[test]
fn a_broken_gate_fails_what_it_holds_and_what_comes_later() {
    let gate = gate(0);
    let mut held = reply(&gate, 1);
    gate.break_with(failure());
    assert_eq!(held.try_recv().expect("answered"), Err(failure()));
    assert_eq!(reply(&gate, 0).try_recv().expect("answered"), Err(failure()));
}

#[test]
fn a_discarded_turn_fails_its_own_effects_only() {
    let gate = gate(0);
    let (mut kept, mut discarded) = (reply(&gate, 1), reply(&gate, 2));
    gate.discard_after(Sequence(1), &failure());
    assert_eq!(discarded.try_recv().expect("answered"), Err(failure()));
    gate.advance(Sequence(1));
    assert!(kept.try_recv().expect("answered").is_ok());
}

#[test]
fn an_answer_is_counted_from_its_return_until_it_leaves() {
    for end in [
        (|gate| gate.advance(Sequence(1))) as fn(&Arc<OutputGate>),
        |gate| gate.break_with(failure()),
        |gate| gate.discard_after(Sequence(0), &failure()),
    ] {
        let gate = gate(0);
        let _kept: Vec<_> = (0..3)
            .map(|number| {
                assert!(has_room(&gate), "with {number} held");
                reply(&gate, 1)
            })
            .collect();
        assert!(!has_room(&gate));
        end(&gate);
        assert!(has_room(&gate));
        assert_eq!(gate.node_bytes.0.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn bytes_are_bounded_in_one_gate_and_over_all_but_a_gate_without_any_has_room() {
    let all = HeldBytes::default();
    let gates = [(); 3].map(|()| gate_within(0, all.clone()));
    let hold = |gate: &OutputGate, bytes: usize| {
        let outcome = Ok(Reply::Rpc(Bytes::from(vec![0; bytes])));
        gate.release_after(Sequence(1), Effect::Reply(oneshot::channel().0, outcome));
    };
    hold(&gates[0], 5);
    assert!(!has_room(&gates[0]), "its own bytes");
    hold(&gates[1], 2);
    assert!(has_room(&gates[1]));
    hold(&gates[1], 1);
    assert!(!has_room(&gates[1]), "those of all");
    assert!(has_room(&gates[2]), "it holds none");
    gates[0].advance(Sequence(1));
    assert!(has_room(&gates[0]) && has_room(&gates[1]));
    drop(gates);
    assert_eq!(all.0.load(Ordering::Relaxed), 0);
}

#[test]
fn who_waits_for_room_is_woken_when_something_leaves() {
    use futures::task::{ArcWake, waker};
    use std::sync::atomic::AtomicBool;

    #[derive(Default)]
    struct Flag(AtomicBool);
    impl ArcWake for Flag {
        fn wake_by_ref(flag: &Arc<Self>) {
            flag.0.store(true, Ordering::Relaxed);
        }
    }
    let (gate, flag) = (gate(0), Arc::new(Flag::default()));
    let _held: Vec<_> = (0..3).map(|_| reply(&gate, 1)).collect();
    assert!(!gate.has_room(&limits(), &waker(flag.clone())));
    assert!(!flag.0.load(Ordering::Relaxed));
    gate.advance(Sequence(1));
    assert!(flag.0.load(Ordering::Relaxed));
}

fn settle(gate: &Arc<OutputGate>, sequence: u64, outcome: &AppendOutcome) {
    gate.settle(&ObjectId::from_bytes([1; 32]), Sequence(sequence), outcome);
}

fn known(gate: &OutputGate, newest: u64) -> Option<u64> {
    gate.known(Sequence(newest)).map(|durable| durable.0)
}

#[test]
fn og_6_what_waits_before_a_failed_commit_passes_and_what_waits_behind_it_fails() {
    let gate = gate(0);
    let [mut before, mut failing, mut behind] = [1, 2, 3].map(|position| reply(&gate, position));
    settle(&gate, 2, &AppendOutcome::Failed(failure()));
    assert!(before.try_recv().is_err(), "it is not durable yet");
    for fails in [&mut failing, &mut behind] {
        assert_eq!(fails.try_recv().expect("answered").expect_err("failed").message, failure().message);
    }
    assert_eq!(known(&gate, 3), None);
    settle(&gate, 1, &AppendOutcome::Committed);
    assert!(before.try_recv().expect("answered").is_ok());
    assert_eq!(known(&gate, 3), Some(1));
    assert!(reply(&gate, 3).try_recv().expect("answered").is_err());
    gate.reopen();
    let mut again = reply(&gate, 2);
    settle(&gate, 2, &AppendOutcome::Committed);
    assert!(again.try_recv().expect("answered").is_ok());
}

#[test]
fn an_open_outcome_is_known_once_the_commit_is_durable_or_never_will_be() {
    for (outcome, durable) in [(AppendOutcome::Committed, 1), (AppendOutcome::Fenced, 0)] {
        let gate = gate(0);
        let mut waits = reply(&gate, 1);
        settle(&gate, 1, &AppendOutcome::Unknown);
        assert!(waits.try_recv().expect("answered").is_err());
        assert_eq!(known(&gate, 1), None);
        settle(&gate, 1, &outcome);
        assert_eq!(known(&gate, 1), Some(durable));
    }
}

#[test]
fn og_7_a_commit_that_became_durable_in_the_last_moment_is_not_too_late() {
    let gate = gate(0);
    let mut waits = reply(&gate, 2);
    settle(&gate, 1, &AppendOutcome::Committed);
    assert!(!gate.time_out(Sequence(1), failure()));
    assert_eq!(gate.broken(), None);
    assert!(gate.time_out(Sequence(2), failure()));
    assert_eq!(waits.try_recv().expect("answered"), Err(failure()));
}

#[test]
fn a_log_that_fails_breaks_a_gate_for_good_that_was_broken_for_a_time() {
    let gate = gate(0);
    settle(&gate, 1, &AppendOutcome::Fenced);
    assert!(!gate.is_final());
    gate.break_with(failure());
    assert!(gate.is_final());
    assert_eq!(gate.broken(), Some(failure()));
}

#[test]
fn what_a_turn_without_commit_let_wait_waits_for_no_commit_that_never_comes() {
    let gate = gate(0);
    let (mut before, mut within) = (reply(&gate, 1), reply(&gate, 2));
    gate.turn_without_commit(Sequence(1));
    assert!(before.try_recv().is_err() && within.try_recv().is_err());
    gate.advance(Sequence(1));
    assert!(before.try_recv().is_ok() && within.try_recv().is_ok());
    let mut later = reply(&gate, 2);
    gate.turn_without_commit(Sequence(1));
    assert!(later.try_recv().is_ok());
}

/// So many sockets, and their clients.
fn sockets(count: usize) -> (Vec<LooseSocket>, Vec<SocketClient>) {
    (0..count).map(|_| LooseSocket::joined(&ObjectLimits::default())).unzip()
}

fn broadcast(to: &[LooseSocket], text: &'static str, places: &Budget) -> Effect {
    let to: Vec<_> = to.iter().map(|loose| loose.socket.clone()).collect();
    let places = places.hold(to.len() * SOCKET_FRAME_BYTES_COUNTED);
    Effect::Frame(Sending::new(to, Frame::Text(text.into()), places))
}

fn next_frame(client: &SocketClient) -> Option<Frame> {
    poll_fn(|cx| client.poll_frame(cx)).now_or_never().map(|frame| frame.expect("not cut"))
}

#[test]
fn a_frame_for_a_few_sockets_leaves_with_its_commit() {
    let (gate, places) = (gate(0), Budget::new(0));
    let (sockets, clients) = sockets(RECEIVERS_AT_ONCE);
    gate.release_after(Sequence(1), broadcast(&sockets, "hi", &places));
    assert!(clients.iter().all(|client| next_frame(client).is_none()));
    gate.advance(Sequence(1));
    assert!(clients.iter().all(|client| next_frame(client) == Some(Frame::Text("hi".into()))));
    assert_eq!(places.held(), 0);
}

#[tokio::test]
async fn og_5_what_goes_to_many_sockets_leaves_beside_the_log_and_in_its_order() {
    let tasks = Arc::new(Mutex::new(Vec::new()));
    let asked = tasks.clone();
    let beside: RunBeside = Arc::new(move |task| asked.lock().expect("lock").push(task));
    let gate = Arc::new(OutputGate::new(Sequence(0), HeldBytes::default(), beside));
    let places = Budget::new(0);
    let (sockets, clients) = sockets(3 * RECEIVERS_AT_ONCE + 1);
    gate.release_after(Sequence(1), broadcast(&sockets, "first", &places));
    let mut answer = reply(&gate, 1);
    gate.advance(Sequence(1));
    assert!(clients.iter().all(|client| next_frame(client).is_none()), "the log was held up");
    gate.release_after(Sequence(1), broadcast(&sockets[..1], "second", &places));
    assert!(answer.try_recv().is_err() && next_frame(&clients[0]).is_none(), "overtaken");
    let mut durable = Box::pin(poll_fn(|cx| gate.poll_durable(cx, Sequence(1))));
    assert!((&mut durable).now_or_never().is_none(), "another gate could overtake it");
    let mut tasks = std::mem::take(&mut *tasks.lock().expect("lock"));
    assert_eq!(tasks.len(), 1);
    futures::join!(tasks.remove(0), async { durable.await.expect("durable") });
    assert!(clients.iter().all(|client| next_frame(client) == Some(Frame::Text("first".into()))));
    assert_eq!(next_frame(&clients[0]), Some(Frame::Text("second".into())));
    assert!(answer.try_recv().is_ok());
    assert_eq!((places.held(), gate.lock().held_bytes), (0, 0));
    assert!(reply(&gate, 1).try_recv().is_ok(), "nothing waits any more");
}

#[tokio::test]
async fn og_5_what_is_durable_and_on_its_way_leaves_although_the_log_fails_meanwhile() {
    let tasks = Arc::new(Mutex::new(Vec::new()));
    let asked = tasks.clone();
    let beside: RunBeside = Arc::new(move |task| asked.lock().expect("lock").push(task));
    let gate = Arc::new(OutputGate::new(Sequence(0), HeldBytes::default(), beside));
    let places = Budget::new(0);
    let (sockets, clients) = sockets(RECEIVERS_AT_ONCE + 1);
    gate.release_after(Sequence(1), broadcast(&sockets, "durable", &places));
    let mut durable = reply(&gate, 1);
    let mut never = reply(&gate, 2);
    gate.advance(Sequence(1));
    gate.break_with(failure());
    assert_eq!(never.try_recv().expect("answered"), Err(failure()));
    let task = tasks.lock().expect("lock").pop().expect("a task");
    task.await;
    assert!(durable.try_recv().expect("answered").is_ok());
    assert!(clients.iter().all(|client| next_frame(client) == Some(Frame::Text("durable".into()))));
}
