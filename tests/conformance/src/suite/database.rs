//! The database of one object of class `Sql`, as the SQL cases use it.
//!
//! Statements run in events of the object; what they give is what its guest saw.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ErrorRecord, Object, Outcome, guest};

use super::standing::{lasting_node, node};

/// A statement with its bindings.
pub type Step<'a> = (&'a str, Value);

/// Why a statement failed, as the guest saw it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Refusal {
    /// SQLite's extended code; 0 if the host refused.
    pub code: i32,
    /// Name of the code.
    pub name: String,
    /// The whole text.
    pub message: String,
    /// Where in the statement.
    pub offset: Option<u32>,
}

impl Refusal {
    #[track_caller]
    pub fn assert_says(&self, part: &str) {
        assert!(self.message.contains(part), "`{part}` is not in {self:?}");
    }
}

/// An object's database that no other test knows.
pub struct Database {
    object: Object,
}

/// Statement without bindings.
pub fn step(query: &str) -> Step<'_> {
    (query, json!([]))
}

fn steps_json(steps: &[Step<'_>]) -> Value {
    steps.iter().map(|(query, bindings)| json!({"query": query, "bindings": bindings})).collect()
}

impl Database {
    /// An empty one.
    pub fn new() -> Self {
        Self::of(node().fresh(guest::SQL, "Sql"))
    }

    /// The database of a given object.
    pub fn of(object: Object) -> Self {
        Self { object }
    }

    /// One that keeps its instance from call to call whatever the variant, for cursors that stay open.
    pub fn in_memory() -> Self {
        Self::of(lasting_node().fresh(guest::SQL, "Sql"))
    }

    /// Calls a method of the object.
    pub fn call(&self, method: &str, args: Value) -> Outcome {
        self.object.call(method, args)
    }

    /// Runs statements in one turn; what became of each.
    #[track_caller]
    pub fn run(&self, steps: &[Step<'_>]) -> Vec<Value> {
        let outcomes =
            self.call("run", json!([steps_json(steps)])).unwrap_or_else(|error| panic!("{error:?}"));
        outcomes.as_array().expect("a list of outcomes").clone()
    }

    /// Runs statements in one turn whose event must fail.
    #[track_caller]
    pub fn run_fails(&self, steps: &[Step<'_>]) -> ErrorRecord {
        match self.call("run", json!([steps_json(steps)])) {
            Err(error) => *error,
            Ok(outcomes) => panic!("the event must fail, but the outcomes are {outcomes}"),
        }
    }

    /// Runs a statement for many groups of bindings; what became of it.
    #[track_caller]
    pub fn many(&self, query: &str, groups: Value) -> Value {
        let outcomes = self.call("run", json!([[{"query": query, "groups": groups}]]));
        outcomes.unwrap_or_else(|error| panic!("{error:?}"))[0].clone()
    }

    /// Columns, rows and counts of a statement that must succeed.
    #[track_caller]
    pub fn query(&self, query: &str, bindings: Value) -> Value {
        let outcome = self.run(&[(query, bindings)]).remove(0);
        assert!(outcome.get("error").is_none(), "{query}: {outcome}");
        outcome
    }

    /// Rows of a statement that must succeed.
    #[track_caller]
    pub fn rows(&self, query: &str, bindings: Value) -> Value {
        self.query(query, bindings)["rows"].clone()
    }

    /// The only value of the only row.
    #[track_caller]
    pub fn value(&self, query: &str, bindings: Value) -> Value {
        let rows = self.rows(query, bindings);
        assert_eq!(
            (rows.as_array().map(Vec::len), rows[0].as_array().map(Vec::len)),
            (Some(1), Some(1)),
            "{rows}"
        );
        rows[0][0].clone()
    }

    /// Runs a statement that must succeed.
    #[track_caller]
    pub fn exec(&self, query: &str) {
        self.query(query, json!([]));
    }

    /// Why a statement fails, which must not fail its event.
    #[track_caller]
    pub fn error(&self, query: &str, bindings: Value) -> Refusal {
        refusal(&self.run(&[(query, bindings)])[0])
    }
}

/// The error that an outcome must be.
#[track_caller]
pub fn refusal(outcome: &Value) -> Refusal {
    serde_json::from_value(outcome["error"].clone())
        .unwrap_or_else(|error| panic!("{error}: a refusal was expected, not {outcome}"))
}

/// Cursor methods: names with their statements, one row at a time.
pub fn opened(name: &str, query: &str) -> Value {
    json!([name, {"query": query, "batch": 1}])
}
