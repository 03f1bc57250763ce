//! Nobody suffers from a neighbour's slow SQL or endless loop, and slow SQL changes nothing for its own turn.
//!
//! Only answers are judged here; how soon they come is measured by `tests/peers/bench/fairness.py`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{ErrorRecord, Object, TestNode, guest};

use super::database::{Database, opened, step};
use super::outcomes::wait_until_in_guest;
use super::standing::{node, strict_node};

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

/// Some hundred thousand steps: slow, but over within a moment.
const SLOW: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000) SELECT max(i) FROM n";

/// Endless too, but only once its second row is asked for.
const ENDLESS_AFTER_TWO: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i <= 2";

const INSERT: &str = "INSERT INTO t VALUES (1)";
const COUNT: &str = "SELECT count(*) FROM t";

fn with_table(node: &TestNode) -> Database {
    let db = Database::of(node.fresh(guest::SQL, "Sql"));
    db.exec("CREATE TABLE t (a)");
    db
}

/// Writes and reads until `under_way` is zero; gives the number of calls.
fn ask_while(db: &Database, under_way: &AtomicUsize) -> usize {
    let mut calls = 0;
    while under_way.load(Ordering::Relaxed) > 0 {
        calls += 1;
        db.query("INSERT INTO t VALUES (?)", json!([calls]));
        assert_eq!(
            db.rows("SELECT count(*), sum(a) FROM t", json!([])),
            json!([[calls, calls * (calls + 1) / 2]])
        );
    }
    calls
}

fn assert_cut(error: &ErrorRecord) {
    error.assert_reset("cpu-limit-exceeded");
    error.assert_says("more than 0.7 s of CPU time");
}

