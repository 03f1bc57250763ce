//! A small file system that runs full under writers: the node refuses them and lives, readers are answered,
//! and with space again all goes on without a restart. After a `kill -9` nothing acknowledged is missing.
//!
//! The file system is a real one, see `small_disk`. What happens at each single write is played in
//! `tests/simulation`.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::node_process::{NodeProcess, Ran, examples};
use crate::small_disk::SmallDisk;
use crate::waiting::{EndOnDrop, eventually};

const WRITERS: usize = 8;
/// Events of each kind after which a phase is over, for each writer.
const EVENTS: usize = 25;
/// Far more than the slowest phase takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a call came to.
#[derive(Debug)]
enum Answer {
    Number(u64),
    /// Refused for lack of space.
    Full,
    /// The node is gone, or refused for another reason.
    Other(String),
}

fn call(agent: &Agent, listen: &str, object: &str, method: &str) -> Answer {
    let url = format!("http://{listen}/rpc/demo/Counter/{object}/{method}");
    let mut response = match agent.post(url).send_empty() {
        Ok(response) => response,
        Err(error) => return Answer::Other(error.to_string()),
    };
    let status = response.status().as_u16();
    match response.body_mut().read_json::<Value>() {
        Ok(Value::Number(number)) if status == 200 => Answer::Number(number.as_u64().expect("a count")),
        Ok(body) => {
            let text = body.to_string();
            let is_full = text.contains("database or disk is full: SQLITE_FULL");
            if is_full && body["error"]["code"] == "storage-failed" {
                Answer::Full
            } else {
                Answer::Other(text)
            }
        }
        Err(error) => Answer::Other(error.to_string()),
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().proxy(None).http_status_as_error(false);
    config.timeout_global(Some(DEADLINE)).build().new_agent()
}

/// What a writer has seen.
enum Event {
    Acknowledged(usize),
    /// Refused, and the object was read right after.
    Refused(usize),
    Broken(String),
}

/// Increments its own object until it is told to end or the node is gone; returns the acknowledged count.
fn write(listen: &str, writer: usize, end: &AtomicBool, tell: &Sender<Event>) -> (u64, bool) {
    let agent = agent();
    let object = format!("writer-{writer}");
    let mut acknowledged = 0;
    let broken = |text: String| drop(tell.send(Event::Broken(format!("`{object}`: {text}"))));
    loop {
        match call(&agent, listen, &object, "increment") {
            Answer::Number(number) => {
                if number != acknowledged + 1 {
                    broken(format!("count {number} follows {acknowledged}"));
                }
                acknowledged = number;
                drop(tell.send(Event::Acknowledged(writer)));
            }
            Answer::Full => match call(&agent, listen, &object, "get") {
                Answer::Number(number) if number == acknowledged => drop(tell.send(Event::Refused(writer))),
                // One that has never written has nothing to be read.
                Answer::Full if acknowledged == 0 => {}
                other => {
                    if end.load(Ordering::Relaxed) {
                        return (acknowledged, false);
                    }
                    broken(format!("a read after {acknowledged} counts: {other:?}"));
                }
            },
            Answer::Other(text) => {
                if !end.load(Ordering::Relaxed) {
                    broken(text);
                }
                return (acknowledged, true);
            }
        }
    }
}

/// Waits until every writer has told `EVENTS` events of the kind, from now on.
fn wait_for(told: &Receiver<Event>, wanted: fn(&Event) -> Option<usize>) {
    while told.try_recv().map(|event| refuse_broken(&event)).is_ok() {}
    let mut counts = [0; WRITERS];
    while counts.iter().any(|count| *count < EVENTS) {
        let event = told.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no progress: {counts:?}"));
        refuse_broken(&event);
        if let Some(writer) = wanted(&event) {
            counts[writer] += 1;
        }
    }
}

fn refuse_broken(event: &Event) {
    if let Event::Broken(text) = event {
        panic!("{text}");
    }
}

fn acknowledged(event: &Event) -> Option<usize> {
    if let Event::Acknowledged(writer) = event { Some(*writer) } else { None }
}

fn refused(event: &Event) -> Option<usize> {
    if let Event::Refused(writer) = event { Some(*writer) } else { None }
}

fn says_full(node: &NodeProcess) -> bool {
    let status = node.ask(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    status.stdout.contains("refused, the disk is full")
}

/// Deploys the examples as another app.
fn deploy_again(node: &NodeProcess, app: &str) -> Ran {
    node.ask(&["deploy", examples().to_str().expect("path"), "--app", app])
}

#[test]
fn a_disk_that_runs_full_under_writers_stops_nobody_and_loses_nothing() {
    let Some(disk) = SmallDisk::get() else { return };
    let node = disk.start_node();
    node.deploy_examples();
    let (tell, told) = mpsc::channel();
    let end = AtomicBool::new(false);
    let listen = node.listen.clone();
    let written: Vec<(u64, bool)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (tell, listen, end) = (tell.clone(), listen.as_str(), &end);
                scope.spawn(move || write(listen, writer, end, &tell))
            })
            .collect();
        // Whatever fails below, the writers must end: the node goes, and before that they know that it does.
        let node = node;
        let ended = EndOnDrop(&end);
        for round in 0..2 {
            wait_for(&told, acknowledged);
            let filler = disk.fill();
            wait_for(&told, refused);
            let deployed = deploy_again(&node, &format!("other-{round}"));
            assert_eq!(deployed.code, Some(1), "{deployed:?}");
            assert!(deployed.stderr.contains("disk is full (storage-failed"), "{deployed:?}");
            // By a thread that looks twice a second.
            eventually("the status tells it", || says_full(&node));
            fs::remove_file(filler).expect("filler");
            wait_for(&told, acknowledged);
            assert!(!says_full(&node));
            let deployed = deploy_again(&node, &format!("other-{round}"));
            assert_eq!(deployed.code, Some(0), "{deployed:?}");
        }
        drop(ended);
        node.kill();
        writers.into_iter().map(|writer| writer.join().expect("writer")).collect()
    });
    let node = disk.start_node();
    for (writer, (acknowledged, is_open)) in written.into_iter().enumerate() {
        let stored = call(&agent(), &node.listen, &format!("writer-{writer}"), "get");
        let Answer::Number(stored) = stored else { panic!("writer {writer}: {stored:?}") };
        let possible = acknowledged..=acknowledged + u64::from(is_open);
        assert!(possible.contains(&stored), "writer {writer} holds {stored}, not {possible:?}");
    }
}
