//! `kill -9` while objects do all they can with their storage: keys, SQL, both in one turn, everything removed, turns
//! that trap.
//!
//! Limits are small, so that objects are checkpointed, leave memory and come back all the time, and segments of
//! the log are recycled. After each restart an object holds what was acknowledged, or that and the whole of the
//! one turn that was not answered; never a part of it. `DURABO_KILL_ROUNDS` and `DURABO_KILL_SEED` as in
//! `kill_nine`.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use ureq::Agent;

use crate::kill_nine::{ROUND_DEADLINE, Seeded, rounds};
use crate::node_process::{NodeProcess, folder};

const WRITERS: usize = 8;
/// Objects of each writer: most of them are out of memory.
const OBJECTS: u64 = 4;
const KEYS: u64 = 12;
const VALUE_BYTES_MAX: u64 = 30_000;

/// With these, an object that does nothing is in its file and gone in a moment, and the log is held back by
/// nobody for long.
const LIMITS: [&str; 5] = [
    "hibernate_after=20ms",
    "close_after=20ms",
    "wal_bytes_max=128KiB",
    "checkpoint_after=200ms",
    "disk.log_bytes_max=4MiB",
];

/// What an object holds.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stored {
    keys: BTreeMap<String, String>,
    rows: BTreeMap<u64, u64>,
}

/// One turn: the calls of the guest, and what becomes of the object by them.
struct Turn {
    method: &'static str,
    steps: Vec<Value>,
    after: Stored,
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)";

impl Turn {
    /// A turn of up to five changes of what is stored.
    fn any(stored: &Stored, dice: &mut Seeded) -> Self {
        let mut turn = Self { method: "run", steps: vec![json!({ "sql": CREATE })], after: stored.clone() };
        for _ in 0..=dice.below(5) {
            turn.add_change(dice);
        }
        turn.method = match dice.below(10) {
            0 => "run_and_trap",
            1 | 2 => "run_and_sync",
            _ => "run",
        };
        if turn.method == "run_and_trap" {
            turn.after = stored.clone();
        }
        turn
    }

    fn add_change(&mut self, dice: &mut Seeded) {
        let (key, id) = (format!("k{}", dice.below(KEYS)), dice.below(50));
        let number = dice.below(1_000_000);
        match dice.below(6) {
            0 if dice.below(3) == 0 => {
                self.after = Stored::default();
                self.steps.extend([json!("delete-all"), json!({ "sql": CREATE })]);
            }
            0 => {
                self.after.keys.remove(&key);
                self.steps.push(json!({ "delete": key }));
            }
            1 => {
                self.after.rows.remove(&id);
                self.steps.push(json!({ "sql": format!("DELETE FROM rows WHERE id = {id}") }));
            }
            2 | 3 => {
                self.after.rows.insert(id, number);
                let query = format!("INSERT OR REPLACE INTO rows VALUES({id}, {number})");
                self.steps.push(json!({ "sql": query }));
            }
            _ => {
                let size = dice.below(VALUE_BYTES_MAX);
                let value: String = (0..size).map(|_| char::from(b'a' + dice.below(26) as u8)).collect();
                self.steps.push(json!({ "put": [key, bytes(&value)] }));
                self.after.keys.insert(key, value);
            }
        }
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().proxy(None).http_status_as_error(false);
    config.timeout_global(Some(ROUND_DEADLINE)).build().new_agent()
}

/// A value as the guest takes it.
fn bytes(value: &str) -> Value {
    json!({ "$bytes": BASE64_STANDARD.encode(value) })
}

/// How a call ended.
enum Answer {
    Done(Value),
    /// The guest has trapped.
    Trapped,
    /// None came: nobody knows whether the turn counted.
    None,
}

fn call(agent: &Agent, listen: &str, object: &str, method: &str, steps: &[Value]) -> Answer {
    let url = format!("http://{listen}/rpc/kv/Kv/{object}/{method}");
    let mut response = match agent.post(url).send_json([steps]) {
        Ok(response) => response,
        Err(_) => return Answer::None,
    };
    let status = response.status();
    let Ok(body) = response.body_mut().with_config().limit(64 << 20).read_json::<Value>() else {
        return Answer::None;
    };
    if status.is_success() {
        return Answer::Done(body);
    }
    assert!(body.to_string().contains("guest-trapped"), "`{object}` {method}: {status} {body}");
    Answer::Trapped
}

fn stored(agent: &Agent, listen: &str, object: &str) -> Stored {
    let rows = "SELECT id * 1000000 + n FROM rows ORDER BY id";
    let steps = [json!({ "list": {} }), json!({ "sql": CREATE }), json!({ "sql": rows })];
    let Answer::Done(answer) = call(agent, listen, object, "run", &steps) else {
        panic!("`{object}` does not answer after the restart");
    };
    let entries = answer[0].as_array().expect("entries").iter();
    let keys = entries.map(|entry| {
        let bytes = BASE64_STANDARD.decode(entry[1]["$bytes"].as_str().expect("bytes")).expect("base64");
        (entry[0].as_str().expect("a key").to_owned(), String::from_utf8(bytes).expect("what was put"))
    });
    let rows = answer[2].as_array().unwrap_or_else(|| panic!("`{object}`: {answer}")).iter();
    let rows = rows.map(|row| row.as_u64().expect("a number")).map(|row| (row / 1_000_000, row % 1_000_000));
    Stored { keys: keys.collect(), rows: rows.collect() }
}

/// What one writer knows of its objects, and the turn that had no answer when the node died.
#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Stored>,
    open: Option<(String, Stored)>,
}

