//! A context between two instances: opened, reset, settled to its file.
//!
//! All of this happens in the object's own task while no guest code runs.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectIdentity;
use durabo_storage::database::{Database, DatabaseOptions};
use durabo_storage::error::StorageError;
use durabo_storage::object_file::ObjectFile;
use durabo_storage::object_index::ObjectRow;
use tokio::time::{Instant, sleep_until};

use super::instance::InstanceState;
use super::{ContextParts, ObjectContext};
use crate::control::{Control, Ending, OldSockets};
use crate::event::{Apart, Delivery};
use crate::history::History;
use crate::lendable::Lendable;
use crate::mailbox::MailboxReceiver;
use crate::node::Node;
use crate::outbound::Post;
use crate::output_gate::{Effect, OutputGate};
use crate::room::ObjectRoom;
use crate::sockets::DEPLOYED_ANEW;

/// How often an object that cannot leave a node that stops looks whether lack of space is why.
const SPACE_PAUSE: Duration = Duration::from_millis(500);

/// Whose failure resets an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetOf {
    /// An instance's.
    Instance,
    /// That of work which needed none, such as an operator's SQL.
    Apart,
}

/// What a context without an instance waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// An event is there.
    Event,
    /// Something is there that needs no instance: SQL of an operator, or what concerns an alarm that is not to run.
    Apart(Apart),
    /// Nothing came for so long that the object leaves memory, or its place is wanted.
    Idle,
    /// A commit is not in the log, or not in time.
    Broken,
    /// The node stops.
    Stopping,
}

impl ObjectContext {
    /// Opens the object's file, if there is one. SQLite opens it when the object uses its database. Nothing is
    /// made on disk for an object that never wrote (ID-10).
    /// On failure the mailbox comes back, so that its events can be told.
    pub(crate) fn open(
        node: Arc<Node>,
        identity: ObjectIdentity,
        mailbox: MailboxReceiver,
        control: Arc<Control>,
        post: Arc<dyn Post>,
    ) -> Result<Box<Self>, Box<(MailboxReceiver, Failure)>> {
        let room = Arc::new(ObjectRoom::new(node.pool.clone()));
        match open_storage(&node, identity, &room) {
            Ok((identity, file, database, row)) => {
                let history = History::new(identity.key, node.counters.next_epoch(), row.as_ref());
                let tasks = post.clone();
                let beside = Arc::new(move |task| tasks.spawn(task));
                let gate = OutputGate::new(history.sequence(), node.held_bytes.clone(), beside);
                let gate = Arc::new(gate);
                let parts = ContextParts {
                    identity,
                    node,
                    file,
                    database,
                    history,
                    gate,
                    room,
                    mailbox,
                    control,
                    post,
                };
                Ok(Box::new(Self::new(parts)))
            }
            Err(failure) => Err(Box::new((mailbox, failure))),
        }
    }

    /// Waits, without an instance, for an event, for the time to leave memory, or for the node's end. What
    /// upkeep asks of the object is done meanwhile.
    pub(crate) async fn wait_for_event(&mut self) -> Result<Waited, Failure> {
        let deadline = Instant::now() + self.node.limits.close_after;
        let mut idle = std::pin::pin!(sleep_until(deadline));
        poll_fn(|cx| {
            // An operator's SQL commits without an instance.
            if self.poll_outcomes(cx).is_ready() {
                return Poll::Ready(Ok(Waited::Broken));
            }
            if let Poll::Ready(waited) = self.poll_waited(cx) {
                return Poll::Ready(Ok(waited));
            }
            if let Poll::Ready(Err(failure)) = self.poll_checkpoint(cx) {
                return Poll::Ready(Err(failure));
            }
            // An object that has just found that it cannot leave is not asked at once again.
            if self.control.is_room_wanted() && !self.copying.is_waiting() {
                return Poll::Ready(Ok(Waited::Idle));
            }
            idle.as_mut().poll(cx).map(|()| Ok(Waited::Idle))
        })
        .await
    }

    /// Fails all events that come until `deadline`; `false` if the node stops before.
    pub(crate) async fn refuse_for_now(&mut self, refusal: &Failure, deadline: Instant) -> bool {
        let mut over = std::pin::pin!(sleep_until(deadline));
        self.refuse_until(refusal, |_, cx| over.as_mut().poll(cx)).await
    }

    /// As [`refuse_for_now`](Self::refuse_for_now), until `poll_over` is ready.
    pub(super) async fn refuse_until(
        &mut self,
        refusal: &Failure,
        mut poll_over: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<()>,
    ) -> bool {
        loop {
            let waited = poll_fn(|cx| match poll_over(self, cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => self.poll_waited(cx).map(Some),
            });
            match waited.await {
                None => return true,
                Some(Waited::Stopping) => return false,
                Some(_) => self.fail_waiting(refusal),
            }
        }
    }

