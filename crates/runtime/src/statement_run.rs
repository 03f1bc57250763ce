//! Runs an instance's statements where they delay nobody: in place if they are known to be cheap, else
//! in the pool (S1). What writes waits for room before.
//!
//! The guest keeps the store over such waits, so nothing else of the object runs and the turn stays
//! whole. The database always comes back: a wait that is given up cuts the statement and stays for it.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use durabo_model::failure::Failure;
use durabo_objects::context::ObjectContext;
use durabo_storage::database::{Database, InterruptHandle};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use crate::cpu_time::TICK;
use crate::ending::{CpuExhausted, InstanceEnd};
use crate::state::GuestState;
use crate::statement_costs::{Estimate, Run};
use crate::statement_pool::{Done, JobResult, Lane};

/// Time from which a run is slow whatever its steps: as so many ticks in place, where others may delay
/// it, and as the thread's own CPU time in the pool, where they do.
const LONG_TICKS: u32 = 4;

/// What a run gave and what it cost.
struct Ran<T> {
    answer: T,
    steps: u64,
    took_long: bool,
}

impl GuestState {
    /// Waits, with the guest as a whole, until it may write on. Ends the instance if it must not wait for that:
    /// its loop, which would notice, is not polled meanwhile.
    pub async fn wait_for_room(&mut self) -> wasmtime::Result<()> {
        let Self { context, hog, .. } = self;
        let room = poll_fn(|cx| match context.poll_room(cx) {
            Poll::Pending => context.poll_must_cut(cx).map(Err),
            room => room,
        });
        Ok(hog.pause_over(room).await.map_err(InstanceEnd)?)
    }

    /// Runs `work`, which is `run`: a text, reading on in it, or a text with many groups of bindings. Ends the
    /// instance if its budget is used up afterwards: after a statement that was cut the guest gets no chance to
    /// go on with its error.
    pub async fn on_database<T: Send + 'static>(
        &mut self,
        run: impl Into<Run>,
        work: impl FnOnce(&mut Database) -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        let run = run.into();
        let (ran, cut) = match self.costs.estimate(run) {
            Estimate::Cheap => (self.run_in_place(work), None),
            Estimate::Unknown => self.run_in_pool(Lane::Unknown, work).await,
            Estimate::Slow => self.run_in_pool(Lane::Slow, work).await,
        };
        let is_exhausted = self.meter.is_exhausted();
        // What was cut says nothing of what the whole would have cost, but it was no short one.
        let took_long = ran.took_long || is_exhausted || cut.is_some();
        self.costs.learn(run, ran.steps, took_long);
        match cut {
            Some(failure) => Err(InstanceEnd(failure).into()),
            None if is_exhausted => Err(CpuExhausted.into()),
            None => Ok(ran.answer),
        }
    }

    fn run_in_place<T>(&mut self, work: impl FnOnce(&mut Database) -> T) -> Ran<T> {
        let before = self.meter.ticks_used();
        let database = self.context.database();
        let answer = work(database);
        let steps = database.cost();
        Ran { answer, steps, took_long: self.meter.ticks_used().saturating_sub(before) >= LONG_TICKS }
    }

    /// Also gives why the instance must end, if it must.
    async fn run_in_pool<T: Send + 'static>(
        &mut self,
        lane: Lane,
        work: impl FnOnce(&mut Database) -> T + Send + 'static,
    ) -> (Ran<T>, Option<Failure>) {
        self.hog.pause();
        let (ticker, meter) = (self.ticker.clone(), self.meter.clone());
        let charged = move |database: &mut Database| {
            let _charged = ticker.charge(&meter);
            let before = thread_cpu_time();
            let answer = work(database);
            let took_long = thread_cpu_time().saturating_sub(before) >= LONG_TICKS * TICK;
            Ran { answer, steps: database.cost(), took_long }
        };
        let brake = self.context.database().interrupt_handle();
        let database = self.context.lend_database();
        let running = self.pool.run(lane, database, charged);
        let mut away = Away { context: &mut self.context, brake, running, cut: None };
        match (&mut away).await {
            Ok(ran) => (ran, away.cut.take()),
            // As if it had happened here.
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Time for which this thread has had a core.
fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The wait for a database that is in the pool. Dropped, it brings the database back first.
struct Away<'a, T> {
    context: &'a mut ObjectContext,
    brake: InterruptHandle,
    running: Receiver<Done<Database, Ran<T>>>,
    cut: Option<Failure>,
}

impl<T> Future for Away<'_, T> {
    type Output = JobResult<Ran<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let away = self.get_mut();
        if let Poll::Ready(done) = Pin::new(&mut away.running).poll(cx) {
            let (database, result) = done.expect("BUG: the pool dropped a statement");
            away.context.take_database_back(database);
            return Poll::Ready(result);
        }
        // The loop of the instance is not polled meanwhile, so its deadline is looked at here.
        if away.cut.is_none()
            && let Poll::Ready(failure) = away.context.poll_must_cut(cx)
        {
            away.brake.interrupt();
            away.cut = Some(failure);
        }
        Poll::Pending
    }
}

impl<T> Drop for Away<'_, T> {
    fn drop(&mut self) {
        while !self.context.has_database() {
            self.brake.interrupt();
            match self.running.try_recv() {
                Ok((database, _)) => self.context.take_database_back(database),
                Err(TryRecvError::Empty) => thread::park_timeout(TICK),
                Err(TryRecvError::Closed) => return,
            }
        }
    }
}
