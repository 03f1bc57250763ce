//! A guest without WebAssembly: its code is a short list of acts, run against the real context.
//!
//! What it keeps in its database is in `fake_store`. Objects from number [`BLOCKING`] on cannot suspend, and the
//! one with number [`BARE`] makes no tables when it starts.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureKind};
use durabo_objects::body::{Body, PieceWriter, channel};
use durabo_objects::context::{ObjectContext, Transaction, TransactionFailure};
use durabo_objects::event::{AlarmAnswer, Event, EventId, HttpResponse, Outcome, Reply};
use durabo_objects::event_loop::{GuestCalls, run_events};
use durabo_objects::guest::{Guest, GuestExit, GuestLoader, Loaded};
use durabo_objects::import::Import;
use durabo_objects::input_gate::Section;
use durabo_objects::outbound::Stub;
use durabo_objects::socket::Upgrade;
use durabo_storage::value::Value;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::act::{Act, acts, event};
use crate::address::address;
use crate::fake_alarm;
use crate::fake_engine::{Asked, Engine};
use crate::fake_schedule::{self, RunningEntry};
use crate::fake_socket::{self, Deliveries, SocketHandler};
use crate::fake_store::{exec, make_tables, perform, read, show, write};

/// The first of the objects whose guest cannot suspend.
pub const BLOCKING: u64 = 1000;

/// The object whose constructor does nothing.
pub const BARE: u64 = 900;

/// The number that a constructor writes once it has heard that nobody waits for it.
pub const STARTED: u64 = 1_000_000;

/// Makes fake guests.
#[derive(Debug, Default)]
pub struct FakeLoader {
    /// What happens to their sockets.
    pub deliveries: Deliveries,
}

impl GuestLoader for FakeLoader {
    fn load(&self, mut context: Box<ObjectContext>) -> Loaded {
        let name = context.identity().name.as_deref().unwrap_or_default();
        let number = name.rsplit('-').next().and_then(|number| number.parse().ok());
        if number.is_some_and(|number: u64| number >= BLOCKING) {
            context.set_blocking();
        }
        let engine = Arc::new(Engine::new(context));
        Ok(Box::new(FakeGuest { engine, deliveries: self.deliveries.clone() }))
    }
}

struct FakeGuest {
    engine: Arc<Engine>,
    deliveries: Deliveries,
}

impl Guest for FakeGuest {
    fn run(&mut self) -> BoxFuture<'_, GuestExit> {
        let (engine, deliveries) = (self.engine.clone(), self.deliveries.clone());
        Box::pin(async move {
            let calls = FakeCalls(&engine, &deliveries);
            engine.run(run_events(&calls)).await
        })
    }

    fn into_context(self: Box<Self>) -> Box<ObjectContext> {
        self.engine.into_context()
    }
}

struct FakeCalls<'a>(&'a Arc<Engine>, &'a Deliveries);

