//! A node whose log threads take a step only where the test says so.
//!
//! So "committed and not yet durable" and "copied and not yet synced" are states that can be looked at.

use std::sync::Arc;
use std::time::Duration;

use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::SimulatedDisk;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::time::{Clock, Timestamp};
use durabo_objects::append_outcome::AppendOutcome;
use durabo_objects::commit_faults::CommitFault;
use durabo_objects::committer::CommitQueue;
use durabo_objects::event::{Origin, Outcome, SqlAnswer, SqlRequest};
use durabo_storage::value::Value;
use futures::FutureExt;
use tokio::task::{JoinHandle, yield_now};

use crate::act::{Act, event, numbers};
use crate::address::address;
use crate::clock::SimulatedClock;
use crate::world::{World, limits};

/// A node on a disk of its own.
pub struct Stage {
    /// The node.
    pub world: World,
    /// The disk.
    pub disk: SimulatedDisk,
    /// The time of day.
    pub clock: Arc<SimulatedClock>,
    durability: Durability,
    limits: ObjectLimits,
}

impl Stage {
    /// A new node, strictly durable.
    pub fn start() -> Self {
        Self::with(1, Durability::Strict)
    }

    /// A new node on a disk whose accidents follow from `seed`.
    pub fn with(seed: u64, durability: Durability) -> Self {
        Self::new(SimulatedDisk::new(seed), durability, limits()).expect("a new folder")
    }

    /// A new node with limits of its own, strictly durable.
    pub fn with_limits(limits: ObjectLimits) -> Self {
        Self::new(SimulatedDisk::new(1), Durability::Strict, limits).expect("a new folder")
    }

    /// A node on what is on this disk, if that lets it.
    pub fn on(disk: SimulatedDisk, durability: Durability) -> Result<Self, String> {
        Self::new(disk, durability, limits())
    }

    fn new(disk: SimulatedDisk, durability: Durability, limits: ObjectLimits) -> Result<Self, String> {
        let clock = Arc::new(SimulatedClock::new(Timestamp(1_700_000_000_000)));
        let world = open(&disk, clock.clone(), durability, &limits)?;
        Ok(Self { world, disk, clock, durability, limits })
    }

    /// Opens the folder again. What the old node had in memory is forgotten.
    pub fn start_again(&mut self) {
        self.try_start_again().expect("a good folder");
    }

