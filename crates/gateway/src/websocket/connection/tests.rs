//! When a connection ends, what its client gets to see of it, and what its object hears.
//!
//! Frames are tested with their reader, whole nodes in the suite. Time is the runtime's, which stands still but for
//! what is waited for.

use durabo_model::limits::{ObjectLimits, SOCKET_EVENTS_WAITING_MAX};
use durabo_objects::loose_socket::{LooseEvent, LooseSocket};
use durabo_objects::socket::Message;
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::*;
use crate::client_link::ClientLink;

const KIB: usize = 1024;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

const TIMES: ConnectionTimes =
    ConnectionTimes { silence_max: Duration::from_secs(60), close_timeout: Duration::from_secs(10) };

/// Of a large message, two of which are more than may wait for an object.
const LARGE_BYTES: usize = 60 * KIB;

/// Longer than anything may take.
const LONG: Duration = Duration::from_secs(3600);

/// A client, 64 KiB away from the node.
struct Peer(DuplexStream);

impl Peer {
    async fn send_head(&mut self, opcode: u8, bytes: usize) {
        let mut head = vec![0x80 | opcode, 0x80 | 127];
        head.extend((bytes as u64).to_be_bytes());
        // A mask that changes nothing.
        head.extend([0; 4]);
        self.0.write_all(&head).await.expect("the node reads");
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        if payload.len() < 126 {
            let head = [0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
            self.0.write_all(&head).await.expect("the node reads");
        } else {
            self.send_head(opcode, payload.len()).await;
        }
        self.0.write_all(payload).await.expect("the node reads");
    }

    /// Sends a text twice within each time of silence, and reads nothing, until the connection has ended.
    async fn send_on(&mut self) {
        while self.0.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.is_ok() {
            sleep(TIMES.silence_max / 2).await;
        }
    }

    /// Sends messages one upon the other, so many bytes at most, for as long as somebody reads.
    async fn flood(&mut self, bytes_max: usize) {
        let mut message = vec![0; 8 + LARGE_BYTES];
        message[..2].copy_from_slice(&[0x82, 0x80 | 126]);
        message[2..4].copy_from_slice(&(LARGE_BYTES as u16).to_be_bytes());
        for _ in 0..bytes_max / message.len() {
            if self.0.write_all(&message).await.is_err() {
                return;
            }
        }
    }

    async fn send_texts(&mut self, count: usize) {
        for number in 0..count {
            self.send(1, number.to_string().as_bytes()).await;
        }
    }

    /// The next frame, which is a short one.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).await.expect("a head");
            let mut payload = vec![0; usize::from(head[1])];
            self.0.read_exact(&mut payload).await.expect("a payload");
            (head[0] & 0xf, payload)
        };
        timeout(LONG, read).await.expect("a frame comes")
    }
}

type Served = (LooseSocket, Peer, JoinHandle<()>, watch::Sender<bool>);

fn serve(limits: &ObjectLimits) -> Served {
    serve_at((), limits)
}

fn serve_at(place: impl Send + 'static, limits: &ObjectLimits) -> Served {
    let (peer, io) = duplex(64 * KIB);
    serve_by(peer, io, place, limits)
}

/// Serves `io`, whose other end `peer` is.
fn serve_by<I>(peer: DuplexStream, io: I, place: impl Send + 'static, limits: &ObjectLimits) -> Served
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, client) = LooseSocket::joined(limits);
    let (stop, stopping) = watch::channel(false);
    (socket, Peer(peer), tokio::spawn(serve_socket((io, place), Side::Server, client, TIMES, stopping)), stop)
}