impl GuestCalls for FakeCalls<'_> {
    fn with_context<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        self.0.with_context(f)
    }

    fn apart<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        self.0.with_context(f)
    }

    async fn construct(&self) -> Result<(), Failure> {
        let bare = address(BARE).name;
        if self.0.with_context(|context| context.identity().name == bare) {
            return Ok(());
        }
        make_tables(self.0)?;
        if is_told(self.0, "no_start")? {
            return Err(of_guest("told not to start"));
        }
        if is_told(self.0, "alarm_at_start")? {
            fake_alarm::perform(self.0, &Act::SetAlarm(60_000))?;
        }
        if is_told(self.0, "listen")? {
            let engine = Arc::downgrade(self.0);
            self.0.spawn(async move {
                let here = || engine.upgrade().expect("guest code runs in its instance");
                let import = here().with_context(|context| context.begin_import()).expect("the first");
                let engine = engine.clone();
                here().import(import.wait_for(async move { listen(&engine, None).await })).await;
                write(&here(), STARTED, 10).expect("a good database");
            });
            // So that it listens before the constructor returns.
            rounds_of_tasks(3).await;
        }
        Ok(())
    }

    async fn call(&self, id: EventId, event: Event) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let mut handler = Handler {
            engine: Arc::downgrade(self.0),
            event: id,
            reply: Some(reply),
            stubs: HashMap::new(),
            calls: Vec::new(),
            sections: Vec::new(),
            transactions: Vec::new(),
            body: None,
            shows_keys: false,
            entry: None,
            socket: None,
            upgrade: None,
            deliveries: self.1.clone(),
        };
        let is_alarm = matches!(event, Event::Alarm(_));
        let acts = match &event {
            Event::Alarm(info) => {
                match &info.entry {
                    Some(entry) => handler.entry = fake_schedule::begin(self.0, info, entry)?,
                    None => fake_alarm::begin(self.0, info)?,
                }
                fake_alarm::handler(self.0, info)?
            }
            Event::Socket(socket, incident) => {
                let (begun, acts) = SocketHandler::begin(self.1, *socket, incident);
                handler.socket = Some(begun);
                acts
            }
            other => acts(other),
        };
        self.0.spawn(handler.perform(acts));
        match outcome.await {
            Ok(outcome) if is_alarm => outcome.map(|_| Reply::Alarm(AlarmAnswer::Ran)),
            Ok(outcome) => outcome,
            // It trapped; the loop ends by itself.
            Err(_) => pending().await,
        }
    }

    fn poll_quiet(&self, _cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_quiet() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The code of one event.
struct Handler {
    engine: Weak<Engine>,
    event: EventId,
    reply: Option<oneshot::Sender<Outcome>>,
    stubs: HashMap<u64, Stub>,
    calls: Vec<Asked<Outcome>>,
    sections: Vec<Section>,
    /// Each with the number of sections that were open around it.
    transactions: Vec<(usize, Transaction)>,
    body: Option<PieceWriter>,
    shows_keys: bool,
    /// The named alarm that it is the run of.
    entry: Option<RunningEntry>,
    /// The socket whose event it handles.
    socket: Option<SocketHandler>,
    /// The client's end of a socket, for the answer.
    upgrade: Option<Upgrade>,
    deliveries: Deliveries,
}

impl Handler {
    async fn perform(mut self, acts: Vec<Act>) {
        let mut outcome = self.run(acts).await;
        if outcome.is_ok() {
            outcome = self.end_entry().await;
        }
        while !self.sections.is_empty() {
            self.leave();
        }
        if let Some(body) = self.body.take() {
            let end = outcome.clone();
            body.close();
            self.engine().with_context(|context| {
                context.release(Box::new(move |leave| body.end(leave.and(end))));
            });
        }
        let upgrade = self.upgrade.take();
        let outcome = outcome.and_then(|()| match (upgrade, self.shows_keys) {
            (Some(upgrade), _) => Ok(switching(upgrade)),
            (None, true) => show(&self.engine()),
            (None, false) => read(&self.engine()),
        });
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(reply) = self.reply.take() {
            // Nobody listens if the instance is being dropped.
            drop(reply.send(outcome));
        }
    }

    /// Notes what follows on the run of a named alarm.
    async fn end_entry(&mut self) -> Result<(), Failure> {
        match self.entry.take() {
            None => Ok(()),
            Some(entry) => {
                self.wait_for_room().await?;
                fake_schedule::end(&self.engine(), &entry)
            }
        }
    }

    async fn run(&mut self, acts: Vec<Act>) -> Result<(), Failure> {
        for act in acts {
            let engine = self.engine();
            match act {
                Act::Write(number, bytes) => {
                    self.wait_for_room().await?;
                    write(&engine, number, bytes)?;
                }
                Act::Wait => self.wait(wait_once()).await,
                Act::Pause(rounds) => self.wait(rounds_of_tasks(rounds)).await,
                Act::WaitForEver => self.wait(pending()).await,
                Act::Suspend => engine.stop_in_midst().await,
                Act::Fail => return Err(of_guest("failed as told")),
                Act::Trap => end(&engine, Failure::new(ErrorCode::GuestTrapped, "trapped")).await,
                Act::Abort => end(&engine, Failure::new(ErrorCode::ObjectAborted, "aborted as told")).await,
                Act::Panic => panic!("the host is told to panic"),
                Act::Call(object, acts) => self.call(object, &acts)?,
                Act::GiveUp => self.calls.clear(),
                Act::Await => drop(self.outcomes().await),
                Act::Expect => {
                    for outcome in self.outcomes().await {
                        outcome?;
                    }
                }
                Act::Listen => self.begin_to_listen()?,
                Act::NewStubs => self.stubs.clear(),
                Act::Enter => self.enter().await?,
                Act::Leave => self.leave(),
                Act::Begin => self.begin().await?,
                Act::Commit | Act::RollBack => self.end_transaction(act == Act::Commit).await?,
                Act::Open => self.open_body(),
                Act::Piece => self.piece()?,
                Act::Left => {
                    let body = self.body.clone().expect("a body is open");
                    self.wait(async move { poll_fn(|cx| body.poll_left(cx)).await }).await;
                }
                Act::BeginToRead
                | Act::Put(..)
                | Act::Delete(_)
                | Act::Wipe
                | Act::DeleteAll
                | Act::MakeTables => {
                    self.wait_for_room().await?;
                    perform(&engine, &act)?;
                }
                Act::ShowKeys => self.shows_keys = true,
                Act::SetAlarm(_) | Act::DeleteAlarm | Act::NoteAlarm | Act::OnAlarm(_) => {
                    self.wait_for_room().await?;
                    fake_alarm::perform(&engine, &act)?;
                }
                Act::SetEntry { .. } | Act::DeleteEntry(_) => {
                    self.wait_for_room().await?;
                    fake_schedule::perform(&engine, &act, self.entry.as_ref())?;
                }
                Act::Accept(number) => {
                    self.upgrade = Some(fake_socket::accept(&engine, &self.deliveries, number)?);
                }
                Act::SendBack | Act::SendAnyhow | Act::SendToAll | Act::CloseSocket => {
                    fake_socket::perform(&engine, &act, self.socket.as_ref())?;
                }
                Act::FailAtFirst | Act::TrapAtFirst => panic!("only in a handler of alarms"),
                Act::GiveAlarmUp => {
                    let failure = Failure::new(ErrorCode::ObjectAborted, "given up as told");
                    engine.with_context(|context| context.abort_giving_up(Some(self.event), failure.clone()));
                    end(&engine, failure).await;
                }
                Act::Keep => {
                    engine.keep(std::mem::take(&mut self.transactions));
                    engine.keep(std::mem::take(&mut self.sections));
                }
                Act::TellOpen | Act::TellCached => {
                    let told = engine.with_context(|context| match act {
                        Act::TellOpen => u64::from(context.database().is_open()),
                        _ => context.database().cached_bytes() as u64,
                    });
                    self.answer(Ok(Reply::Rpc(Bytes::copy_from_slice(&told.to_le_bytes()))));
                }
                Act::Reply => {
                    let numbers = read(&engine);
                    self.answer(numbers);
                }
            }
        }
        Ok(())
    }

    fn begin_to_listen(&mut self) -> Result<(), Failure> {
        let (engine, event) = (self.engine.clone(), self.event);
        let nobody_waits = self.begin_import()?.wait_for(async move {
            listen(&engine, Some(event)).await;
            Ok(Reply::Rpc(Bytes::new()))
        });
        self.calls.push(self.engine().import(nobody_waits));
        Ok(())
    }

    fn open_body(&mut self) {
        let (writer, pieces) = channel();
        self.engine().with_context(|context| context.watch_reader(self.event, writer.reader()));
        self.body = Some(writer);
        let (headers, body) = (Vec::new(), Body::Pieces(pieces));
        self.answer(Ok(Reply::Fetch(HttpResponse { status: 200, headers, body, upgrade: None })));
    }

    /// Waits in its midst, as a statement that writes does, until the object may write on.
    async fn wait_for_room(&self) -> Result<(), Failure> {
        loop {
            let room = self.engine().with_context(|context| {
                // What was stopped in its midst is looked at again without a wake-up.
                context.poll_room(&mut Context::from_waker(Waker::noop()))
            });
            match room {
                Poll::Ready(room) => return room,
                Poll::Pending => self.engine().stop_in_midst().await,
            }
        }
    }

    /// Waits by an import.
    async fn wait<T: Send + 'static>(&self, what: impl Future<Output = T> + Send + 'static) -> T {
        let import = self.begin_import().expect("few are under way");
        self.engine().import(import.wait_for(what)).await
    }

    fn begin_import(&self) -> Result<Import, Failure> {
        self.engine().with_context(|context| context.begin_import())
    }

    fn call(&mut self, object: u64, acts: &[Act]) -> Result<(), Failure> {
        let engine = self.engine();
        let call = engine.with_context(|context| {
            let stub = self.stubs.entry(object).or_insert_with(|| context.stub(address(object)));
            let import = context.begin_import()?;
            context.call(stub, import, Some(self.event), event(acts))
        })?;
        self.calls.push(engine.import(call.outcome()));
        Ok(())
    }

    /// Writes a piece, which leaves when its turn says so.
    fn piece(&self) -> Result<(), Failure> {
        let (engine, writer) = (self.engine(), self.body.clone().expect("a body is open"));
        let Reply::Rpc(piece) = read(&engine)? else { unreachable!("numbers are read as an RPC reply") };
        writer.take(piece.len());
        engine.with_context(|context| {
            context.release(Box::new(move |leave| match leave {
                Ok(()) => writer.let_out(piece),
                Err(failure) => writer.end(Err(failure)),
            }));
        });
        Ok(())
    }

    /// Ends the turn also if all outcomes are there.
    async fn outcomes(&mut self) -> Vec<Outcome> {
        self.wait(wait_once()).await;
        let mut outcomes = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            outcomes.push(call.await);
        }
        outcomes
    }

    async fn enter(&mut self) -> Result<(), Failure> {
        let engine = self.engine();
        let entry = engine.with_context(|context| context.ask_for_section(self.sections.last()))?;
        let section = engine.import(entry.open()).await?;
        self.sections.push(section);
        Ok(())
    }

    fn leave(&mut self) {
        let depth = self.sections.len();
        let section = self.sections.pop().expect("a section is open");
        self.engine().with_context(|context| context.leave_section(&section));
        self.transactions.retain(|(within, _)| *within < depth);
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.wait_for_room().await?;
        let section = self.sections.last().expect("a section is open");
        let begun = self.engine().with_context(|context| context.begin_transaction(section));
        let transaction = self.told(begun).await?;
        self.transactions.push((self.sections.len(), transaction));
        Ok(())
    }

    async fn end_transaction(&mut self, keeps: bool) -> Result<(), Failure> {
        let engine = self.engine();
        let (_, transaction) = self.transactions.last_mut().expect("a transaction was begun");
        let ended = engine.with_context(|context| match keeps {
            true => context.commit_transaction(transaction),
            false => context.roll_back_transaction(transaction),
        });
        self.told(ended).await
    }

    async fn told<T>(&self, done: Result<T, TransactionFailure>) -> Result<T, Failure> {
        match done {
            Ok(value) => Ok(value),
            Err(TransactionFailure::Refused(failure)) => Err(failure),
            Err(TransactionFailure::Fatal(failure)) => {
                end(&self.engine(), failure).await;
                unreachable!("code that was ended goes on")
            }
        }
    }

    fn engine(&self) -> Arc<Engine> {
        self.engine.upgrade().expect("guest code runs in its instance")
    }
}

