//! A handle on one object, as a client of the data plane has it.
//!
//! Each call is a new request, so a handle never breaks (ST-3).

use serde_json::{Value, json};

use crate::answer::{Answer, ErrorRecord, Outcome};
use crate::client::{Client, Fields};
use crate::control_plane::{Access, ControlPlane};
use crate::eventually::eventually;

/// One object of one node.
#[derive(Debug, Clone)]
pub struct Object {
    client: Client,
    control: ControlPlane,
    app: String,
    class: String,
    segment: String,
}

impl Object {
    /// The object that `segment` stands for: a name, or one of the forms that begin with `~`.
    pub fn new(client: Client, control: ControlPlane, (app, class, segment): (&str, &str, &str)) -> Self {
        Self { client, control, app: app.to_owned(), class: class.to_owned(), segment: segment.to_owned() }
    }

    /// The same class's object behind another segment.
    pub fn sibling(&self, segment: &str) -> Self {
        Self { segment: segment.to_owned(), ..self.clone() }
    }

    /// What stands for it in an address: its name, or a form.
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// App, class and segment.
    pub fn parts(&self) -> (&str, &str, &str) {
        (&self.app, &self.class, &self.segment)
    }

    /// Address of the object in a path that begins with `/o` or `/rpc`.
    pub fn address(&self) -> String {
        format!("{}/{}/{}", self.app, self.class, self.segment)
    }

    /// Calls a method with a JSON array of arguments.
    pub fn call(&self, method: &str, args: Value) -> Outcome {
        self.call_raw(method, args).into_result()
    }

    /// Calls a method; the whole answer.
    pub fn call_raw(&self, method: &str, args: Value) -> Answer {
        let path = format!("/rpc/{}/{method}", self.address());
        self.client.send("POST", &path, &[("content-type", "application/json")], args.to_string().as_bytes())
    }

    /// Calls a method that must succeed.
    #[track_caller]
    pub fn ok(&self, method: &str, args: Value) -> Value {
        self.call(method, args).unwrap_or_else(|error| panic!("{method} of {}: {error:?}", self.address()))
    }

    /// Calls a method that must fail.
    #[track_caller]
    pub fn fails(&self, method: &str, args: Value) -> ErrorRecord {
        match self.call(method, args) {
            Err(error) => *error,
            Ok(value) => panic!("{method} of {} gave {value} instead of an error", self.address()),
        }
    }

    /// Sends a request to the object's `fetch`. `path` is what follows the address.
    pub fn fetch(&self, method: &str, path: &str, fields: Fields<'_>, body: &[u8]) -> Answer {
        self.client.send(method, &format!("/o/{}{path}", self.address()), fields, body)
    }

    /// `GET` without anything.
    pub fn get(&self, path: &str) -> Answer {
        self.fetch("GET", path, &[], &[])
    }

    /// Runs SQL of an operator in its database, which does not start an instance.
    pub fn sql(&self, query: &str) -> Outcome {
        self.control.sql(self.parts(), query, Access::Read)
    }

    /// Runs SQL of an operator that may write.
    pub fn write_sql(&self, query: &str) -> Outcome {
        self.control.sql(self.parts(), query, Access::Write)
    }

    /// Its entry in the operator's list, found by its name; `None` if it is not there.
    pub fn listed(&self) -> Option<Value> {
        self.control
            .objects(&self.app, &self.class)
            .into_iter()
            .find(|entry| entry["name"] == json!(self.segment))
    }

    /// Whether it is in memory.
    pub fn is_live(&self) -> bool {
        self.listed().is_some_and(|entry| entry["live"] == json!(true))
    }

    /// Waits until it is in memory without an instance.
    pub fn wait_until_hibernated(&self) {
        let hibernates = || self.listed().is_some_and(|entry| entry["instance"] == json!(false));
        eventually(&format!("{} hibernates", self.address()), || hibernates().then_some(()));
    }

    /// Waits until it has left memory by itself.
    pub fn wait_until_evicted(&self) {
        eventually(&format!("{} has left memory", self.address()), || (!self.is_live()).then_some(()));
    }
}