    /// As [`start_again`](Self::start_again), if the folder lets it.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        self.world = open(&self.disk, self.clock.clone(), self.durability, &self.limits)?;
        Ok(())
    }

    /// Sends an event to an object.
    pub fn send(&self, object: u64, acts: &[Act]) -> JoinHandle<Outcome> {
        let (directory, event) = (self.world.directory.clone(), event(acts));
        tokio::spawn(async move { directory.deliver(address(object), event, Origin::default()).await })
    }

    /// Lets every task do all it can without the log threads.
    pub async fn run_tasks(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    /// Lets the committer take a step.
    pub async fn flush(&self) {
        self.run_tasks().await;
        self.world.flush().expect("a working log");
        self.run_tasks().await;
    }

    /// Lets upkeep take a step.
    pub async fn keep_up(&self) {
        self.run_tasks().await;
        self.world.keep_up().expect("a working disk");
        self.run_tasks().await;
    }

    /// Lets tasks and log threads do all they can.
    pub async fn run_all(&self) {
        for _ in 0..10 {
            self.flush().await;
            self.keep_up().await;
        }
    }

    /// Sends an event and lets everything run until it must be answered.
    pub async fn answer(&self, object: u64, acts: &[Act]) -> Outcome {
        let answer = self.send(object, acts);
        self.run_all().await;
        taken(answer)
    }

    /// Writes a number with 3,000 bytes beside it, without a step of upkeep.
    pub async fn write(&self, object: u64, number: u64) {
        let answer = self.send(object, &[Act::Write(number, 3000)]);
        self.flush().await;
        taken(answer).expect("a success");
    }

    /// Lets the object copy its WAL. Upkeep does nothing about it yet.
    pub async fn copy(&self, object: u64) {
        self.world.directory.request_checkpoint(address(object).key);
        self.flush().await;
        self.flush().await;
    }

    /// All numbers that the object holds.
    pub async fn held(&self, object: u64) -> Vec<u64> {
        seen(self.answer(object, &[]).await)
    }

    /// Sends SQL of an operator, who may write.
    pub fn send_sql(&self, object: u64, query: &str) -> JoinHandle<Result<SqlAnswer, Failure>> {
        let directory = self.world.directory.clone();
        let request = SqlRequest { query: query.to_owned(), bindings: Vec::new(), may_write: true };
        tokio::spawn(async move { directory.sql(address(object), request).await })
    }

    /// Runs SQL of an operator, and lets everything run until it must be answered.
    pub async fn sql(&self, object: u64, query: &str) -> Result<SqlAnswer, Failure> {
        let answer = self.send_sql(object, query);
        self.run_all().await;
        answer.now_or_never().expect("answered by now").expect("no panic")
    }

    /// Lets so much time pass that objects without work hibernate.
    pub async fn fall_idle(&self) {
        tokio::time::advance(limits().hibernate_after + Duration::from_secs(1)).await;
        self.run_tasks().await;
    }

    /// Lets so much time pass that objects that hibernate want to leave memory.
    pub async fn stay_idle(&self) {
        tokio::time::advance(limits().close_after + Duration::from_secs(1)).await;
        self.run_tasks().await;
    }

    /// Lets so much time pass, by the clock and by timers, and everything run that comes of it.
    pub async fn pass(&self, ms: u64) {
        self.clock.set(Timestamp(self.clock.now().0 + ms));
        tokio::time::advance(Duration::from_millis(ms)).await;
        self.run_all().await;
    }

    /// The runs of the object's alarm that are committed: the time that was set, and the counted tries before.
    pub async fn alarm_runs(&self, object: u64) -> Vec<(u64, u64)> {
        let answer = self.sql(object, "SELECT scheduled, retries FROM runs ORDER BY run").await;
        let numbers: Vec<u64> = answer.expect("a good table").rows.iter().map(integer).collect();
        numbers.chunks_exact(2).map(|run| (run[0], run[1])).collect()
    }

    /// Plans what is to become of the object's next commit for which nothing is planned.
    pub fn plan(&self, object: u64, fault: CommitFault) {
        self.world.commits.plan_fault(address(object).key, fault);
    }

    /// Says what becomes of the object's first commit that is held, and lets everything run.
    pub async fn answer_held(&self, object: u64, outcome: AppendOutcome) {
        assert!(self.world.commits.answer_held(&address(object).key, outcome), "no commit is held");
        self.run_all().await;
    }

    /// Lets every object become idle and leave memory.
    pub async fn leave(&self) {
        self.fall_idle().await;
        self.stay_idle().await;
        self.run_all().await;
        assert!(self.world.directory.live_objects().is_empty());
    }
}

fn open(
    disk: &SimulatedDisk,
    clock: Arc<SimulatedClock>,
    durability: Durability,
    limits: &ObjectLimits,
) -> Result<World, String> {
    World::open_with(disk, clock, durability, (CommitQueue::with_faults(), limits.clone()))
}

fn integer(value: &Value) -> u64 {
    match value {
        Value::Integer(number) => *number as u64,
        other => panic!("no number: {other:?}"),
    }
}

/// The outcome of an event that must have been answered by now.
pub fn taken(answer: JoinHandle<Outcome>) -> Outcome {
    answer.now_or_never().expect("answered by now").expect("no panic")
}

/// The numbers of an answer that must be a success.
pub fn seen(outcome: Outcome) -> Vec<u64> {
    numbers(&outcome.expect("a success"))
}