/// The answer that hands over the client's end of a socket.
fn switching(upgrade: Upgrade) -> Reply {
    let (headers, body) = (Vec::new(), Body::Whole(Bytes::new()));
    Reply::Fetch(HttpResponse { status: 101, headers, body, upgrade: Some(upgrade.returned()) })
}

/// Waits until nobody waits for the event, or for the constructor.
async fn listen(engine: &Weak<Engine>, event: Option<EventId>) {
    poll_fn(|cx| match engine.upgrade() {
        Some(engine) => engine.with_context(|context| context.poll_cancelled(event, cx)),
        None => Poll::Pending,
    })
    .await;
}

/// Whether an operator has made a table of this name, which tells the guest something.
fn is_told(engine: &Engine, table: &str) -> Result<bool, Failure> {
    let name = Value::Text(table.to_owned());
    let count = exec(engine, "SELECT count(*) FROM sqlite_schema WHERE name = ?", &[name])?;
    Ok(count != [Value::Integer(0)])
}

/// A failure as an engine marks what a guest returns (LC-6).
fn of_guest(text: &str) -> Failure {
    let mut failure = Failure::new(ErrorCode::Internal, text);
    failure.kind = FailureKind::Application;
    failure.flags.remote = true;
    failure
}

async fn end(engine: &Engine, failure: Failure) {
    engine.end(failure);
    pending().await
}

/// Waits while all tasks may run so many times.
async fn rounds_of_tasks(rounds: u64) {
    for _ in 0..=rounds {
        yield_now().await;
    }
}

/// Waits once, as for a timer that is due at once, and is pending when it is asked for.
async fn wait_once() {
    let mut polls = 0;
    poll_fn(move |cx| {
        polls += 1;
        if polls > 1 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
