//! Objects of class `Alarm`, as the cases on alarms and named alarms use them.
//!
//! What an object saw is read by an operator's SQL, which starts no instance, so that it wakes by its alarm alone.
//! Time decides nothing: a case waits for runs, and where it shows that none comes it waits for the run of another
//! object whose alarm is later.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::node::TestConfig;
use crate::{ErrorRecord, Object, TestNode, eventually, guest};

use super::standing::lasting_node;

/// Wait before the first retry on [`quick_node`].
pub const RETRY_WAIT: Duration = Duration::from_millis(20);
/// So far ahead that no case sees it.
pub const FAR_MS: u64 = 3_600_000;

/// A run of the alarm, as its handler wrote it down.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// When it began, by the clock of the object.
    pub at: u64,
    pub scheduled: u64,
    pub retries: u64,
    pub is_retry: bool,
    /// What `get` gave at its begin.
    pub alarm: Option<u64>,
    /// Number of the instance's start, from 1.
    pub start: u64,
    /// The object's name.
    pub name: Option<String>,
    /// Name of the named alarm that ran, and what it was handed.
    pub entry: Option<(String, String)>,
    /// What its steps gave; null if it did not come to their end.
    pub outcomes: Value,
}

/// An object that no other test knows.
#[derive(Debug, Clone)]
pub struct Waking {
    pub object: Object,
}

/// A configuration whose retries come soon.
pub fn quick_retries() -> TestConfig {
    TestConfig::with_limits(|limits| limits.alarm_retry_wait = RETRY_WAIT)
}

/// Milliseconds since 1970, as an object sees them.
pub fn now() -> u64 {
    static CLOCK: OnceLock<Waking> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| Waking::on(lasting_node()));
    clock.run(json!(["now"]))[0].as_u64().expect("a time")
}

/// Tries a case that must be ahead of an alarm with ever longer times, until it was.
pub fn ahead_of_the_alarm<T>(mut attempt: impl FnMut(u64) -> Option<T>) -> T {
    let found = [300, 1_500, 6_000].into_iter().find_map(&mut attempt);
    found.expect("the node is too slow to be ahead of an alarm in 6 s")
}

/// Waits until `node` has run an alarm that is set for a later moment than `time`.
pub fn wait_until_past(node: &TestNode, time: u64) {
    let fence = Waking::on(node);
    fence.run(json!([{"set": time + 20}]));
    fence.wait_for_ends(1);
}

/// A step that sets a named alarm, with the payload `p`.
pub fn set_entry(name: &str, when: &Value) -> Value {
    json!({"named": {"set": [name, when, "p"]}})
}

/// A step that gives a named alarm.
pub fn get_entry(name: &str) -> Value {
    json!({"named": {"get": name}})
}

impl Waking {
    /// One of `node`.
    pub fn on(node: &TestNode) -> Self {
        Self { object: node.fresh(guest::ALARM, "Alarm") }
    }

    /// Stores what the first runs do, in order; later ones do nothing.
    pub fn script(self, first: Value) -> Self {
        self.script_all(first, json!([]))
    }

    /// Stores what the first runs do, in order, and what later ones do.
    pub fn script_all(self, first: Value, later: Value) -> Self {
        self.object.ok("script", json!([first, later]));
        self
    }

    /// Does steps in one turn; what each gave.
    #[track_caller]
    pub fn run(&self, steps: Value) -> Vec<Value> {
        let outcomes = self.object.ok("run", json!([steps]));
        outcomes.as_array().expect("a list of outcomes").clone()
    }

    /// Sets the alarm by a step; the time that is set then, which is later than the one asked for if that had passed
    /// (AL-1).
    #[track_caller]
    pub fn set(&self, step: Value) -> u64 {
        let outcomes = self.run(json!([step, "get"]));
        outcomes[1].as_u64().unwrap_or_else(|| panic!("a time was expected, not {outcomes:?}"))
    }

    /// Does steps whose event must fail.
    #[track_caller]
    pub fn fails(&self, steps: Value) -> ErrorRecord {
        self.object.fails("run", json!([steps]))
    }

    /// What `get` gives, in an event of its own.
    pub fn alarm(&self) -> Option<u64> {
        self.run(json!(["get"])).remove(0).as_u64()
    }

    /// The named alarm of that name, in an event of its own; null if there is none.
    pub fn entry(&self, name: &str) -> Value {
        self.run(json!([{"named": {"get": name}}])).remove(0)
    }

    /// Names of the named alarms.
    pub fn entries(&self) -> Value {
        self.run(json!([{"named": {"list": ["", null, 1000]}}])).remove(0)
    }

    /// Rows of a query.
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let answer = self.object.sql(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        answer["rows"].as_array().expect("a list of rows").clone()
    }

    /// Runs that have begun, in order.
    pub fn runs(&self) -> Vec<Run> {
        let query = "SELECT at, scheduled, retries, is_retry, alarm, start, name, outcomes, entry, payload FROM runs ORDER BY id";
        self.rows(query).iter().map(Run::of_row).collect()
    }

    /// Lines of the journal.
    pub fn journal(&self) -> Vec<String> {
        let rows = self.rows("SELECT text FROM journal ORDER BY id");
        rows.iter().filter_map(|row| row[0].as_str().map(str::to_owned)).collect()
    }

    /// Times that the alarm had when each instance started.
    pub fn alarms_at_start(&self) -> Vec<Option<u64>> {
        self.rows("SELECT alarm FROM starts ORDER BY id").iter().map(|row| row[0].as_u64()).collect()
    }

    /// Waits until so many runs have begun.
    pub fn wait_for_begins(&self, count: usize) -> Vec<Run> {
        let begun = || Some(self.runs()).filter(|runs| runs.len() >= count);
        eventually(&format!("run {count} of {} has begun", self.object.address()), begun)
    }

    /// Waits until so many runs have come to the end of their steps.
    pub fn wait_for_ends(&self, count: usize) -> Vec<Run> {
        let ended = || self.journal().iter().filter(|line| *line == "alarm ended").count() >= count;
        eventually(&format!("run {count} of {} has ended", self.object.address()), || {
            ended().then(|| self.runs())
        })
    }

    /// Waits until no alarm is set, with a name or without, and none runs.
    pub fn wait_until_cleared(&self) {
        // A run that resets the object fails what is asked meanwhile.
        let is_cleared =
            || self.object.call("is_cleared", json!([])).is_ok_and(|answer| answer == json!(true));
        eventually(&format!("the alarms of {} are cleared", self.object.address()), || {
            is_cleared().then_some(())
        });
    }
}

impl Run {
    fn of_row(row: &Value) -> Self {
        let number = |column: usize| row[column].as_u64();
        let needed = |column| number(column).unwrap_or_else(|| panic!("column {column} of {row}"));
        let text = |column: usize| row[column].as_str().map(str::to_owned);
        let outcomes = row[7].as_str().map(|text| serde_json::from_str(text).expect("outcomes are JSON"));
        Self {
            at: needed(0),
            scheduled: needed(1),
            retries: needed(2),
            is_retry: needed(3) == 1,
            alarm: number(4),
            start: needed(5),
            name: text(6),
            entry: text(8).zip(text(9)),
            outcomes: outcomes.unwrap_or(Value::Null),
        }
    }
}
