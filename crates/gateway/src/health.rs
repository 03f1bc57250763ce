//! Whether the node lives and whether it serves, for whoever watches over it; and what it is, for whoever
//! opens its address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durabo_model::error_code::ErrorCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response};

use crate::error_response::{Refused, refuse, refuse_method};
use crate::sent_body::SentBody;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const ABOUT: &str = "\
This is a durabo node: durable objects, each with a SQLite database of its own.

  ANY  /o/{app}/{Class}/{name}/{path}      a request to an object
  POST /rpc/{app}/{Class}/{name}/{method}  a call, with a JSON array of arguments
  GET  /healthz, /readyz                   health

`durabo apps` lists what is deployed here.
";

/// Says to all listeners whether the node serves. Starts as not serving.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets what `/readyz` answers from now on.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Release);
    }

    /// Whether the node serves.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// `/healthz`: the process answers.
pub fn healthz(method: &Method) -> Result<Response<SentBody>, Refused> {
    text(method, "ok\n")
}

/// `/readyz`: the node serves requests.
pub fn readyz(method: &Method, readiness: &Readiness) -> Result<Response<SentBody>, Refused> {
    if readiness.is_ready() {
        return text(method, "ready\n");
    }
    Err(refuse(ErrorCode::Stopping, "the node is starting or stopping; retry later"))
}

/// `/`: what this is.
pub fn about(method: &Method) -> Result<Response<SentBody>, Refused> {
    text(method, ABOUT)
}

fn text(method: &Method, text: &'static str) -> Result<Response<SentBody>, Refused> {
    if *method != Method::GET && *method != Method::HEAD {
        return Err(refuse_method(method, "GET"));
    }
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    Ok(response)
}
