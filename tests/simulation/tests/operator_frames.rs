//! What an operator asks of a socket, beside what the object asks of it: the order of their frames (OG-3), and who has
//! closed it when a turn is undone (OG-6, WS-23).
//!
//! Over HTTP the same is in the conformance suite; here it is known when the object has taken a request.

use std::future::poll_fn;

use durabo_model::failure::Failure;
use durabo_objects::append_outcome::AppendOutcome::Committed;
use durabo_objects::commit_faults::CommitFault::Hold;
use durabo_objects::event::{HttpResponse, Reply};
use durabo_objects::socket::{Frame, Message, SocketClient, SocketId};
use durabo_simulation::act::{Act, message, numbers_in, write};
use durabo_simulation::address::address;
use durabo_simulation::fake_socket::Delivered;
use durabo_simulation::stage::{Stage, taken};
use futures::FutureExt;
use tokio::task::JoinHandle;

/// A node with an object that holds the number 1 and has a socket, and the client of that.
async fn open() -> (Stage, SocketId, SocketClient) {
    let stage = Stage::start();
    let answer = stage.send(1, &[write(1), Act::Accept(1)]);
    stage.run_all().await;
    let Ok(Reply::Fetch(HttpResponse { upgrade: Some(upgrade), .. })) = taken(answer) else {
        panic!("nothing was accepted")
    };
    let [Delivered::Accepted(socket, 1)] = stage.world.deliveries.all()[..] else { panic!("no socket") };
    (stage, socket, upgrade.join(String::new()))
}

/// What a client gets.
#[derive(Debug, PartialEq)]
enum Got {
    /// All numbers of the object.
    Numbers(Vec<u64>),
    /// Something that an operator has sent.
    Text(String),
    Closed(Option<u16>),
}

fn all(client: &SocketClient) -> Vec<Got> {
    let next = || poll_fn(|cx| client.poll_frame(cx)).now_or_never().map(|frame| frame.expect("not cut"));
    let got = std::iter::from_fn(next).map(|frame| match frame {
        Frame::Binary(bytes) => Got::Numbers(numbers_in(&bytes)),
        Frame::Text(text) => Got::Text(String::from_utf8_lossy(&text).into_owned()),
        Frame::Close(reason) => Got::Closed(reason.map(|(code, _)| code)),
    });
    got.collect()
}

fn send(stage: &Stage, socket: SocketId, text: &str) -> JoinHandle<Result<(), Failure>> {
    let (directory, message) = (stage.world.directory.clone(), Message::Text(text.to_owned()));
    tokio::spawn(async move { directory.send_to_socket(address(1), socket, message).await })
}

fn close(stage: &Stage, socket: SocketId) -> JoinHandle<Result<(), Failure>> {
    let directory = stage.world.directory.clone();
    tokio::spawn(async move { directory.close_socket(address(1), socket, None, None).await })
}

fn is_done(asked: JoinHandle<Result<(), Failure>>) -> bool {
    asked.now_or_never().is_some_and(|done| done.expect("no panic").is_ok())
}

#[tokio::test(start_paused = true)]
async fn og_3_an_operators_message_stands_between_what_the_object_sent_before_and_after() {
    let (stage, socket, client) = open().await;
    stage.plan(1, Hold);
    client.receive(message(&[write(2), Act::SendBack]));
    stage.run_all().await;
    let sent = send(&stage, socket, "between");
    stage.run_all().await;
    client.receive(message(&[write(3), Act::SendBack]));
    stage.run_all().await;
    assert_eq!(all(&client), [], "a frame left before its commit");
    assert!(!sent.is_finished(), "it was answered before its message has left");
    stage.answer_held(1, Committed).await;
    let [before, between, after] =
        [Got::Numbers(vec![1, 2]), Got::Text("between".to_owned()), Got::Numbers(vec![1, 2, 3])];
    assert_eq!(all(&client), [before, between, after]);
    assert!(is_done(sent));
}

#[tokio::test(start_paused = true)]
async fn og_6_a_close_of_the_object_that_is_undone_leaves_that_of_an_operator() {
    let (stage, socket, client) = open().await;
    let closed = close(&stage, socket);
    stage.run_all().await;
    assert!(is_done(closed));
    assert_eq!(all(&client), [Got::Closed(None)]);
    client.receive(message(&[write(2), Act::CloseSocket, Act::Trap]));
    stage.run_all().await;
    // It has not closed the socket, so that this is dropped without an error and the handler goes on.
    client.receive(message(&[write(3), Act::SendAnyhow, write(4)]));
    stage.run_all().await;
    assert_eq!(stage.held(1).await, [1, 3, 4]);
    client.receive(message(&[write(5), Act::CloseSocket]));
    stage.run_all().await;
    // Now it has.
    client.receive(message(&[write(6), Act::SendAnyhow, write(7)]));
    stage.run_all().await;
    assert_eq!(stage.held(1).await, [1, 3, 4, 5, 6]);
    assert_eq!(all(&client), [], "a second closing frame, or something behind the first");
}