impl Known {
    /// Compares with what the node holds now, which is what is known from here on.
    fn check(&mut self, agent: &Agent, listen: &str) {
        let open = self.open.take();
        for (object, known) in &mut self.objects {
            let found = stored(agent, listen, object);
            let is_open = open.as_ref().is_some_and(|(of, after)| of == object && *after == found);
            assert!(
                found == *known || is_open,
                "`{object}` holds {}, acknowledged was {}{}",
                shown(&found),
                shown(known),
                open.as_ref()
                    .filter(|(of, _)| of == object)
                    .map_or(String::new(), |(_, after)| format!(", and open {}", shown(after)))
            );
            *known = found;
        }
    }
}

/// Keys with the lengths of their values, and rows.
fn shown(stored: &Stored) -> String {
    let keys: Vec<_> = stored.keys.iter().map(|(key, value)| format!("{key}: {}", value.len())).collect();
    format!("{keys:?} and {:?}", stored.rows)
}

/// Takes turns until the node is gone; tells each acknowledgement.
fn write(listen: &str, writer: usize, known: &mut Known, mut dice: Seeded, acknowledged: &Sender<()>) {
    let agent = agent();
    loop {
        let object = format!("writer-{writer}-{}", dice.below(OBJECTS));
        let now = known.objects.entry(object.clone()).or_default();
        let turn = Turn::any(now, &mut dice);
        match call(&agent, listen, &object, turn.method, &turn.steps) {
            Answer::Done(body) => {
                assert!(turn.method != "run_and_trap" && !body.to_string().contains("\"error\""), "{body}");
                *now = turn.after;
            }
            Answer::Trapped => assert_eq!(turn.method, "run_and_trap", "`{object}`"),
            Answer::None => {
                known.open = Some((object, turn.after));
                return;
            }
        }
        // The receiver goes away when it has counted enough.
        let _ = acknowledged.send(());
    }
}

/// One round on a running node: writers until `acknowledgements` were counted, then SIGKILL.
fn write_and_kill(node: NodeProcess, known: &mut [Known], acknowledgements: u64, seeded: &mut Seeded) {
    let listen = node.listen.clone();
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for (writer, known) in known.iter_mut().enumerate() {
            let (tell, listen, dice) = (tell.clone(), listen.as_str(), seeded.fork());
            scope.spawn(move || write(listen, writer, known, dice, &tell));
        }
        drop(tell);
        for _ in 0..acknowledgements {
            told.recv_timeout(ROUND_DEADLINE).expect("the writers make progress");
        }
        drop(told);
        node.kill();
    });
}

#[test]
fn turns_of_keys_and_sql_are_there_whole_or_not_at_all() {
    let mut seeded = Seeded::new();
    let folder = folder();
    let data = folder.path().join("data");
    let flags: Vec<String> = LIMITS.iter().map(|limit| format!("--limit={limit}")).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let start = || NodeProcess::start_with(&flags, &data, &data.with_extension("log"));
    let mut node = start();
    let component = env!("DURABO_KV_COMPONENT");
    let deployed = node.ask(&["deploy", component, "--app", "kv"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    let mut known: Vec<Known> = (0..WRITERS).map(|_| Known::default()).collect();
    for round in 0..rounds() {
        let acknowledgements = 1 + seeded.below(if round % 4 == 0 { 30 } else { 300 });
        write_and_kill(node, &mut known, acknowledgements, &mut seeded);
        node = start();
        let agent = agent();
        known.iter_mut().for_each(|known| known.check(&agent, &node.listen));
    }
    assert!(node.terminate().success());
}

/// As `run_and_sync` says: what it waited for is there, whatever else is not.
#[test]
fn c_079_what_storage_sync_waited_for_survives_a_kill() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut node = NodeProcess::start(&data);
    let deployed = node.ask(&["deploy", env!("DURABO_KV_COMPONENT"), "--app", "kv"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    let mut expected = Stored::default();
    for round in 0..3 {
        let (key, value) = (format!("k{round}"), "x".repeat(round * 5000));
        let put = [json!({ "put-unconfirmed": [key, bytes(&value)] })];
        let Answer::Done(_) = call(&agent(), &node.listen, "synced", "run_and_sync", &put) else {
            panic!("no answer in round {round}");
        };
        node.kill();
        node = NodeProcess::start(&data);
        expected.keys.insert(key, value);
        assert_eq!(stored(&agent(), &node.listen, "synced"), expected, "round {round}");
    }
}
