//! Everything one live object may use and owes: storage, events under way, gate, history.
//!
//! The instance that runs owns it; between two instances the object's task does. All methods are
//! short and never wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::AlarmChange;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::{self, ObjectLimits};
use durabo_model::object::ObjectIdentity;
use durabo_model::random::Random;
use durabo_model::sequence::Sequence;
use durabo_model::time::Clock;
use durabo_storage::database::Database;
use durabo_storage::error::StorageError;
use durabo_storage::object_file::ObjectFile;
use durabo_storage::turn::TurnCommit;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::blocking::blocking;
use crate::control::Control;
use crate::counters::InstanceCount;
use crate::event::{Event, EventId, Outcome, SqlRequest, TraceContext};
use crate::history::History;
use crate::lendable::Lendable;
use crate::mailbox::MailboxReceiver;
use crate::node::Node;
use crate::outbound::Post;
use crate::output_gate::OutputGate;
use crate::retry::Retry;
use crate::room::ObjectRoom;
use crate::sockets::ObjectSockets;
use crate::unfinished::UnfinishedImports;
use crate::wal_memory::WalShare;

mod alarm;
mod alarm_end;
pub mod schedule;
mod bodies;
mod calls;
mod cancelled;
mod checkpoint;
mod confirmed;
mod delivery;
mod in_flight;
mod inspect;
mod instance;
mod lifecycle;
mod operator_frames;
mod operator_turn;
mod outcome;
mod pending;
mod sections;
mod sockets;
mod start_limit;
mod outgoing_sockets;
mod told;
mod transactions;

use alarm::RunUnderWay;
pub use calls::Call;
use in_flight::EventsInFlight;
use instance::InstanceState;
pub(crate) use lifecycle::{ResetOf, Waited};
pub(crate) use operator_frames::no_socket;
pub use sockets::SocketInfo;
pub(crate) use sockets::{check_message, close_reason};
pub use transactions::{Transaction, TransactionFailure};

/// Longest pause before a copy of the WAL that found no space is tried again.
const COPY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the loop of an instance does next.
#[derive(Debug)]
pub enum NextEvent {
    /// Start this event.
    Deliver(EventId, Event),
    /// Run this SQL of an operator, apart from the guest ([`ObjectContext::answer_sql`]).
    Sql(SqlRequest, oneshot::Sender<Outcome>),
    /// Stop: no event is left and none will be taken.
    Retired,
    /// Stop at once: the instance must not go on.
    Reset(Failure),
}

/// The context of one live object.
pub struct ObjectContext {
    identity: ObjectIdentity,
    node: Arc<Node>,
    file: ObjectFile,
    database: Lendable<Database>,
    history: History,
    /// The newest commit that what leaves the object has to wait for.
    confirmed: Sequence,
    gate: Arc<OutputGate>,
    room: Arc<ObjectRoom>,
    wal: WalShare,
    mailbox: MailboxReceiver,
    control: Arc<Control>,
    in_flight: EventsInFlight,
    post: Arc<dyn Post>,
    /// Of the present instance, or of the next one if there is none.
    instance: InstanceState,
    /// Bodies in pieces that are open, both ways.
    bodies: UnfinishedImports,
    /// Its sockets, since it has any, and until it leaves memory.
    sockets: Option<Arc<ObjectSockets>>,
    checkpoint_asked: bool,
    checkpoint: Option<oneshot::Receiver<()>>,
    /// Copies of the WAL that found no space.
    copying: Retry,
    /// Asked for when the newest commit was this one.
    barrier: Option<(Sequence, oneshot::Receiver<()>)>,
    /// Over when a commit that was made at its beginning has taken too long.
    commit_limit: Option<Pin<Box<Sleep>>>,
    /// The run of the alarm that is under way.
    alarm_run: Option<RunUnderWay>,
}

/// The parts of which a context is made; all of one object.
pub(crate) struct ContextParts {
    pub identity: ObjectIdentity,
    pub node: Arc<Node>,
    pub file: ObjectFile,
    pub database: Database,
    pub history: History,
    pub gate: Arc<OutputGate>,
    pub room: Arc<ObjectRoom>,
    pub mailbox: MailboxReceiver,
    pub control: Arc<Control>,
    pub post: Arc<dyn Post>,
}

