//! Class `Gates`: a counter row and a journal, with waits at chosen places.
//!
//! Driven over RPC by the conformance suite.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use durabo::bindings::durabo::object::types;
use durabo::bindings::wit_future;
use durabo::{Context, Failure, Request, Response, State, event, log, timer};

use crate::{clocks, latch};

/// How often an event that meets others looks whether they are there, before it gives up after ten seconds.
const LOOKS_MAX: u32 = 2000;

/// Writes and waits as it is told.
pub struct Gates {
    ctx: Context,
    /// Events that have come to meet others.
    met: State<u32>,
    left_behind: Rc<Cell<u32>>,
    stuck: State<u32>,
}

#[durabo::object]
impl Gates {
    /// Makes the tables on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL)",
            (),
        )?;
        Ok(Self { ctx, met: State::new(0), left_behind: Rc::default(), stuck: State::new(0) })
    }

    /// Sets the counter.
    pub fn write(&self, n: i64) -> Result<(), Failure> {
        self.set(n)
    }

    /// Sets the counter and logs a line.
    pub fn write_and_log(&self, n: i64, line: String) -> Result<(), Failure> {
        self.set(n)?;
        log::info(&line, &[]);
        Ok(())
    }

    /// Sets the counter and stops the whole instance for a time.
    pub fn write_and_stop(&self, n: i64, ms: u64) -> Result<(), Failure> {
        self.set(n)?;
        std::thread::sleep(Duration::from_millis(ms));
        Ok(())
    }

    /// The counter.
    pub fn read(&self) -> Result<i64, Failure> {
        Ok(self.ctx.sql().exec("SELECT n FROM counter WHERE id = 1", ())?.first()?.unwrap_or(0))
    }

    /// Reads and writes one more in one turn.
    pub fn increment(&self) -> Result<i64, Failure> {
        let n = self.read()? + 1;
        self.set(n)?;
        Ok(n)
    }

    /// Reads, meets others, writes one more than it had read: updates of others in between are lost.
    pub async fn increment_after_meeting(&self, events: u32) -> Result<i64, Failure> {
        let n = self.read()? + 1;
        self.meet(events).await?;
        self.set(n)?;
        Ok(n)
    }

    /// Waits until so many events of this instance wait here at once; how many did when this one came, itself
    /// included. Fails if they do not come.
    pub async fn meet(&self, events: u32) -> Result<u32, Failure> {
        let place = self.met.with(|met| {
            *met += 1;
            *met
        });
        for _ in 0..LOOKS_MAX {
            if self.met.get() >= events {
                return Ok(place);
            }
            timer::sleep(Duration::from_millis(5)).await;
        }
        Err(Failure::new(format!("only {} of {events} events came", self.met.get())))
    }

    /// Waits until the `Gates` called `latch` has noted `go`.
    pub async fn wait_for_go(&self, latch: String) -> Result<(), Failure> {
        latch::wait_for_go(&latch).await
    }

    /// Notes `before`, waits, notes `after`.
    pub async fn write_sleep_write(&self, name: String, ms: u64) -> Result<(), Failure> {
        self.note(&format!("{name} before"))?;
        timer::sleep(Duration::from_millis(ms)).await;
        self.note(&format!("{name} after"))
    }

    /// Notes `before`, waits as shortly as can be in the way that is named, notes `after`, and traps.
    pub async fn note_wait_and_trap(&self, way: String) -> Result<(), Failure> {
        self.note("before")?;
        match way.as_str() {
            "timer" => timer::sleep(Duration::ZERO).await,
            "wasi 0.2" => std::thread::sleep(Duration::from_nanos(1)),
            "wasi 0.3 wait-for" => clocks::wait_for(0).await,
            "wasi 0.3 wait-until" => clocks::wait_until(0).await,
            _ => {}
        }
        self.note("after")?;
        core::arch::wasm32::unreachable()
    }

    /// Begins so many sleeps and then waits for all of them.
    pub async fn sleep_at_once(&self, timers: u32, ms: u64) -> Result<u32, Failure> {
        self.note("sleeps began")?;
        let mut sleeps: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for _ in 0..timers {
            let mut sleep: Pin<Box<dyn Future<Output = ()>>> =
                Box::pin(timer::sleep(Duration::from_millis(ms)));
            // A sleep begins when it is polled.
            poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await;
            sleeps.push(sleep);
        }
        for sleep in sleeps {
            sleep.await;
        }
        Ok(timers)
    }

    /// Returns at once and leaves so many sleeps behind, each of which is counted when it ends.
    pub async fn leave_behind(&self, timers: u32, ms: u64) {
        for _ in 0..timers {
            let ended = self.left_behind.clone();
            wit_bindgen::spawn_local(async move {
                timer::sleep(Duration::from_millis(ms)).await;
                ended.set(ended.get() + 1);
            });
        }
    }

    /// Waits for what only this event could bring about, and does not.
    pub async fn wait_for_itself(&self) -> Result<(), Failure> {
        self.stuck.with(|stuck| *stuck += 1);
        let (writer, reader) = wit_future::new::<Result<(), types::Failure>>(|| Ok(()));
        let ended = reader.await;
        drop(writer);
        ended.map_err(|failure| Failure::new(failure.message))
    }

    /// How many events wait for themselves.
    pub fn stuck(&self) -> u32 {
        self.stuck.with(|stuck| *stuck)
    }

    /// Resets the object.
    pub fn abort_with(&self, reason: String) {
        self.ctx.abort(Failure::new(reason))
    }

    /// Begins so many sleeps, gives all of them up under way, and counts.
    pub async fn give_up_sleeps(&self, timers: u32, ms: u64) -> Result<i64, Failure> {
        for _ in 0..timers {
            let mut sleep = Box::pin(timer::sleep(Duration::from_millis(ms)));
            poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await;
        }
        self.increment()
    }

    /// How many of the sleeps that were left behind have ended.
    pub async fn ended_behind(&self) -> u32 {
        self.left_behind.get()
    }

    /// Notes something.
    pub fn append(&self, what: String) -> Result<i64, Failure> {
        self.note(&what)?;
        Ok(self.ctx.sql().exec("SELECT count(*) FROM journal", ())?.one()?)
    }

    /// All that was noted, in order.
    pub fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    /// Waits until the caller is gone and notes that.
    pub async fn note_when_cancelled(&self, what: String) -> Result<(), Failure> {
        event::cancelled().await;
        self.note(&what)
    }

    /// Counts over HTTP: the answer must not leave before the count is durable.
    pub fn fetch(&self, _request: Request) -> Result<Response, Failure> {
        Ok(Response::text(self.increment()?.to_string()))
    }

    fn set(&self, n: i64) -> Result<(), Failure> {
        let sql = "INSERT INTO counter (id, n) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n";
        Ok(self.ctx.sql().exec(sql, (n,)).map(drop)?)
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,)).map(drop)?)
    }
}
