//! A guest without WebAssembly: its code is a short list of acts, run against the real context.
//!
//! Acts between two waits belong to one turn, as in a real guest. What it keeps in its database lets
//! a test see holes and halves: `a` and `b` get the same numbers in one turn, `total` their sum, and
//! the place in `a` grows by one with each turn that wrote.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use durabo_changelog::seeded::Seeded;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureKind};
use durabo_objects::context::ObjectContext;
use durabo_objects::event::{Event, EventId, Outcome, Reply};
use durabo_objects::event_loop::{GuestCalls, run_events};
use durabo_objects::guest::{BoxFuture, Guest, GuestExit, GuestLoader};
use durabo_storage::value::Value;
use futures::future::{Either, select};

/// One act of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Writes a number, with so many bytes beside it.
    Write(u64, usize),
    /// Waits once for something outside: ends the turn.
    Wait,
    /// Ends the handler with an error.
    Fail,
    /// Traps.
    Trap,
    /// Makes the host panic in the object's task.
    Panic,
}

/// The event that makes the fake guest perform `acts` and then answer with all numbers it holds.
pub fn event(acts: &[Act]) -> Event {
    let mut args = Vec::new();
    for act in acts {
        let (code, number, bytes) = match act {
            Act::Write(number, bytes) => (0u8, *number, *bytes as u64),
            Act::Wait => (1, 0, 0),
            Act::Fail => (2, 0, 0),
            Act::Trap => (3, 0, 0),
            Act::Panic => (4, 0, 0),
        };
        args.push(code);
        args.extend_from_slice(&number.to_le_bytes());
        args.extend_from_slice(&bytes.to_le_bytes());
    }
    Event::Rpc { method: "perform".to_owned(), args: Bytes::from(args) }
}

/// The numbers in an answer.
pub fn numbers(reply: &Reply) -> Vec<u64> {
    let Reply::Rpc(bytes) = reply else { panic!("no RPC reply: {reply:?}") };
    let number = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    bytes.chunks_exact(8).map(number).collect()
}

fn acts(event: &Event) -> VecDeque<Act> {
    let Event::Rpc { args, .. } = event else { panic!("no RPC event: {event:?}") };
    let number = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    let act = |bytes: &[u8]| match bytes[0] {
        0 => Act::Write(number(&bytes[1..9]), number(&bytes[9..17]) as usize),
        1 => Act::Wait,
        2 => Act::Fail,
        3 => Act::Trap,
        _ => Act::Panic,
    };
    args.chunks_exact(17).map(act).collect()
}

/// Makes fake guests.
#[derive(Debug, Default)]
pub struct FakeLoader;

impl GuestLoader for FakeLoader {
    fn load(&self, context: ObjectContext) -> Result<Box<dyn Guest>, Box<(ObjectContext, Failure)>> {
        Ok(Box::new(FakeGuest(Arc::new(Instance {
            context: Mutex::new(Some(context)),
            trap: Mutex::default(),
        }))))
    }
}

struct FakeGuest(Arc<Instance>);

struct Instance {
    /// Taken out only when the instance is dropped.
    context: Mutex<Option<ObjectContext>>,
    trap: Mutex<(bool, Option<Waker>)>,
}

impl Guest for FakeGuest {
    fn run(&mut self) -> BoxFuture<'_, GuestExit> {
        Box::pin(async {
            let trapped = poll_fn(|cx| self.0.poll_trapped(cx));
            match select(Box::pin(run_events(&*self.0)), trapped).await {
                Either::Left((exit, _)) => exit,
                Either::Right(((), _)) => GuestExit::Reset(Failure::new(ErrorCode::GuestTrapped, "trapped")),
            }
        })
    }

    fn into_context(self: Box<Self>) -> ObjectContext {
        self.0.context.lock().expect("unpoisoned").take().expect("one owner")
    }
}

