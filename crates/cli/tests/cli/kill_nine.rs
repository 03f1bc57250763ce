//! `kill -9` at random moments: what was acknowledged is there after the restart, and nothing twice.
//!
//! Writers increment an object of their own and one that all share. A killed process keeps what it had
//! written to files, so this cannot see a missing sync: that is what the simulated disk is for.
//! `DURABO_KILL_ROUNDS` sets the rounds, `DURABO_KILL_SEED` repeats a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{env, fs, process, thread};

use ureq::Agent;

use crate::node_process::{NodeProcess, folder};

const WRITERS: usize = 16;
const ROUNDS_DEFAULT: u64 = 8;
/// Far more than the slowest round takes.
pub const ROUND_DEADLINE: Duration = Duration::from_secs(120);

/// A generator of small numbers (xorshift); the seed is printed.
pub struct Seeded(u64);

impl Seeded {
    pub fn new() -> Self {
        let seed = number_of("DURABO_KILL_SEED").unwrap_or_else(|| u64::from(process::id()));
        println!("DURABO_KILL_SEED={seed}");
        Self(seed | 1 << 63)
    }

    /// A generator for another thread.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1 << 63)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn number_of(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

pub fn rounds() -> u64 {
    number_of("DURABO_KILL_ROUNDS").unwrap_or(ROUNDS_DEFAULT)
}

pub fn agent() -> Agent {
    Agent::config_builder().proxy(None).timeout_global(Some(ROUND_DEADLINE)).build().new_agent()
}

/// A call of a counter; `None` if no answer came, so that nobody knows whether it counted.
fn count(agent: &Agent, listen: &str, object: &str, method: &str) -> Option<u64> {
    let mut response =
        agent.post(format!("http://{listen}/rpc/demo/Counter/{object}/{method}")).send_empty().ok()?;
    response.body_mut().read_json().ok()
}

fn stored(node: &NodeProcess, object: &str) -> u64 {
    count(&agent(), &node.listen, object, "get")
        .unwrap_or_else(|| panic!("`{object}` does not answer after the restart"))
}

/// What one writer saw in one round.
struct Seen {
    writer: usize,
    /// Counts of its own object, in order.
    own: Vec<u64>,
    /// Counts of the common object.
    common: Vec<u64>,
    /// Which of the two had no answer when the node died.
    open: Option<Open>,
}

#[derive(PartialEq)]
enum Open {
    Own,
    Common,
}

/// Increments in turn until the node is gone; tells each acknowledgement.
fn write(listen: &str, writer: usize, acknowledged: &Sender<()>) -> Seen {
    let agent = agent();
    let own = format!("writer-{writer}");
    let mut seen = Seen { writer, own: vec![], common: vec![], open: None };
    loop {
        let Some(number) = count(&agent, listen, &own, "increment") else {
            seen.open = Some(Open::Own);
            return seen;
        };
        seen.own.push(number);
        // The receiver goes away when it has counted enough.
        let _ = acknowledged.send(());
        let Some(number) = count(&agent, listen, "common", "increment") else {
            seen.open = Some(Open::Common);
            return seen;
        };
        seen.common.push(number);
        let _ = acknowledged.send(());
    }
}

/// One round on a running node: writers until `acknowledgements` were counted, then SIGKILL.
fn write_and_kill(node: NodeProcess, acknowledgements: u64) -> Vec<Seen> {
    let listen = node.listen.clone();
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (tell, listen) = (tell.clone(), listen.as_str());
                scope.spawn(move || write(listen, writer, &tell))
            })
            .collect();
        for _ in 0..acknowledgements {
            told.recv_timeout(ROUND_DEADLINE).expect("the writers make progress");
        }
        drop(told);
        node.kill();
        writers.into_iter().map(|writer| writer.join().expect("writer")).collect()
    })
}

/// Compares what is stored with what was seen; `before` are the counts at the start of the round.
fn check(node: &NodeProcess, before: &BTreeMap<String, u64>, seen: &[Seen]) -> BTreeMap<String, u64> {
    let mut after = BTreeMap::new();
    for writer in seen {
        let name = format!("writer-{}", writer.writer);
        let start = before.get(&name).copied().unwrap_or(0);
        let expected: Vec<u64> = (start + 1..).take(writer.own.len()).collect();
        assert_eq!(writer.own, expected, "answers of `{name}`, which held {start}");
        let acknowledged = start + writer.own.len() as u64;
        let open = u64::from(writer.open == Some(Open::Own));
        let now = stored(node, &name);
        assert!(
            (acknowledged..=acknowledged + open).contains(&now),
            "`{name}` holds {now}; {acknowledged} were acknowledged, {open} were open"
        );
        after.insert(name, now);
    }
    let start = before.get("common").copied().unwrap_or(0);
    let mut counts: Vec<u64> = seen.iter().flat_map(|writer| writer.common.iter().copied()).collect();
    counts.sort_unstable();
    assert!(
        counts.windows(2).all(|pair| pair[0] < pair[1]),
        "a count of `common` was given out twice: {counts:?}"
    );
    let open = seen.iter().filter(|writer| writer.open == Some(Open::Common)).count() as u64;
    let now = stored(node, "common");
    let newest = counts.last().copied().unwrap_or(start);
    let acknowledged = start + counts.len() as u64;
    assert!(
        now >= newest && (acknowledged..=acknowledged + open).contains(&now),
        "`common` holds {now}; it held {start}, {} were acknowledged up to {newest}, {open} were open",
        counts.len()
    );
    after.insert("common".to_owned(), now);
    after
}

