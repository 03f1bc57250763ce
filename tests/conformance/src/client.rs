//! A blocking HTTP client whose answers include 4xx and 5xx.
//!
//! Connections are kept between requests. A request without an answer for a minute fails the test, so
//! that a node that hangs is seen as such.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Method, Request, Uri};

use crate::answer::Answer;
use crate::restarts::{InUse, Restarts};

const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const ATTEMPTS_MAX: u32 = 5;

/// Header fields of a request.
pub type Fields<'a> = &'a [(&'a str, &'a str)];

/// What the requests of a client are to a node that is restarted between events.
#[derive(Debug, Clone)]
pub enum Use {
    /// Events.
    Events(Restarts),
    /// Looks at it, or what prepares for events.
    Other(Restarts),
}

/// A client of one listener.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    of_restarted: Option<Use>,
}

impl Client {
    /// A client of the listener at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { agent: agent(32), base: format!("http://{address}"), of_restarted: None }
    }

    /// A client of the listener at `address` of a node that is restarted between events. It keeps no
    /// connections.
    pub fn of_restarted(address: SocketAddr, restarted: Use) -> Self {
        Self { agent: agent(0), base: format!("http://{address}"), of_restarted: Some(restarted) }
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&self, method: &str, path: &str, fields: Fields<'_>, body: &[u8]) -> Answer {
        let _in_use = self.of_restarted.as_ref().map(Use::begin);
        let what = format!("{method} {}{path}", self.base);
        let uri: Uri =
            format!("{}{path}", self.base).parse().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let carries_body =
            !body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].iter().any(|m| m == method);
        let request = request.body(()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let attempt = || match carries_body {
            true => self.agent.run(request.clone().map(|()| body)),
            false => self.agent.run(request.clone()),
        };
        let mut answered = attempt();
        for _ in 1..ATTEMPTS_MAX {
            if !answered.as_ref().is_err_and(was_refused_unread) {
                break;
            }
            answered = attempt();
        }
        let mut response = answered.unwrap_or_else(|error| panic!("{what}: {error}"));
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: body.unwrap_or_else(|error| panic!("{what}: {error}")),
        }
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }
}

impl Use {
    fn begin(&self) -> InUse {
        match self {
            Self::Events(node) => node.event(),
            Self::Other(node) => node.hold(),
        }
    }
}

fn agent(connections_kept: usize) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .max_idle_connections(connections_kept)
        .max_idle_connections_per_host(connections_kept)
        .timeout_global(Some(PATIENCE))
        .build();
    config.into()
}

/// A node may refuse a request and close before it has read the body. This client finds the connection
/// broken then, while it still writes, and loses the answer.
fn was_refused_unread(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.kind() == ErrorKind::BrokenPipe)
}