impl ObjectContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        let ContextParts { identity, node, file, database, history, gate, room, mailbox, control, post } =
            parts;
        let wal = node.wal_memory.share(identity.key);
        let sockets = node.sockets.of(&identity.key).filter(|_| !is_planted(Mutation::LeaveSocketsBehind));
        let instance = InstanceState::new(&node.limits);
        Self {
            identity,
            node,
            file,
            database: Lendable::new(database),
            confirmed: history.sequence(),
            history,
            gate,
            room,
            wal,
            mailbox,
            in_flight: EventsInFlight::new(control.clone()),
            control,
            post,
            instance,
            bodies: UnfinishedImports::default(),
            sockets,
            checkpoint_asked: false,
            checkpoint: None,
            copying: Retry::new(COPY_PAUSE_MAX),
            barrier: None,
            commit_limit: None,
            alarm_run: None,
        }
    }

    /// Who the object is.
    pub fn identity(&self) -> &ObjectIdentity {
        &self.identity
    }

    /// What others ask and know of the object.
    pub(crate) fn control(&self) -> Arc<Control> {
        self.control.clone()
    }

    /// Counts an instance of the node.
    pub(crate) fn count_instance(&self) -> InstanceCount {
        self.node.counters.instance()
    }

    /// Capacities and times of the node.
    pub fn limits(&self) -> &ObjectLimits {
        &self.node.limits
    }

    /// Time of day.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.node.clock
    }

    /// Source of random bytes.
    pub fn random(&self) -> &dyn Random {
        &*self.node.random
    }

    /// The object's database, in the present turn.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Gives back what the database caches: the guest has no work. Not within a turn.
    pub(crate) fn rest(&mut self) {
        if !self.database.is_turn_open() {
            self.database.rest();
        }
    }

    /// Hands the database out, for a statement that runs in another thread within the present turn. Until
    /// [`take_database_back`](Self::take_database_back) the loop must not be polled; asking for the
    /// database panics. It must come back: what was committed lately is in its memory alone.
    pub fn lend_database(&mut self) -> Database {
        self.note_suspension();
        self.database.lend()
    }

    /// Ends what [`lend_database`](Self::lend_database) began.
    pub fn take_database_back(&mut self, database: Database) {
        self.database.give_back(database);
    }

    /// Whether the database is not lent.
    pub fn has_database(&self) -> bool {
        self.database.is_here()
    }

    /// Whether the database is poisoned because what ran in it was interrupted.
    pub fn was_interrupted(&self) -> bool {
        self.database.was_interrupted()
    }

    /// Whether something was written that is not committed, be it in a transaction over waits.
    pub fn is_turn_open(&self) -> bool {
        self.database.is_turn_open()
    }

    /// Whether the end of the turn has something to commit.
    pub(crate) fn has_turn_to_commit(&self) -> bool {
        self.database.has_turn_to_commit()
    }

    /// Ends the turn: what it wrote is committed and on its way into the log (OG-1), save in a transaction over
    /// waits. On failure the instance has to be reset.
    pub fn end_turn(&mut self) -> Result<(), Failure> {
        self.store_alarm_end();
        self.commit_turn()?;
        self.close_alarm_run();
        Ok(())
    }

    fn commit_turn(&mut self) -> Result<(), Failure> {
        if let Some(reason) = &self.instance.aborted {
            return Err(reason.clone());
        }
        // Behind a broken gate nothing more is committed (invariant 6): the WAL would hold it without a record.
        let commits = self.has_turn_to_commit();
        let durable = match commits {
            true => self.gate.durable_unless_broken()?,
            false => Sequence::default(),
        };
        let ended = match self.database.has_rows_to_read_ahead() {
            // Nothing may be awaited here (T2), but the thread's other tasks need not wait.
            true => blocking(|| self.database.end_turn()),
            false => self.database.end_turn(),
        };
        match ended.map_err(|error| self.storage_failed(error))? {
            Some(commit) => return self.push_commit(commit, durable),
            None if commits => self.gate.turn_without_commit(self.history.sequence()),
            // What it has spilled is in memory for longer than a turn.
            None if self.database.is_in_transaction() => self.count_wal(),
            None => {}
        }
        Ok(())
    }

    /// Hands a commit to the log; `durable` is the newest one that was when it was made.
    fn push_commit(&mut self, commit: TurnCommit, durable: Sequence) -> Result<(), Failure> {
        let (is_confirmed, alarm) = (commit.confirmed, commit.alarm);
        self.count_wal();
        let record = self.history.commit(commit, self.node.clock.now(), durable);
        if is_confirmed {
            self.confirmed = self.history.sequence();
        }
        self.watch_commits();
        if alarm != AlarmChange::Unchanged {
            // Before the commit is on its way, so that no alarm is lost between the two (AL-5).
            self.tell_alarm();
        }
        let pushed = self.node.commits.push_commit(record, self.gate.clone(), &self.room);
        self.gate_failure(pushed)
    }

    /// Ready when the turn's first write may go on: a guest that writes faster than the disk takes it
    /// waits here, as a whole, instead of filling memory. A turn that reads does not, since its rows come out of what
    /// would be copied: its object waits with the next one.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.is_turn_open() || self.database.has_rows_to_read_ahead() || !self.is_wal_far_beyond() {
            return Poll::Ready(Ok(()));
        }
        if self.poll_on_disk(cx)?.is_pending() {
            self.note_suspension();
            return Poll::Pending;
        }
        // If the file has no space for it, the write will fail for that.
        Poll::Ready(self.copy_wal().map(drop))
    }

    /// Whether the object has to bring its WAL into its file before it writes on.
    fn is_wal_far_beyond(&self) -> bool {
        let (bytes, limits) = (self.database.wal_bytes(), &self.node.limits);
        bytes > limits::WAL_OVERRUN_FACTOR * limits.wal_bytes_max
            || bytes > 0 && self.node.wal_memory.is_far_beyond(limits.node_wal_bytes_max)
    }

    /// Says what the WAL takes now.
    fn count_wal(&self) {
        let bytes = self.database.wal_memory_bytes();
        if self.wal.set(bytes, self.node.limits.node_wal_bytes_max) {
            self.node.upkeep.wake();
        }
    }

    /// Ready with the failure for which an instance that waits as a whole must not go on waiting. To be
    /// asked where the loop is not polled: after a turn end, by what blocks the guest.
    pub fn poll_must_end(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if let Poll::Ready(failure) = self.poll_must_cut(cx) {
            return Poll::Ready(failure);
        }
        if self.control.ending().is_some() {
            return Poll::Pending;
        }
        // Nobody is let in meanwhile, but the log may need this object's checkpoint.
        match self.poll_checkpoint(cx) {
            Poll::Ready(Err(failure)) => Poll::Ready(failure),
            _ => Poll::Pending,
        }
    }

    /// As [`poll_must_end`](Self::poll_must_end), but within a turn, or before its first write, and also while the
    /// database is lent, which is not touched: ready when what runs in it has to be cut.
    pub fn poll_must_cut(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if let Poll::Ready(failure) = self.control.poll_reset(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_outcomes(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_start_limit(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_section_limit(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_pending_limit(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_alarm_limit(cx) {
            return Poll::Ready(failure);
        }
        if let Poll::Ready(failure) = self.poll_socket_limit(cx) {
            return Poll::Ready(failure);
        }
        match self.control.ending() {
            Some(ending) => self.poll_drained(cx, ending),
            None => Poll::Pending,
        }
    }

    /// What waits for a commit that never was in the log must not wait for ever.
    fn gate_failure(&self, pushed: Result<(), Failure>) -> Result<(), Failure> {
        pushed.inspect_err(|failure| self.gate.break_with(failure.clone()))
    }

    /// Resets the object for a reason of its own (LC-7). The guest must not run on after this.
    pub fn abort(&mut self, reason: Failure) {
        self.instance.aborted.get_or_insert(reason);
    }

    /// The reason given to [`abort`](Self::abort), if it was called.
    pub fn abort_reason(&self) -> Option<&Failure> {
        self.instance.aborted.as_ref()
    }

    /// Trace to which an event belongs.
    pub fn trace(&self, id: EventId) -> Option<TraceContext> {
        self.in_flight.get(&id)?.origin.trace.clone()
    }

    fn storage_failed(&self, error: StorageError) -> Failure {
        let code = match &error {
            StorageError::Poisoned(cause) if cause.is_out_of_memory() => ErrorCode::MemoryLimitExceeded,
            _ => ErrorCode::StorageFailed,
        };
        Failure::new(code, error.to_string()).of_object(self.identity.key.id)
    }
}
