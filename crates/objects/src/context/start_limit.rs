//! The time that a constructor has to return (IG-9).
//!
//! Asked for by the loop of the instance, and where that is not polled by what blocks the guest.

use std::future::Future;
use std::task::{Context, Poll, ready};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::time::{Instant, sleep_until};

use super::ObjectContext;

impl ObjectContext {
    /// Ready with the failure for which the instance must not go on when its constructor has not returned in time,
    /// which counts from the first call of this.
    pub(crate) fn poll_start_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if self.instance.has_started {
            return Poll::Pending;
        }
        let limit = self.node.limits.start_timeout;
        let over = || Box::pin(sleep_until(Instant::now() + limit));
        let over = self.instance.start_limit.get_or_insert_with(over);
        ready!(over.as_mut().poll(cx));
        let text =
            format!("the constructor did not return within {} s; the object was reset", limit.as_secs_f64());
        Poll::Ready(Failure::new(ErrorCode::StartTimeout, text))
    }
}
