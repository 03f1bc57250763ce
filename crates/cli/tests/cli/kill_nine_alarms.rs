//! `kill -9` while objects set alarms: one that was acknowledged as set runs, after the restart if not before.
//!
//! Most objects are out of memory when the node dies, and nothing but their alarm brings them back.
//! `DURABO_KILL_ROUNDS` and `DURABO_KILL_SEED` as in `kill_nine`.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::thread;

use serde_json::{Value, json};
use ureq::Agent;

use crate::kill_nine::{ROUND_DEADLINE, Seeded, agent, rounds};
use crate::node_process::{NodeProcess, folder};

const WRITERS: usize = 8;
const OBJECTS: u64 = 4;
/// Some are due before the node dies, some while it is down, some when it is back.
const DELAY_MS_MAX: u64 = 2000;

/// Answers after which the node is asked whether any alarm is still set.
const LOOK_EVERY: u32 = 500;

/// After so many answers no alarm is on its way any more: far more than fit into the longest delay.
const QUESTIONS_MAX: u32 = 200_000;

const LIMITS: [&str; 4] = [
    "--limit=hibernate_after=20ms",
    "--limit=close_after=20ms",
    "--limit=checkpoint_after=200ms",
    "--limit=disk.log_bytes_max=4MiB",
];

/// Numbers that an object was asked to take over by its alarm.
///
/// Those after the acknowledged one had no answer, in this round or in earlier ones: each of them may be stored, and
/// any that is stored may be what the object takes over, until a newer one is.
#[derive(Default)]
struct Asked {
    acknowledged: u64,
    newest: u64,
}

fn call(agent: &Agent, listen: &str, object: &str, method: &str, arguments: &Value) -> Option<Value> {
    let url = format!("http://{listen}/rpc/kv/Kv/{object}/{method}");
    agent.post(url).send_json(arguments).ok()?.body_mut().read_json().ok()
}

/// Sets alarms until the node is gone; tells each acknowledgement.
fn write(
    listen: &str,
    writer: usize,
    asked: &mut BTreeMap<String, Asked>,
    mut dice: Seeded,
    tell: &Sender<()>,
) {
    let agent = agent();
    loop {
        let object = format!("writer-{writer}-{}", dice.below(OBJECTS));
        let known = asked.entry(object.clone()).or_default();
        known.newest += 1;
        let number = known.newest;
        if call(&agent, listen, &object, "ask", &json!([number, dice.below(DELAY_MS_MAX)])).is_none() {
            return;
        }
        known.acknowledged = number;
        // The receiver goes away when it has counted enough.
        let _ = tell.send(());
    }
}

fn is_any_set(node: &NodeProcess) -> bool {
    let listed = node.ask(&["alarms", "ls", "kv/Kv", "--limit", "1", "--json"]);
    let page: Value =
        serde_json::from_str(&listed.stdout).unwrap_or_else(|error| panic!("{error}: {listed:?}"));
    page["alarms"] != json!([])
}

/// Waits until the alarm of every object has run.
fn check(node: &NodeProcess, asked: &mut BTreeMap<String, Asked>) {
    let (agent, mut questions) = (agent(), 0);
    for (object, known) in asked {
        let mut may_come = true;
        loop {
            let answer = call(&agent, &node.listen, object, "woken", &json!([]));
            let woken = answer.expect("an answer after the restart").as_u64().unwrap_or(0);
            if (known.acknowledged..=known.newest).contains(&woken) {
                // One without an answer may be stored all the same, and still to come.
                known.acknowledged = woken;
                break;
            }
            // What has run is told by the first answer after no alarm was set any more.
            assert!(
                may_come && woken < known.acknowledged && questions < QUESTIONS_MAX,
                "the alarm of `{object}` has taken over {woken}; {} was acknowledged, {} is the newest asked for",
                known.acknowledged,
                known.newest
            );
            questions += 1;
            may_come = !questions.is_multiple_of(LOOK_EVERY) || is_any_set(node);
        }
    }
}

#[test]
fn an_alarm_that_was_acknowledged_as_set_runs_after_a_kill() {
    let mut seeded = Seeded::new();
    let folder = folder();
    let data = folder.path().join("data");
    let start = || NodeProcess::start_with(&LIMITS, &data, &data.with_extension("log"));
    let mut node = start();
    let deployed = node.ask(&["deploy", env!("DURABO_KV_COMPONENT"), "--app", "kv"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    let mut asked: Vec<BTreeMap<String, Asked>> = (0..WRITERS).map(|_| BTreeMap::new()).collect();
    for _ in 0..rounds() {
        let acknowledgements = 1 + seeded.below(200);
        let listen = node.listen.clone();
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            for (writer, asked) in asked.iter_mut().enumerate() {
                let (tell, listen, dice) = (tell.clone(), listen.as_str(), seeded.fork());
                scope.spawn(move || write(listen, writer, asked, dice, &tell));
            }
            drop(tell);
            for _ in 0..acknowledgements {
                told.recv_timeout(ROUND_DEADLINE).expect("the writers make progress");
            }
            drop(told);
            node.kill();
        });
        node = start();
        asked.iter_mut().for_each(|asked| check(&node, asked));
    }
    assert!(node.terminate().success());
}
