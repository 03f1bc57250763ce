//! Threads for statements that are slow or not known yet (S2, S4), at low priority.
//!
//! They are made when there is work for them and end when there is none for a while. Statements
//! without history have threads of their own, so that a short one does not wait behind slow ones.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Threads for texts that are known to be slow.
const SLOW_THREADS_MAX: usize = 48;

/// Threads for texts without history.
const UNKNOWN_THREADS_MAX: usize = 16;

/// How long a thread without work stays.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// What a thread's niceness is raised by: a tenth of the weight of the threads that run objects.
const NICE: i32 = 10;

/// Which threads run a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Texts that are known to be slow.
    Slow,
    /// Texts without history.
    Unknown,
}

/// What a job gave, or the panic that ended it.
pub type JobResult<T> = Result<T, Box<dyn Any + Send>>;

/// What a job worked on, which comes back also from a panic, and its result.
pub type Done<S, T> = (S, JobResult<T>);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Threads, those that wait for work among them.
    threads: usize,
    idle: usize,
    stopped: bool,
}

struct LaneThreads {
    queue: Mutex<Queue>,
    wake: Condvar,
    threads_max: usize,
}

impl LaneThreads {
    fn new(threads_max: usize) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), wake: Condvar::new(), threads_max })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job would find a thread at once.
    fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.idle > queue.jobs.len() || queue.threads < self.threads_max
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            drop(queue);
            self.wake.notify_one();
            return;
        }
        if queue.threads == self.threads_max {
            return;
        }
        queue.threads += 1;
        drop(queue);
        let lane = self.clone();
        let spawned = thread::Builder::new().name("durabo-sql".to_owned()).spawn(move || lane.work());
        if let Err(error) = spawned {
            self.without_thread(&error);
        }
    }

    /// The system gives no thread. Others take the job when they are free; if there are none, it runs here.
    fn without_thread(&self, error: &std::io::Error) {
        tracing::warn!(%error, "no further thread for slow statements");
        let mut queue = self.lock();
        queue.threads -= 1;
        if queue.threads > 0 {
            return;
        }
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        jobs.into_iter().for_each(|job| job());
    }

    fn work(&self) {
        // Raising it needs no privilege, but lowering it would: so these threads do nothing else.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "slow statements run at normal priority");
        }
        while let Some(job) = self.next() {
            job();
        }
    }

    /// The next job; `None` ends the thread.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        if queue.jobs.is_empty() && !queue.stopped {
            queue.idle += 1;
            let waited = self
                .wake
                .wait_timeout_while(queue, IDLE_AFTER, |queue| queue.jobs.is_empty() && !queue.stopped);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.idle -= 1;
        }
        let job = queue.jobs.pop_front();
        if job.is_none() {
            queue.threads -= 1;
        }
        job
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }
}

/// The threads. Dropped, it lets them end what they have.
pub struct StatementPool {
    slow: Arc<LaneThreads>,
    unknown: Arc<LaneThreads>,
}

impl Default for StatementPool {
    fn default() -> Self {
        Self::with_threads(SLOW_THREADS_MAX, UNKNOWN_THREADS_MAX)
    }
}

impl StatementPool {
    fn with_threads(slow: usize, unknown: usize) -> Self {
        Self { slow: LaneThreads::new(slow), unknown: LaneThreads::new(unknown) }
    }

    /// Runs `work` on `subject` in a thread of `lane`. The subject always comes back.
    pub fn run<S, T>(
        &self,
        lane: Lane,
        mut subject: S,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> oneshot::Receiver<Done<S, T>>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let (done, receiver) = oneshot::channel();
        let threads = match lane {
            // What is new may use the others' threads, but never queues behind them.
            Lane::Unknown if !self.unknown.has_room() && self.slow.has_room() => &self.slow,
            Lane::Unknown => &self.unknown,
            Lane::Slow => &self.slow,
        };
        threads.push(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&mut subject)));
            // Nobody waits any more if the node was torn down; then the subject ends here.
            drop(done.send((subject, result)));
        }));
        receiver
    }
}