    fn poll_waited(&mut self, cx: &mut Context<'_>) -> Poll<Waited> {
        self.control.register(cx.waker());
        match self.control.ending() {
            Some((Ending::Stopping, _)) => return Poll::Ready(Waited::Stopping),
            // No instance runs the old code.
            Some((Ending::CodeUpdated(sockets), _)) => {
                if sockets == OldSockets::Cut {
                    self.cut_sockets(DEPLOYED_ANEW);
                }
                self.control.code_is_current();
            }
            None => {}
        }
        ready!(self.mailbox.poll_waiting(cx));
        // What waits in the mailbox is bounded, and so are the answers that wait for the disk.
        if !self.has_output_room(cx) {
            return Poll::Pending;
        }
        Poll::Ready(match self.mailbox.first(|first| first.work.asked_apart()).flatten() {
            Some(Apart::Alarm(request)) if self.is_to_run(request, self.node.clock.now()) => Waited::Event,
            Some(what) => Waited::Apart(what),
            None => Waited::Event,
        })
    }

    /// Whether the instance that ended wrote although there is no space at present.
    pub(crate) fn lacked_space(&self) -> bool {
        self.database.lacked_space()
    }

    /// Whether an event of the instance that ended had come to its end.
    pub(crate) fn has_answered(&self) -> bool {
        self.instance.has_answered
    }

    /// Waits without an instance, for less if the node stops.
    pub(crate) async fn wait_out(&mut self, wait: Duration) {
        let mut over = std::pin::pin!(sleep_until(Instant::now() + wait));
        poll_fn(|cx| {
            self.control.register(cx.waker());
            match self.control.ending() {
                Some((Ending::Stopping, _)) => Poll::Ready(()),
                _ => over.as_mut().poll(cx),
            }
        })
        .await;
    }

    /// Whether an event waits.
    pub(crate) fn has_event(&self) -> bool {
        !self.mailbox.is_empty()
    }

    /// Fails the event that waits longest.
    pub(crate) fn fail_next(&mut self, failure: Failure) {
        if let Some(delivery) = self.mailbox.try_take() {
            self.fail_delivery(delivery, failure);
        }
    }

    fn fail_delivery(&self, delivery: Delivery, failure: Failure) {
        if self.is_broken() {
            // The event has not begun, and has another reason to fail than those that had.
            return delivery.refuse(failure);
        }
        self.gate.release_after(self.position(), Effect::Reply(delivery.reply, Err(failure)));
    }

    /// Fails all events that wait.
    pub(crate) fn fail_waiting(&mut self, failure: &Failure) {
        while self.has_event() {
            self.fail_next(failure.clone());
        }
    }

    /// After an instance was dropped for `failure`: discards its open turn, fails its events, and
    /// makes the context fit for the next instance, which sees the last committed state (LC-8).
    pub(crate) async fn reset(&mut self, of: ResetOf, failure: Failure) -> Result<(), Failure> {
        let failure = failure.of_object(self.identity.key.id);
        // Before anyone is told: whoever was must find the stub broken.
        self.end_life(failure.clone());
        if !self.keeps_sockets(of, &failure) {
            self.cut_sockets(&failure.message);
        }
        let is_fault = self.is_fault_of_node(&failure);
        let mut alarm_run = self.stop_alarm_run(&failure);
        let discarded = self.database.discard_turn();
        self.gate.discard_after(self.history.sequence(), &failure);
        if self.is_broken_by(&failure) {
            // What happened to sockets that are kept is for the next instance.
            for delivery in self.mailbox.take_all_but_sockets() {
                self.fail_delivery(delivery, failure.clone());
            }
        } else if of == ResetOf::Instance && !self.instance.has_delivered {
            // The instance could not even start: it would be started again for this event without end.
            match self.take_waiting_alarm() {
                Some(waiting) => alarm_run = Some(waiting),
                None => self.fail_next(failure.clone()),
            }
        }
        let position = self.position();
        for (id, event) in self.in_flight.take_all() {
            self.tell_handled(id, event.begun, Some(&failure));
            self.gate.release_after(position, Effect::Reply(event.reply, Err(failure.clone())));
        }
        discarded.map_err(|error| self.storage_failed(error))?;
        self.reload().await?;
        alarm_run.map_or(Ok(()), |run| self.alarm_failed(run, failure, is_fault))
    }

