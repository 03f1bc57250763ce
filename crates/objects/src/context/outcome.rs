//! What became of the object's commits, and the way back when some are not in the log.
//!
//! A commit that fails breaks the output gate; the instance is reset, and what is not in the log is undone
//! before the next one starts (invariant 6, OG-6). While the outcome of a commit is open, no instance starts
//! (invariant 7). A commit that takes too long breaks the gate too, and its outcome is open (OG-7).

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::ObjectContext;
use super::lifecycle::database_options;
use crate::lendable::Lendable;

impl ObjectContext {
    /// Ready with the failure for which no instance may go on, since a commit is not in the log, or not in
    /// time.
    pub(crate) fn poll_outcomes(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match self.gate.poll_broken(cx) {
            Poll::Pending => self.poll_commit_limit(cx),
            broken => broken,
        }
    }

    /// To be called when a commit was handed to the log.
    pub(super) fn watch_commits(&mut self) {
        let over_at = || Box::pin(sleep_until(Instant::now() + self.node.limits.commit_timeout));
        self.commit_limit.get_or_insert_with(over_at);
    }

    /// Ready when a commit has taken too long, which has broken the gate then. Looks at the commits only
    /// when a whole limit has passed, and not at each poll.
    fn poll_commit_limit(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let timeout = self.node.limits.commit_timeout;
        while let Some(limit) = &mut self.commit_limit {
            ready!(limit.as_mut().poll(cx));
            let Some((oldest, since)) = self.history.oldest_open(self.gate.durable()) else {
                self.commit_limit = None;
                break;
            };
            if since + timeout > Instant::now() {
                limit.as_mut().reset(since + timeout);
                continue;
            }
            let failure = timed_out(timeout).of_object(self.identity.key.id);
            if self.gate.time_out(oldest, failure.clone()) {
                self.commit_limit = None;
                return Poll::Ready(failure);
            }
        }
        Poll::Pending
    }

    /// Whether the gate is broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.gate.broken().is_some()
    }

    /// Whether nothing leaves the object any more, since the change log has failed.
    pub(crate) fn is_broken_for_good(&self) -> bool {
        self.gate.is_final()
    }

    /// Whether it is not known what became of a commit for which the gate is broken.
    pub(crate) fn has_open_outcome(&self) -> bool {
        self.is_broken() && !self.is_broken_for_good() && self.gate.known(self.history.sequence()).is_none()
    }

    /// Fails all events that come until it is known what became of the commits, or the log fails; `false` if
    /// the node stops before.
    pub(crate) async fn refuse_while_open(&mut self, refusal: &Failure) -> bool {
        let newest = self.history.sequence();
        let poll_known = |context: &mut Self, cx: &mut Context<'_>| match context.is_broken_for_good() {
            true => Poll::Ready(()),
            false => context.gate.poll_known(cx, newest).map(drop),
        };
        self.refuse_until(refusal, poll_known).await
    }

    /// After the gate was broken by `failure`: undoes what is not in the log and opens the gate. Fails if
    /// that is open, or the log has failed. Between two instances only; may be repeated after an error.
    pub(super) async fn settle_commits(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.is_broken_for_good() {
            return Err(failure);
        }
        let newest = self.history.sequence();
        let durable = poll_fn(|cx| match self.gate.poll_known(cx, newest) {
            Poll::Ready(durable) => Poll::Ready(Ok(durable)),
            Poll::Pending if !self.gate.has_failed_commit() => Poll::Ready(Err(failure.clone())),
            // Those before the one that failed are on their way.
            Poll::Pending => self.poll_commit_limit(cx).map(Err),
        });
        let durable = durable.await?;
        if durable < newest {
            let options = database_options(&self.node, &self.identity);
            let frames = self.history.wal_frames_at(durable);
            let database = self.database.undo_commits(frames, &self.file, &options);
            self.database = Lendable::new(database.map_err(|error| self.storage_failed(error))?);
            self.history.undo_after(durable);
            self.confirmed = self.confirmed.min(durable);
            self.tell_alarm();
            let (id, undone) = (self.identity.key.id, newest.0 - durable.0);
            warn!(object = %id, undone, %failure, "commits that are not in the change log were undone");
        }
        let why = failure.message.clone();
        self.end_life(failure);
        self.cut_sockets(&why);
        self.gate.reopen();
        Ok(())
    }

    /// Ends the life that stubs know, unless that was done for the present instance.
    pub(super) fn end_life(&mut self, failure: Failure) {
        if !std::mem::replace(&mut self.instance.has_ended, true) {
            self.control.end_life(failure);
        }
    }
}

fn timed_out(timeout: Duration) -> Failure {
    let text = format!(
        "Durable Object storage operation exceeded timeout which caused object to be reset. A commit was not \
         durable within {} s; whether it is kept is not known yet",
        timeout.as_secs_f64()
    );
    let mut failure = Failure::new(ErrorCode::CommitTimeout, text);
    failure.flags.overloaded = true;
    failure
}