/// The next event. Its handler runs until it is dropped.
async fn event(socket: &LooseSocket) -> LooseEvent {
    let look = async {
        loop {
            match socket.next_event() {
                Some(event) => return event,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(LONG, look).await.expect("an event comes")
}

async fn expect_texts(socket: &LooseSocket, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(event(socket).await.incident, Incident::Message(Message::Text(number.to_string())));
    }
}

/// How long it takes until the client is taken for gone.
async fn gone_after(socket: &LooseSocket) -> Duration {
    let begun = Instant::now();
    timeout(LONG, socket.client_gone()).await.expect("its end is noticed");
    begun.elapsed()
}

/// How its connection ended, behind texts of one that sends on.
async fn last_event(socket: &LooseSocket) -> Incident {
    loop {
        let incident = event(socket).await.incident;
        if incident.is_last() {
            return incident;
        }
        assert_eq!(incident, Incident::Message(Message::Text("x".to_owned())));
    }
}

/// How its connection ended, for an object that takes a while for each message.
async fn last_event_taken_slowly(socket: &LooseSocket) -> Incident {
    let begun = Instant::now();
    loop {
        let incident = event(socket).await.incident;
        if incident.is_last() {
            return incident;
        }
        assert!(begun.elapsed() < LONG, "the connection has no end");
        // waits: as the handler of a busy object, several of which fit into the time for closing
        sleep(TIMES.close_timeout / 4).await;
    }
}

fn is_lost(incident: &Incident) -> bool {
    matches!(incident, Incident::Close { code: 1006, was_clean: false, .. })
}

/// What one that hangs in a handler leaves waiting, and a little more.
const TOO_MANY: usize = SOCKET_EVENTS_WAITING_MAX + 10;

#[tokio::test(start_paused = true)]
async fn ws_20_a_client_that_leaves_while_its_object_takes_nothing_is_noticed_and_what_it_sent_comes_first() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(TOO_MANY).await;
    let hanging = event(&socket).await;
    drop(peer);
    assert!(gone_after(&socket).await < Duration::from_secs(1));
    drop(hanging);
    expect_texts(&socket, 1..TOO_MANY).await;
    let last = event(&socket).await.incident;
    assert!(is_lost(&last), "{last:?}");
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_client_that_has_left_is_for_others_while_what_it_sent_waits() {
    let (place, mut is_free) = oneshot::channel::<()>();
    let (socket, mut peer, task, _stop) = serve_at(place, &ObjectLimits::default());
    peer.send_texts(TOO_MANY).await;
    let hanging = event(&socket).await;
    assert!((&mut is_free).now_or_never().is_none(), "it is here");
    drop(peer);
    timeout(LONG, is_free).await.expect("free").expect_err("dropped");
    assert!(!task.is_finished());
    drop(hanging);
    expect_texts(&socket, 1..TOO_MANY).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_read_is_pinged_and_not_lost_for_answers_that_nobody_reads() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(SOCKET_EVENTS_WAITING_MAX + 1).await;
    let hanging = event(&socket).await;
    peer.send(2, &[0; 40 * KIB]).await;
    for _ in 0..5 {
        assert_eq!(peer.frame().await, (PING, Vec::new()));
    }
    assert!(!task.is_finished());
    drop(hanging);
    expect_texts(&socket, 1..SOCKET_EVENTS_WAITING_MAX + 1).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 40 * KIB])));
    // Now that it is read, its silence counts.
    let silence = gone_after(&socket).await;
    assert!(silence <= 3 * TIMES.silence_max, "{silence:?}");
    let last = event(&socket).await.incident;
    assert!(is_lost(&last), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    for _ in 0..5 {
        assert_eq!(peer.frame().await, (PING, Vec::new()));
        peer.send(0xa, b"").await;
    }
    assert!(!task.is_finished() && socket.next_event().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_before_the_closing_frame_is_lost_when_the_time_for_closing_is_over() {
    let (socket, _peer, _task, _stop) = serve(&ObjectLimits::default());
    socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
    socket.close(Some((1000, String::new())));
    let after = gone_after(&socket).await;
    assert!(after >= TIMES.close_timeout && after < 2 * TIMES.close_timeout, "{after:?}");
    let last = event(&socket).await.incident;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn ws_22_a_slow_client_gets_all_that_was_sent_before_the_closing_frame() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
    socket.close(Some((3001, "done".to_owned())));
    let mut part = vec![0; 16 * KIB];
    for number in 0..64 {
        // When the last 64 KiB are on their way, so is the closing frame, and that is to be answered soon.
        if number <= 60 {
            sleep(TIMES.close_timeout / 2).await;
        }
        peer.0.read_exact(&mut part).await.expect("it is still sent");
    }
    // The head of the large frame was in the first part.
    peer.0.read_exact(&mut part[..10]).await.expect("the rest");
    assert_eq!(peer.frame().await, (CLOSE, b"\x0b\xb9done".to_vec()));
    peer.send(CLOSE, b"\x0b\xb9done").await;
    let last = event(&socket).await.incident;
    assert_eq!(last, Incident::Close { code: 3001, reason: "done".to_owned(), was_clean: true });
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_fell_behind_is_not_waited_for_longer_however_slowly_it_goes_on() {
    let limits = ObjectLimits { socket_outgoing_bytes_max: 64 * KIB, ..ObjectLimits::default() };
    let (socket, mut peer, _task, _stop) = serve(&limits);
    for _ in 0..3 {
        socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
        yield_now().await;
    }
    let reading = async {
        let mut part = vec![0; 16 * KIB];
        loop {
            sleep(TIMES.close_timeout / 2).await;
            if peer.0.read_exact(&mut part).await.is_err() {
                return sleep(LONG).await;
            }
        }
    };
    let after = tokio::select! {
        () = reading => panic!("never lost"),
        after = gone_after(&socket) => after,
    };
    assert!(after < 2 * TIMES.close_timeout, "{after:?}");
    let last = event(&socket).await.incident;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn ws_21_an_answer_to_a_closing_frame_that_waits_for_the_object_is_no_loss() {
    let (socket, mut peer, _task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(TOO_MANY).await;
    let hanging = event(&socket).await;
    socket.close(Some((1000, String::new())));
    assert_eq!(peer.frame().await, (CLOSE, b"\x03\xe8".to_vec()));
    peer.send(CLOSE, b"\x03\xe8bye").await;
    assert!(gone_after(&socket).await < 2 * TIMES.close_timeout);
    drop(hanging);
    expect_texts(&socket, 1..TOO_MANY).await;
    let last = event(&socket).await.incident;
    assert_eq!(last, Incident::Close { code: 1000, reason: "bye".to_owned(), was_clean: true });
}

#[tokio::test(start_paused = true)]
async fn ws_32_when_the_node_stops_a_client_has_two_seconds_to_answer_whatever_it_has_not_taken() {
    for bytes_before in [0, 1024 * KIB] {
        let (socket, mut peer, task, stop) = serve(&ObjectLimits::default());
        if bytes_before > 0 {
            socket.send(Message::Binary(vec![0; bytes_before])).expect("room");
        }
        let begun = Instant::now();
        stop.send_replace(true);
        timeout(LONG, task).await.expect("the connection is over").expect("in order");
        let waited = begun.elapsed();
        assert!(waited >= GOODBYE_MAX && waited < 2 * GOODBYE_MAX, "{bytes_before}: {waited:?}");
        assert!(socket.next_event().is_none(), "the object was told");
        if bytes_before == 0 {
            let goodbye = [&1001_u16.to_be_bytes()[..], b"the node stops"].concat();
            assert_eq!(peer.frame().await, (CLOSE, goodbye));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_more_than_half_of_the_free_memory_is_refused_and_smaller_ones_pass() {
    let limits = ObjectLimits { node_sockets_incoming_bytes_max: 1024 * KIB, ..ObjectLimits::default() };
    let (socket, mut peer, _task, _stop) = serve(&limits);
    peer.send(2, &[0; 100 * KIB]).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 100 * KIB])));
    peer.send_head(2, 2048 * KIB).await;
    peer.0.write_all(&[0; 600 * KIB]).await.expect("what comes is thrown away");
    let (opcode, reason) = peer.frame().await;
    assert_eq!((opcode, &reason[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
    let last = event(&socket).await.incident;
    let Incident::Error(failure) = last else { panic!("{last:?} is no error") };
    assert!(failure.message.contains("1013"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_and_takes_a_large_frame_slowly_is_alive_and_one_that_stops_is_not() {
    let (socket, mut peer, _task, _stop) = serve(&ObjectLimits::default());
    socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
    let mut part = vec![0; 16 * KIB];
    for _ in 0..32 {
        sleep(TIMES.silence_max * 3 / 4).await;
        peer.0.read_exact(&mut part).await.expect("it is still sent");
    }
    let silence = gone_after(&socket).await;
    assert!(silence >= TIMES.silence_max && silence <= 3 * TIMES.silence_max, "{silence:?}");
    let last = event(&socket).await.incident;
    assert!(is_lost(&last), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn ws_21_what_came_before_a_write_that_failed_is_read_to_its_end_and_a_clean_close_stays_one() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(SOCKET_EVENTS_WAITING_MAX + 1).await;
    let hanging = event(&socket).await;
    // More than is read while the object takes nothing.
    peer.send(2, &[0; 40 * KIB]).await;
    peer.send(CLOSE, b"\x03\xe8bye").await;
    drop(peer);
    socket.send(Message::Text("to nobody".to_owned())).expect("room");
    assert!(gone_after(&socket).await < Duration::from_secs(1));
    sleep(5 * TIMES.silence_max).await;
    drop(hanging);
    expect_texts(&socket, 1..SOCKET_EVENTS_WAITING_MAX + 1).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 40 * KIB])));
    let last = event(&socket).await.incident;
    assert_eq!(last, Incident::Close { code: 1000, reason: "bye".to_owned(), was_clean: true });
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed_when_others_need_what_waits_for_it() {
    let limits = ObjectLimits { sockets_outgoing_bytes_max: 1024 * KIB, ..ObjectLimits::default() };
    let (socket, _peer, _task, _stop) = serve(&limits);
    // The first is on its way, and the second waits.
    for _ in 0..3 {
        socket.send(Message::Binary(vec![0; 300 * KIB])).expect("room");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(gone_after(&socket).await < 2 * TIMES.close_timeout);
    let last = event(&socket).await.incident;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_begun_and_does_not_go_on_is_given_up_and_its_memory_is_free() {
    let (socket, mut peer, _task, _stop) = serve(&ObjectLimits::default());
    peer.send_head(2, 1024 * KIB).await;
    peer.0.write_all(&[0; 100 * KIB]).await.expect("the node reads");
    for _ in 0..3 {
        sleep(TIMES.silence_max * 5 / 9).await;
        peer.0.write_all(&[0; KIB]).await.expect("the node reads");
    }
    let (opcode, reason) = peer.frame().await;
    assert_eq!((opcode, &reason[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
    let last = event(&socket).await.incident;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
    assert_eq!(socket.incoming_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_message_that_goes_on_and_one_that_is_not_read_are_no_fault() {
    let (socket, mut peer, _task, _stop) = serve(&ObjectLimits::default());
    peer.send_head(2, 320 * KIB).await;
    for _ in 0..10 {
        peer.0.write_all(&[0; 32 * KIB]).await.expect("the node reads");
        sleep(TIMES.silence_max * 7 / 8).await;
    }
    let hanging = event(&socket).await;
    assert_eq!(hanging.incident, Incident::Message(Message::Binary(vec![0; 320 * KIB])));
    // One that is half there, behind others for which there is no room.
    peer.send_texts(SOCKET_EVENTS_WAITING_MAX).await;
    peer.send_head(2, 60 * KIB).await;
    peer.0.write_all(&[0; 60 * KIB]).await.expect("on its way");
    sleep(10 * TIMES.silence_max).await;
    drop(hanging);
    expect_texts(&socket, 0..SOCKET_EVENTS_WAITING_MAX).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 60 * KIB])));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_and_takes_nothing_is_lost_and_its_place_is_for_others() {
    let (peer, io) = duplex(64 * KIB);
    let io = ClientLink::new(io, TIMES.silence_max);
    let (place, is_free) = oneshot::channel::<()>();
    let (socket, mut peer, task, _stop) = serve_by(peer, io, place, &ObjectLimits::default());
    socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
    timeout(3 * TIMES.silence_max, peer.send_on()).await.expect("its connection has ended");
    timeout(LONG, socket.client_gone()).await.expect("its end is noticed");
    timeout(LONG, is_free).await.expect("free").expect_err("dropped");
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
    let last = last_event(&socket).await;
    assert!(is_lost(&last), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_and_to_which_nothing_can_be_written_is_lost_also_if_it_was_to_be_closed() {
    for is_closed in [false, true] {
        let (peer, io) = duplex(64 * KIB);
        let (_, broken) = duplex(1);
        let io = tokio::io::join(io, broken);
        let (socket, mut peer, task, _stop) = serve_by(peer, io, (), &ObjectLimits::default());
        socket.send(Message::Text("to nobody".to_owned())).expect("room");
        let after = gone_after(&socket).await;
        assert!(after < Duration::from_secs(1), "{after:?}");
        if is_closed {
            socket.close(Some((1000, String::new())));
        }
        let begun = Instant::now();
        timeout(3 * TIMES.silence_max, peer.send_on()).await.expect("its connection has ended");
        assert!(begun.elapsed() >= TIMES.silence_max, "what it sends is read for a while");
        timeout(LONG, task).await.expect("the connection is over").expect("in order");
        let last = last_event(&socket).await;
        assert_eq!(is_lost(&last), !is_closed, "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ws_18_the_latest_ping_that_comes_while_a_large_frame_is_on_its_way_is_answered_behind_it() {
    let (socket, mut peer, _task, _stop) = serve(&ObjectLimits::default());
    socket.send(Message::Binary(vec![0; 1024 * KIB])).expect("room");
    socket.send(Message::Text("behind".to_owned())).expect("room");
    let mut head = [0; 10];
    peer.0.read_exact(&mut head).await.expect("it is on its way");
    peer.send(PING, b"first").await;
    peer.send(PING, b"latest").await;
    peer.0.read_exact(&mut vec![0; 1024 * KIB]).await.expect("all of it");
    assert_eq!(peer.frame().await, (PONG, b"latest".to_vec()));
    assert_eq!(peer.frame().await, (TEXT, b"behind".to_vec()));
    // With room for the answers, none is left out.
    peer.send(PING, b"one").await;
    peer.send(PING, b"two").await;
    assert_eq!(peer.frame().await, (PONG, b"one".to_vec()));
    assert_eq!(peer.frame().await, (PONG, b"two".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn ws_21_an_answer_to_a_closing_frame_that_stands_behind_more_than_is_read_is_no_loss() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(TOO_MANY).await;
    let hanging = event(&socket).await;
    socket.close(Some((1000, String::new())));
    assert_eq!(peer.frame().await, (CLOSE, b"\x03\xe8".to_vec()));
    peer.send(2, &[0; 40 * KIB]).await;
    peer.send(CLOSE, b"\x03\xe8bye").await;
    sleep(5 * TIMES.close_timeout).await;
    assert!(socket.client_gone().now_or_never().is_none(), "it is still there");
    drop(hanging);
    expect_texts(&socket, 1..TOO_MANY).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 40 * KIB])));
    let last = event(&socket).await.incident;
    assert_eq!(last, Incident::Close { code: 1000, reason: "bye".to_owned(), was_clean: true });
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_a_closing_frame_is_lost_once_what_it_sends_is_read_for_long_enough() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    peer.send_texts(TOO_MANY).await;
    let hanging = event(&socket).await;
    peer.send(2, &[0; 40 * KIB]).await;
    socket.close(Some((1000, String::new())));
    assert_eq!(peer.frame().await, (CLOSE, b"\x03\xe8".to_vec()));
    sleep(5 * TIMES.close_timeout).await;
    assert!(!task.is_finished());
    drop(hanging);
    expect_texts(&socket, 1..TOO_MANY).await;
    assert_eq!(event(&socket).await.incident, Incident::Message(Message::Binary(vec![0; 40 * KIB])));
    let after = gone_after(&socket).await;
    assert!(after <= 2 * TIMES.close_timeout, "{after:?}");
    let last = event(&socket).await.incident;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_on_behind_a_closing_frame_is_lost_though_its_object_takes_little_of_it() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    socket.close(Some((1000, String::new())));
    assert_eq!(peer.frame().await, (CLOSE, b"\x03\xe8".to_vec()));
    let flood = tokio::spawn(async move { peer.flood(usize::MAX).await });
    let last = last_event_taken_slowly(&socket).await;
    assert!(matches!(last, Incident::Error(_)), "{last:?}");
    timeout(LONG, flood).await.expect("nobody reads any more").expect("in order");
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn ws_21_an_answer_behind_all_that_a_connection_may_hold_is_no_loss_however_slowly_that_is_taken() {
    let (socket, mut peer, task, _stop) = serve(&ObjectLimits::default());
    socket.close(Some((1000, String::new())));
    assert_eq!(peer.frame().await, (CLOSE, b"\x03\xe8".to_vec()));
    let sending = tokio::spawn(async move {
        peer.flood(40 * 1024 * KIB).await;
        peer.send(CLOSE, b"\x03\xe8bye").await;
        peer
    });
    let last = last_event_taken_slowly(&socket).await;
    assert_eq!(last, Incident::Close { code: 1000, reason: "bye".to_owned(), was_clean: true });
    timeout(LONG, task).await.expect("the connection is over").expect("in order");
    drop(sending);
}
