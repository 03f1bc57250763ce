//! A blocking HTTP client whose answers include 4xx and 5xx.
//!
//! Connections are kept between requests. A request without an answer for a minute fails the test, so
//! that a node that hangs is seen as such.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{Method, Request, Uri};

use crate::answer::Answer;

const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Header fields of a request.
pub type Fields<'a> = &'a [(&'a str, &'a str)];

/// A client of one listener.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// A client of the listener at `address`.
    pub fn new(address: std::net::SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_idle_connections_per_host(32)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into(), base: format!("http://{address}") }
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&self, method: &str, path: &str, fields: Fields<'_>, body: &[u8]) -> Answer {
        let what = format!("{method} {}{path}", self.base);
        let uri: Uri =
            format!("{}{path}", self.base).parse().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let carries_body =
            !body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].iter().any(|m| m == method);
        let answered = if carries_body {
            self.agent.run(request.body(body).unwrap_or_else(|error| panic!("{what}: {error}")))
        } else {
            self.agent.run(request.body(()).unwrap_or_else(|error| panic!("{what}: {error}")))
        };
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