impl Drop for StatementPool {
    fn drop(&mut self) {
        self.slow.stop();
        self.unknown.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Begins a job that lasts until the sender is used or dropped; returns once it runs.
    fn hold(pool: &StatementPool, lane: Lane) -> (Sender<()>, oneshot::Receiver<Done<(), ()>>) {
        let (started, has_started) = channel();
        let (release, held) = hold_later(pool, lane, started);
        has_started.recv().unwrap();
        (release, held)
    }

    fn hold_later(
        pool: &StatementPool,
        lane: Lane,
        started: Sender<()>,
    ) -> (Sender<()>, oneshot::Receiver<Done<(), ()>>) {
        let (release, released): (_, Receiver<()>) = channel();
        let held = pool.run(lane, (), move |()| {
            started.send(()).unwrap();
            // Dropping the other end releases it too.
            let _ = released.recv();
        });
        (release, held)
    }

    fn threads(lane: &LaneThreads) -> usize {
        lane.lock().threads
    }

    #[test]
    fn the_subject_comes_back_with_the_result_and_also_from_a_panic() {
        let pool = StatementPool::default();
        let done = pool.run(Lane::Slow, vec![1], |list| list.push(2)).blocking_recv().unwrap();
        assert_eq!((done.0, done.1.unwrap()), (vec![1, 2], ()));
        let (list, result) = pool
            .run(Lane::Slow, vec![1], |list| {
                list.push(3);
                panic!("a planted panic");
            })
            .blocking_recv()
            .unwrap();
        assert_eq!(list, [1, 3]);
        let panic: JobResult<()> = result;
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a planted panic"));
        let done = pool.run(Lane::Slow, 1, |number| *number + 1).blocking_recv().unwrap();
        assert_eq!(done.1.unwrap(), 2);
    }

    #[test]
    fn there_are_as_many_threads_as_jobs_up_to_the_limit_and_the_rest_waits() {
        let pool = StatementPool::with_threads(2, 1);
        let (first, second) = (hold(&pool, Lane::Slow), hold(&pool, Lane::Slow));
        let (started, has_started) = channel();
        let third = hold_later(&pool, Lane::Slow, started);
        assert_eq!(threads(&pool.slow), 2);
        assert!(has_started.try_recv().is_err(), "a third job runs in two threads");
        drop(first);
        has_started.recv().unwrap();
        drop((second, third));
        assert_eq!(threads(&pool.slow), 2);
    }

    #[test]
    fn a_thread_takes_job_after_job() {
        let pool = StatementPool::default();
        for _ in 0..100 {
            pool.run(Lane::Unknown, (), |()| ()).blocking_recv().unwrap().1.unwrap();
            // The thread reports before it waits again.
            while pool.unknown.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(threads(&pool.unknown), 1);
    }

    #[test]
    fn what_is_new_does_not_wait_behind_what_is_slow_and_may_use_its_threads() {
        let pool = StatementPool::with_threads(1, 1);
        let slow = hold(&pool, Lane::Slow);
        pool.run(Lane::Unknown, (), |()| ()).blocking_recv().unwrap().1.unwrap();
        let unknown = hold(&pool, Lane::Unknown);
        drop(slow.0);
        slow.1.blocking_recv().unwrap().1.unwrap();
        while pool.slow.lock().idle == 0 {
            thread::yield_now();
        }
        pool.run(Lane::Unknown, (), |()| ()).blocking_recv().unwrap().1.unwrap();
        drop(unknown);
    }

    #[test]
    fn threads_have_low_priority_and_end_with_the_pool() {
        let pool = StatementPool::default();
        let nice = |_: &mut ()| rustix::process::getpriority_process(None).unwrap();
        let own = nice(&mut ());
        let theirs = pool.run(Lane::Slow, (), nice).blocking_recv().unwrap().1.unwrap();
        assert_eq!(theirs, (own + NICE).min(19));
        assert_eq!(nice(&mut ()), own);
        let slow = pool.slow.clone();
        drop(pool);
        while threads(&slow) > 0 {
            thread::yield_now();
        }
    }
}
