//! The way to the outside for requests of objects.
//!
//! `gateway` implements it; `runtime` calls it once the output gate has let a request leave. The rules of the
//! object's app are looked at on that way and nowhere else.

use std::sync::Arc;

use durabo_model::egress::EgressRules;
use durabo_model::failure::Failure;
use futures::future::BoxFuture;

use crate::event::{HttpRequest, HttpResponse};

/// Sends requests.
pub trait Outside: Send + Sync + 'static {
    /// Sends a request where `rules` allow it, and returns when the head of the response is there; a short
    /// body of known length comes with it. Dropping the future gives the request up.
    fn send(
        &self,
        rules: Arc<EgressRules>,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, Failure>>;
}