    /// Makes the context fit for the next instance: a new connection over the same file, since
    /// switches that the guest has set last no longer than its instance (SQ-34). May be repeated after an
    /// error.
    pub(crate) async fn reload(&mut self) -> Result<(), Failure> {
        // What is committed stands in the connection's memory alone: it must reach the file before
        // the connection is dropped, and may do so only when it is durable (invariant 2). If the file has
        // no space for it, the next connection takes that memory over.
        loop {
            if let Some(failure) = self.gate.broken() {
                self.settle_commits(failure).await?;
            }
            match self.on_disk().await {
                Ok(()) => break,
                // A commit may have failed meanwhile.
                Err(failure) if !self.is_broken() => return Err(failure),
                Err(_) => {}
            }
        }
        let options = database_options(&self.node, &self.identity);
        let database = match self.copy_wal()? {
            true => database_of(&self.file, &options, &self.room),
            false => {
                let successor = self.database.successor(&self.file, &options);
                successor.map_err(|error| self.storage_failed(error))?
            }
        };
        self.database = Lendable::new(database);
        self.count_wal();
        self.forget_instance();
        Ok(())
    }

    /// Makes the context fit for the next instance over the same connection, after an instance that had
    /// nothing to do any more. May be repeated after an error.
    pub(crate) async fn hibernate(&mut self) -> Result<(), Failure> {
        if !self.database.renew().map_err(|error| self.storage_failed(error))? {
            return self.reload().await;
        }
        self.forget_instance();
        Ok(())
    }

    /// Forgets what belonged to the instance before.
    fn forget_instance(&mut self) {
        if let Some(sockets) = &self.sockets {
            sockets.cut_awake();
        }
        self.history.reload(self.node.counters.next_epoch());
        self.instance = InstanceState::new(&self.node.limits);
    }

    /// Brings everything committed into the object's file and the index, durably. `false`: the object must
    /// stay in memory, since its file has no space for it at present or an event has come meanwhile.
    pub(crate) async fn settle(&mut self) -> Result<bool, Failure> {
        self.on_disk().await?;
        if !self.checkpoint_done().await? {
            return Ok(false);
        }
        if !self.history.is_ahead_of_file() {
            return Ok(true);
        }
        Ok(self.begin_checkpoint()? && self.checkpoint_done().await?)
    }

    async fn on_disk(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| match self.poll_outcomes(cx) {
            Poll::Ready(failure) => Poll::Ready(Err(failure)),
            Poll::Pending => self.poll_on_disk(cx),
        })
        .await
    }

    /// Waits for the checkpoint under way. `false`: an event has come before, or the node stops, and neither
    /// must wait for an index that has no space.
    async fn checkpoint_done(&mut self) -> Result<bool, Failure> {
        let mut look = std::pin::pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            let Some(running) = &mut self.checkpoint else { return Poll::Ready(Ok(true)) };
            if let Poll::Ready(done) = Pin::new(running).poll(cx) {
                return Poll::Ready(self.checkpoint_ended(done).map(|()| true));
            }
            match self.poll_waited(cx) {
                Poll::Ready(Waited::Event | Waited::Apart(_)) => Poll::Ready(Ok(false)),
                Poll::Ready(Waited::Stopping) => {
                    while look.as_mut().poll(cx).is_ready() {
                        look.as_mut().reset(Instant::now() + SPACE_PAUSE);
                    }
                    if self.node.pool.is_short() { Poll::Ready(Ok(false)) } else { Poll::Pending }
                }
                _ => Poll::Pending,
            }
        })
        .await
    }
}

type OpenedStorage = (ObjectIdentity, ObjectFile, Database, Option<ObjectRow>);

fn open_storage(
    node: &Node,
    mut identity: ObjectIdentity,
    room: &Arc<ObjectRoom>,
) -> Result<OpenedStorage, Failure> {
    let id = identity.key.id;
    let failed =
        |error: StorageError| Failure::new(ErrorCode::StorageFailed, error.to_string()).of_object(id);
    let foreign = |text: String| Failure::new(ErrorCode::FileForeign, text).of_object(id);
    let path = (node.object_path)(&identity.key);
    let file = ObjectFile::open(node.disk.clone(), path).map_err(|error| match error {
        StorageError::Foreign { .. } => foreign(error.to_string()),
        other => failed(other),
    })?;
    // Also for a file that is not there: it may be missing.
    let row = node.index.with(|index| index.get(&identity.key)).map_err(failed)?;
    let known = row.as_ref().map(|row| row.mark);
    file.check_mark(known).map_err(|error| foreign(error.to_string()))?;
    let database = database_of(&file, &database_options(node, &identity), room);
    if let Some(name) = row.as_ref().and_then(|row| row.name.clone()) {
        identity.name = Some(name);
    }
    Ok((identity, file, database, row))
}

fn database_of(file: &ObjectFile, options: &DatabaseOptions, room: &Arc<ObjectRoom>) -> Database {
    let mut database = Database::of(file, options);
    database.write_within(room.clone());
    database
}

pub(super) fn database_options(node: &Node, identity: &ObjectIdentity) -> DatabaseOptions {
    DatabaseOptions {
        pages_max: node.limits.database_pages_max,
        transaction_bytes_max: node.limits.transaction_bytes_max,
        memory_bytes_max: node.limits.sql_memory_bytes_max,
        name: identity.name.clone(),
    }
}