impl Instance {
    fn poll_trapped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut trap = self.trap.lock().expect("unpoisoned");
        trap.1 = Some(cx.waker().clone());
        if trap.0 { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn trap<T>(&self) -> T {
        self.spring();
        pending().await
    }

    fn spring(&self) {
        let mut trap = self.trap.lock().expect("unpoisoned");
        trap.0 = true;
        if let Some(waker) = trap.1.take() {
            waker.wake();
        }
    }

    fn exec(&self, query: &str, bindings: &[Value]) -> Result<Vec<Value>, Failure> {
        self.with_context(|context| context.database().exec(query, bindings, u32::MAX))
            .map(|result| result.rows)
            .map_err(|error| Failure::new(ErrorCode::StorageFailed, error.message))
    }

    fn write(&self, number: u64, bytes: usize) -> Result<(), Failure> {
        let value = Value::Integer(number as i64);
        // Bytes that cannot be packed, so that the log grows by them.
        let mut random = Seeded::new(number);
        let fill = Value::Blob(std::iter::repeat_with(|| random.draw() as u8).take(bytes).collect());
        self.exec("INSERT INTO a(n, fill) VALUES (?, ?)", &[value.clone(), fill])?;
        self.exec("INSERT INTO b(n) VALUES (?)", std::slice::from_ref(&value))?;
        self.exec("UPDATE total SET sum = sum + ?", &[value])?;
        Ok(())
    }

    /// Everything the object holds, checked for halves: the numbers in the order of their writing.
    fn read(&self) -> Result<Reply, Failure> {
        let broken = |text: String| Failure {
            kind: FailureKind::Application,
            ..Failure::new(ErrorCode::Internal, text)
        };
        let integers = |values: Vec<Value>| -> Vec<i64> {
            values.iter().map(|v| if let Value::Integer(i) = v { *i } else { i64::MIN }).collect()
        };
        let a = integers(self.exec("SELECT n FROM a ORDER BY place", &[])?);
        let places = integers(self.exec("SELECT place FROM a ORDER BY place", &[])?);
        let b = integers(self.exec("SELECT n FROM b ORDER BY place", &[])?);
        let sum = integers(self.exec("SELECT sum FROM total", &[])?);
        let check = self.exec("PRAGMA quick_check", &[])?;
        if a != b || sum != [a.iter().sum::<i64>()] {
            return Err(broken(format!("HALF: a {a:?} b {b:?} sum {sum:?}")));
        }
        if places.iter().enumerate().any(|(index, place)| *place != index as i64 + 1) {
            return Err(broken(format!("HOLE: places {places:?}")));
        }
        if check != [Value::Text("ok".to_owned())] {
            return Err(broken(format!("DAMAGED: {check:?}")));
        }
        Ok(Reply::Rpc(a.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect::<Vec<u8>>().into()))
    }
}

/// Waits exactly once, as for a timer that is due at once.
fn wait_once() -> impl Future<Output = ()> {
    let mut waited = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

impl GuestCalls for Instance {
    fn with_context<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        f(self.context.lock().expect("unpoisoned").as_mut().expect("lives"))
    }

    async fn construct(&self) -> Result<(), Failure> {
        self.exec(
            "CREATE TABLE IF NOT EXISTS a(place INTEGER PRIMARY KEY, n INTEGER UNIQUE, fill BLOB);
             CREATE TABLE IF NOT EXISTS b(place INTEGER PRIMARY KEY, n INTEGER UNIQUE);
             CREATE TABLE IF NOT EXISTS total(id INTEGER PRIMARY KEY, sum INTEGER);
             INSERT OR IGNORE INTO total VALUES (1, 0)",
            &[],
        )?;
        // An operator tells it so.
        let refusals = self.exec("SELECT count(*) FROM sqlite_schema WHERE name = 'no_start'", &[])?;
        match refusals[..] {
            [Value::Integer(0)] => Ok(()),
            _ => Err(Failure::new(ErrorCode::Internal, "told not to start")),
        }
    }

    async fn call(&self, _id: EventId, event: Event) -> Outcome {
        for act in acts(&event) {
            match act {
                Act::Write(number, bytes) => self.write(number, bytes)?,
                Act::Wait => wait_once().await,
                Act::Fail => {
                    return Err(Failure {
                        kind: FailureKind::Application,
                        ..Failure::new(ErrorCode::Internal, "failed as told")
                    });
                }
                Act::Trap => self.trap().await,
                Act::Panic => panic!("the host is told to panic"),
            }
        }
        self.read()
    }

    fn poll_quiet(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