fn beside_endless_statements_and_loops_all_others_are_answered_and_each_hog_is_told_why() {
    let node = strict_node();
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let in_sql: Vec<Database> = (0..2 * cores).map(|_| with_table(node)).collect();
    let in_loops: Vec<Object> = (0..2).map(|_| node.fresh(guest::FAULTS, "Faults")).collect();
    let others: Vec<Database> = (0..6).map(|_| with_table(node)).collect();
    let under_way = &AtomicUsize::new(in_sql.len() + in_loops.len());
    thread::scope(|scope| {
        for db in &in_sql {
            scope.spawn(move || {
                // The next event does not make it known as a short one.
                for _ in 0..2 {
                    assert_cut(&db.run_fails(&[step(INSERT), step(ENDLESS), step(INSERT)]));
                }
                under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for object in &in_loops {
            scope.spawn(move || {
                assert_cut(&object.fails("spin", json!([])));
                under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let asking: Vec<_> = others.iter().map(|db| scope.spawn(|| ask_while(db, under_way))).collect();
        for calls in asking {
            let calls = calls.join().expect("a client panicked");
            assert!(calls > 0, "a neighbour was not asked at all");
        }
    });
    for db in &in_sql {
        assert_eq!(db.value(COUNT, json!([])), json!(0), "the turn is undone");
    }
    for object in &in_loops {
        assert_eq!(object.ok("ping", json!([])), json!("pong"));
        assert_eq!(object.ok("traces", json!([])), json!([]));
    }
}

fn a_slow_statement_leaves_its_turn_whole() {
    let db = with_table(node());
    let steps = json!([[{"query": INSERT}, {"query": SLOW}, {"query": INSERT}]]);
    // The first run is of an unknown text, the others are of a slow one.
    for _ in 0..3 {
        db.call("run_and_trap", steps.clone()).expect_err("the guest traps").assert_reset("guest-trapped");
        assert_eq!(db.value(COUNT, json!([])), json!(0));
    }
    let under_way = &AtomicUsize::new(1);
    let read_part_of_a_turn = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut counts: Vec<Value> = Vec::new();
            while under_way.load(Ordering::Relaxed) > 0 {
                counts.push(db.value(COUNT, json!([])));
            }
            counts.iter().any(|count| count.as_u64().is_none_or(|count| count % 2 != 0))
        });
        for _ in 0..5 {
            let outcomes = db.run(&[step(INSERT), step(SLOW), step(INSERT)]);
            assert_eq!(outcomes[1]["rows"], json!([[30000]]));
        }
        under_way.store(0, Ordering::Relaxed);
        reading.join().expect("a client panicked")
    });
    assert!(!read_part_of_a_turn, "an event came between a write and the end of its turn");
    assert_eq!(db.value(COUNT, json!([])), json!(10));
}

fn rows_that_are_slow_to_read_come_whole_and_in_order_in_every_batch() {
    const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000)
         SELECT i FROM n WHERE i % 10000 = 0";
    let db = with_table(node());
    let expected: Vec<[u32; 1]> = (1..=10).map(|row| [row * 10_000]).collect();
    for batch in [1, 3, 100] {
        let outcomes = db.call("run", json!([[{"query": INSERT}, {"query": ROWS, "batch": batch}]]));
        assert_eq!(outcomes.expect("the event succeeds")[1]["rows"], json!(expected));
    }
    assert_eq!(db.value(COUNT, json!([])), json!(3));
}

fn a_statement_that_outlasts_the_drain_time_is_cut() {
    let node = TestNode::with(TestConfig::with_hooks(|limits| limits.drain = Duration::from_millis(300)));
    let version_2 = guest::SQL.bytes_marked(2);
    node.control().deploy("compiled-ahead", &version_2).expect("the new version is accepted");
    let object = node.fresh(guest::SQL, "Sql");
    let (hooks, db) = (node.hooks(&object), Database::of(object));
    db.exec("CREATE TABLE t (a)");
    db.exec(INSERT);
    let error = thread::scope(|scope| {
        let calling = scope.spawn(|| db.run_fails(&[step(INSERT), step(ENDLESS)]));
        wait_until_in_guest(&hooks, 1);
        node.control().deploy(guest::SQL.app, &version_2).expect("the new version is accepted");
        calling.join().expect("a client panicked")
    });
    error.assert_reset("code-updated");
    assert_eq!(db.value(COUNT, json!([])), json!(1));
}

fn a_node_that_stops_beside_an_endless_statement_keeps_what_was_committed_and_nothing_else() {
    let mut node = TestNode::with(TestConfig::with_hooks(|limits| limits.drain = Duration::from_millis(300)));
    let object = node.object(guest::SQL, "Sql", "stopped");
    let (hooks, db) = (node.hooks(&object), Database::of(object));
    db.exec("CREATE TABLE t (a)");
    db.exec(INSERT);
    thread::scope(|scope| {
        let calling = scope.spawn(|| db.run(&[step(INSERT), step(ENDLESS)]));
        wait_until_in_guest(&hooks, 1);
        // They lead to the node that stops.
        drop(hooks);
        node.restart();
        calling.join().expect_err("the statement has no end, so its event has no answer");
    });
    let db = Database::of(node.object(guest::SQL, "Sql", "stopped"));
    assert_eq!(db.value(COUNT, json!([])), json!(1));
}

fn beside_rows_that_are_read_ahead_for_ever_at_the_end_of_a_turn_all_others_are_answered() {
    let node = strict_node();
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let reading: Vec<Database> = (0..2 * cores).map(|_| with_table(node)).collect();
    let other = with_table(node);
    let under_way = &AtomicUsize::new(reading.len());
    thread::scope(|scope| {
        for db in &reading {
            scope.spawn(move || {
                let error = db.call("open", opened("rows", ENDLESS_AFTER_TWO));
                assert_cut(&error.expect_err("the turn has no end"));
                under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
        assert!(ask_while(&other, under_way) > 0, "the neighbour was not asked at all");
    });
    for db in &reading {
        assert_eq!(db.value("SELECT 1", json!([])), json!(1));
    }
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    beside_endless_statements_and_loops_all_others_are_answered_and_each_hog_is_told_why,
    a_slow_statement_leaves_its_turn_whole,
    rows_that_are_slow_to_read_come_whole_and_in_order_in_every_batch,
    a_statement_that_outlasts_the_drain_time_is_cut,
    a_node_that_stops_beside_an_endless_statement_keeps_what_was_committed_and_nothing_else,
    beside_rows_that_are_read_ahead_for_ever_at_the_end_of_a_turn_all_others_are_answered,
];