#[test]
fn c_088_sixteen_writers_lose_nothing_acknowledged_and_count_nothing_twice() {
    let mut seeded = Seeded::new();
    let folder = folder();
    let data = folder.path().join("data");
    let mut node = NodeProcess::start(&data);
    node.deploy_examples();
    let mut counts = BTreeMap::new();
    for round in 0..rounds() {
        // From a first commit of each object under way to many checkpoints behind.
        let acknowledgements = 1 + seeded.below(if round % 4 == 0 { 40 } else { 600 });
        let seen = write_and_kill(node, acknowledgements);
        node = NodeProcess::start(&data);
        counts = check(&node, &counts, &seen);
        let sound = node.ask(&["sql", "demo/Counter/common", "PRAGMA quick_check"]);
        assert!(sound.stdout.contains("ok"), "round {round}: {sound:?}");
    }
}

/// The segments of the change log with what they hold; spare ones have another name.
fn segments(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(data.join("log")).expect("log folder");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|ending| ending == "segment"));
    segments.map(|path| (path.clone(), fs::read(path).expect("log file"))).collect()
}

/// Offsets of the bytes of one file that differ; all other files must be alike.
fn difference(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
) -> (PathBuf, Vec<usize>) {
    let mut found = Vec::new();
    for (path, bytes) in after {
        let old = before.get(path).unwrap_or_else(|| panic!("{} is new", path.display()));
        assert_eq!(old.len(), bytes.len(), "{}", path.display());
        let offsets: Vec<usize> = (0..bytes.len()).filter(|at| old[*at] != bytes[*at]).collect();
        if !offsets.is_empty() {
            found.push((path.clone(), offsets));
        }
    }
    assert_eq!(found.len(), 1, "one record lies in one file");
    found.remove(0)
}

/// How the last record is damaged.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One bit of it is another.
    Flipped,
    /// Its end never reached the disk.
    Torn,
}

/// Damages the record that one increment of `object` makes, and returns how many such there are then.
fn damage_last_record(node: NodeProcess, object: &str, damage: Damage, seeded: &mut Seeded) -> u64 {
    let before = segments(&node.data);
    let number = count(&agent(), &node.listen, object, "increment").expect("an answer");
    let data = node.data.clone();
    node.kill();
    let after = segments(&data);
    let (path, changed) = difference(&before, &after);
    let mut bytes = after[&path].clone();
    let at = changed[usize::try_from(seeded.below(changed.len() as u64)).expect("an index")];
    match damage {
        Damage::Flipped => bytes[at] ^= 1 << seeded.below(8),
        Damage::Torn => bytes[at..].fill(0),
    }
    fs::write(&path, bytes).expect("log file");
    number - 1
}

#[test]
fn a_torn_or_flipped_last_record_costs_itself_and_nothing_before() {
    let mut seeded = Seeded::new();
    let folder = folder();
    let data = folder.path().join("data");
    let mut node = NodeProcess::start(&data);
    node.deploy_examples();
    for object in ["damaged", "spared"] {
        assert_eq!(count(&agent(), &node.listen, object, "increment"), Some(1));
    }
    for round in 0..rounds() {
        let damage = if round % 2 == 0 { Damage::Flipped } else { Damage::Torn };
        assert_eq!(count(&agent(), &node.listen, "spared", "increment"), Some(round + 2));
        // Wakes the object, so that what follows is one record and nothing else.
        stored(&node, "damaged");
        let expected = damage_last_record(node, "damaged", damage, &mut seeded);
        node = NodeProcess::start(&data);
        assert_eq!(stored(&node, "damaged"), expected, "{damage:?} in round {round}");
        assert_eq!(stored(&node, "spared"), round + 2, "{damage:?} in round {round}");
        // What stands behind the damage is written over and read again.
        assert_eq!(count(&agent(), &node.listen, "damaged", "increment"), Some(expected + 1));
    }
}
