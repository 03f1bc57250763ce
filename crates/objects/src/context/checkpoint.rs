//! Bringing commits from the WAL into the object's file: when, and in which order.
//!
//! The WAL goes to the file only when its commits are on the disk (invariant 2). A file without space keeps
//! them in memory and in the log; it is tried again, and turns that write are refused until then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::segment::Durability;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::sync::oneshot::{self, error::RecvError};
use tracing::{info, warn};

use super::ObjectContext;
use crate::blocking::blocking;
use crate::upkeep::CheckpointJob;

impl ObjectContext {
    /// Holds events back while the WAL is over its limit or somebody asked for a checkpoint, until
    /// all commits are durable (invariant 2) and the WAL is copied.
    pub(super) fn poll_checkpoint(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(running) = &mut self.checkpoint {
            match Pin::new(running).poll(cx) {
                // The file is being synced: one checkpoint at a time, events go on.
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(done) => self.checkpoint_ended(done)?,
            }
        }
        self.checkpoint_asked |= self.control.take_checkpoint_request();
        let is_large = self.database.wal_bytes() > self.node.limits.wal_bytes_max;
        let is_wanted = self.checkpoint_asked || self.copying.is_due();
        // Without a commit there is nothing to bring, and there may be no file that a row could speak of.
        if !((is_large || is_wanted) && self.history.is_ahead_of_file()) {
            self.checkpoint_asked = false;
            return Poll::Ready(Ok(()));
        }
        if self.is_turn_open() {
            return Poll::Pending;
        }
        ready!(self.poll_on_disk(cx))?;
        self.checkpoint_asked = false;
        Poll::Ready(self.begin_checkpoint().map(drop))
    }

    /// Ready when every commit is on the disk itself, also under relaxed durability: only then may
    /// the WAL go to the file (invariant 2).
    pub(super) fn poll_on_disk(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if is_planted(Mutation::CheckpointBeforeDurable) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.gate.poll_durable(cx, self.history.sequence()))?;
        if self.database.wal_bytes() == 0 || self.node.durability == Durability::Strict {
            return Poll::Ready(Ok(()));
        }
        let newest = self.history.sequence();
        // One that was asked for before the newest commit says nothing of it.
        self.barrier.take_if(|(asked_at, _)| *asked_at != newest);
        let barrier = match &mut self.barrier {
            Some((_, barrier)) => barrier,
            None => {
                let (passed, barrier) = oneshot::channel();
                self.gate_failure(self.node.commits.push_barrier(passed))?;
                &mut self.barrier.insert((newest, barrier)).1
            }
        };
        let passed = ready!(Pin::new(barrier).poll(cx));
        self.barrier = None;
        let stopped = |_| Failure::new(ErrorCode::Stopping, "the change log has stopped");
        Poll::Ready(passed.map_err(stopped))
    }

    /// Copies the WAL to the file and lets upkeep make that durable. `false`: the file has no space for it
    /// at present.
    pub(super) fn begin_checkpoint(&mut self) -> Result<bool, Failure> {
        if !self.copy_wal()? {
            return Ok(false);
        }
        let mark = self.file.mark().map_err(|error| self.storage_failed(error))?;
        let (record, row) = self.history.checkpoint(mark, self.identity.name.clone());
        let (done, receiver) = oneshot::channel();
        self.node.upkeep.push(CheckpointJob { file: self.file.clone(), row, record, done });
        self.checkpoint = Some(receiver);
        Ok(true)
    }

    /// Takes the answer of upkeep. None means that it failed and the node stops: the file and its index
    /// row may be old, so the object must not leave memory as if they were not, and start from them.
    pub(super) fn checkpoint_ended(&mut self, done: Result<(), RecvError>) -> Result<(), Failure> {
        self.checkpoint = None;
        done.map_err(|_| {
            let text = "a checkpoint failed and the node stops; see the node's log";
            let failure = Failure::new(ErrorCode::Stopping, text).of_object(self.identity.key.id);
            self.gate.break_with(failure.clone());
            failure
        })
    }

    /// Copies the WAL to the file. `false`: there is no space for it, or there was none a moment ago. Then
    /// it stays in memory and in the log, and turns that write are refused until it is copied.
    pub(super) fn copy_wal(&mut self) -> Result<bool, Failure> {
        if self.copying.is_waiting() {
            return Ok(false);
        }
        let (durable, committed) = (self.gate.durable(), self.history.sequence());
        let copied = match self.database.is_file_to_be_cut() {
            // Half a second for a gigabyte.
            true => blocking(|| self.database.copy_wal_to_file(durable, committed)),
            false => self.database.copy_wal_to_file(durable, committed),
        };
        self.count_wal();
        match copied {
            Ok(()) => {
                self.history.wal_emptied();
                if self.copying.succeeded() {
                    info!(object = %self.identity.key.id, "the object's file has space again");
                    self.database.set_closed(false);
                }
                Ok(true)
            }
            Err(error) if error.is_full() => {
                if !self.copying.has_failed() {
                    let id = self.identity.key.id;
                    warn!(object = %id, %error, "the object cannot write until its file has space");
                }
                self.database.set_closed(true);
                self.copying.failed();
                Ok(false)
            }
            Err(error) => Err(self.storage_failed(error)),
        }
    }
}
