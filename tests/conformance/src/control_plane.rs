//! The control plane of a node as its operator uses it: uploads, lists, status, SQL.
//!
//! Every request carries the node's token; what happens without it is tested in `suite/access.rs`.

use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::client::Client;

/// What an operator's SQL may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Write too.
    Write,
}

/// A client of the control plane that has the token.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    client: Client,
    authorization: String,
}

impl ControlPlane {
    /// The control plane behind `client`, with its token.
    pub fn new(client: Client, token: &str) -> Self {
        Self { client, authorization: format!("Bearer {token}") }
    }

    /// Sends a request with the token.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.client.send(method, path, &[("authorization", &self.authorization)], body)
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Uploads a component; the report, or why it was refused.
    pub fn deploy(&self, app: &str, component: &[u8]) -> Outcome {
        self.send("POST", &format!("/v1/apps/{app}/deployments"), component).into_result()
    }

    /// Uploads a component whose objects may send requests by these rules.
    pub fn deploy_with_egress(&self, app: &str, component: &[u8], rules: &[&str]) -> Outcome {
        let rules: Vec<String> = rules.iter().map(|rule| format!("egress={rule}")).collect();
        let path = format!("/v1/apps/{app}/deployments?{}", rules.join("&"));
        self.send("POST", &path, component).into_result()
    }

    /// Uploads a component to which open sockets go over.
    pub fn deploy_keeping_sockets(&self, app: &str, component: &[u8]) -> Outcome {
        self.send("POST", &format!("/v1/apps/{app}/deployments?keepSockets=true"), component).into_result()
    }

    /// The apps by name, in the form of the list.
    pub fn app(&self, app: &str) -> Option<Value> {
        let apps = self.send("GET", "/v1/apps", &[]).json();
        apps["apps"].as_array().into_iter().flatten().find(|entry| entry["name"] == app).cloned()
    }

    /// Status of the node.
    pub fn status(&self) -> Value {
        self.send("GET", "/v1/status", &[]).json()
    }

    /// All listed objects of a class.
    pub fn objects(&self, app: &str, class: &str) -> Vec<Value> {
        let path = format!("/v1/apps/{app}/classes/{class}/objects?limit=1000");
        let list = self.send("GET", &path, &[]).json();
        assert_eq!(list["more"], json!(false), "more objects of a class than the suite reads");
        list["objects"].as_array().expect("a list of objects").clone()
    }

    /// Runs SQL of an operator in the database of an object: app, class, and name or form.
    pub fn sql(&self, (app, class, object): (&str, &str, &str), query: &str, access: Access) -> Outcome {
        let path = format!("/v1/apps/{app}/classes/{class}/objects/{object}/sql");
        let body = json!({"query": query, "write": access == Access::Write});
        self.send("POST", &path, body.to_string().as_bytes()).into_result()
    }
}
