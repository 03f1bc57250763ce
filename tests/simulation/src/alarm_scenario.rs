//! One seeded run over alarms, the one of each object and its named ones: they are set, replaced and deleted by events
//! and by their own handlers, which fail at times, while the clock steps both ways and each life of the node ends in
//! order or by an accident.
//!
//! Each object notes in the same turn as an alarm what it expects of it; each run notes what was expected when it
//! began. So every run can be judged by itself, and when all has come to rest none may be left that is due.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::object::NamespaceNumber;
use durabo_model::time::{Clock, Timestamp};
use durabo_objects::control::OldSockets;
use durabo_objects::event::{Origin, SqlRequest};
use durabo_storage::value::Value;
use futures::FutureExt;
use tokio::task::yield_now;

use crate::act::{Act, event};
use crate::address::address;
use crate::clock::SimulatedClock;
use crate::entry_checks::{EntryRuns, NAMES, NOTED, change, judge, replace};
use crate::world::World;

const OBJECTS: u64 = 4;
/// Lives of the node in a run; all but the last end with an accident or in order.
const LIVES: u64 = 4;
/// Steps of one life at most.
const STEPS_MAX: u64 = 60;
/// Rounds of a minute after which an alarm that has not run never will.
const PATIENCE: u32 = 40;
/// Seconds in which an object that fails again and again must have been told to succeed; retries get rarer.
const TELLINGS_MAX: u32 = 300;
/// How long a node that stops lets events run on.
const STOP: Duration = Duration::from_secs(5);
/// What the clock shows at first, in milliseconds.
const CLOCK_START: u64 = 1_700_000_000_000;

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Happened {
    /// Runs of alarms that are committed.
    pub runs: u64,
    /// Those of them that were retries.
    pub retries: u64,
    /// Starts at which an alarm was set.
    pub starts_with_alarms: u64,
    /// Runs of named alarms.
    pub entries: EntryRuns,
}

/// Which alarms a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The one without a name.
    Alarm,
    /// Named ones.
    Entries,
    /// All of them.
    Both,
}

struct Run {
    random: Seeded,
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    newest_number: u64,
    subject: Subject,
    happened: Happened,
}

/// Runs `seed` with a fault planted or none. An error says which alarm was forgotten, or ran too early or although it
/// was replaced or deleted.
pub fn run(seed: u64, subject: Subject, planted: Option<Mutation>) -> Result<Happened, String> {
    mutation::plant(planted);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run {
            random: Seeded::new(seed),
            disk: SimulatedDisk::new(seed ^ 0xa1a4),
            clock: Arc::new(SimulatedClock::new(Timestamp(CLOCK_START))),
            newest_number: 0,
            subject,
            happened: Happened::default(),
        };
        (1..=LIVES).try_for_each(|life| run.life(life == LIVES)).map(|()| run.happened)
    }));
    mutation::plant(None);
    played.unwrap_or_else(|_| Err("panicked".to_owned()))
}

impl Run {
    fn life(&mut self, is_last: bool) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let world = World::open(&self.disk, self.clock.clone(), Durability::Strict)?;
            if !is_last && self.random.chance(50) {
                let operation = self.disk.operations() + 1 + self.random.below(400);
                self.disk.fail_at(operation, Fault::PowerLoss);
            }
            for _ in 0..self.random.below(STEPS_MAX) {
                if !self.step(&world).await || self.disk.is_off() {
                    return Ok(());
                }
            }
            match is_last {
                true => self.come_to_rest(&world).await,
                false => {
                    if self.random.chance(40) {
                        self.stop(&world).await;
                    }
                    Ok(())
                }
            }
        })?;
        drop(runtime);
        self.disk.clear_faults();
        if self.disk.is_off() || self.random.chance(30) {
            self.disk.power_loss()
        } else {
            self.disk.process_kill()
        }
        Ok(())
    }

    /// `false`: the disk has failed.
    async fn step(&mut self, world: &World) -> bool {
        match self.random.below(14) {
            0..=4 => self.send_something(world),
            5 | 6 => return world.flush().is_ok(),
            7 => return world.keep_up().is_ok(),
            8 | 9 => {
                let ms = self.random.below(4000);
                self.pass(ms).await;
            }
            10 => self
                .clock
                .set(Timestamp((self.clock.now().0 + self.random.below(120_000)).saturating_sub(60_000))),
            11 => world.directory.request_checkpoint(address(self.random.below(OBJECTS)).key),
            12 => self.pass(11_000).await,
            _ if self.random.chance(20) => world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut),
            _ => return world.flush().is_ok() && world.keep_up().is_ok(),
        }
        for _ in 0..self.random.below(30) {
            yield_now().await;
        }
        true
    }

    fn send_something(&mut self, world: &World) {
        let object = self.random.below(OBJECTS);
        self.newest_number += 1;
        let mut acts = vec![Act::Write(self.newest_number, self.random.below(3000) as usize)];
        if self.random.chance(30) {
            acts.push(Act::OnAlarm(self.handler()));
        }
        acts.push(self.change());
        match self.random.below(10) {
            0 => acts.push(Act::Trap),
            1 => acts.push(Act::Fail),
            2 => acts.extend([Act::Wait, self.change(), Act::Trap]),
            _ => {}
        }
        send(world, object, &acts);
    }

    fn change(&mut self) -> Act {
        if self.subject != Subject::Alarm && (self.subject == Subject::Entries || self.random.chance(70)) {
            return change(&mut self.random);
        }
        match self.random.below(4) {
            0 => Act::DeleteAlarm,
            _ => Act::SetAlarm([-1000, 0, 1, 700, 3000, 20_000, 100_000][self.random.below(7) as usize]),
        }
    }

    fn handler(&mut self) -> Vec<Act> {
        if self.subject != Subject::Alarm && self.random.chance(15) {
            return replace(&mut self.random);
        }
        match self.random.below(8) {
            0 | 1 => Vec::new(),
            2 => vec![Act::FailAtFirst],
            3 => vec![Act::Wait, Act::TrapAtFirst],
            4 => vec![self.change()],
            5 => vec![self.change(), Act::TrapAtFirst],
            6 => vec![self.change(), Act::Wait, Act::TrapAtFirst],
            _ => vec![Act::Pause(20), self.change(), Act::FailAtFirst],
        }
    }

    /// Lets time pass, by the clock and by timers.
    async fn pass(&mut self, ms: u64) {
        self.clock.set(Timestamp(self.clock.now().0 + ms));
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    async fn stop(&mut self, world: &World) {
        let directory = world.directory.clone();
        let mut stopped = Box::pin(async move { directory.stop(STOP).await });
        for _ in 0..2000 {
            if (&mut stopped).now_or_never().is_some() || world.step().is_err() {
                return;
            }
            yield_now().await;
        }
    }

    /// Lets handlers succeed and time pass until every alarm has run; then all runs are judged.
    async fn come_to_rest(&mut self, world: &World) -> Result<(), String> {
        for object in 0..OBJECTS {
            self.tell_to_succeed(world, object).await?;
        }
        for object in 0..OBJECTS {
            let left =
                self.ask(world, object, "SELECT count(*) FROM expected WHERE time IS NOT NULL").await?;
            self.happened.starts_with_alarms += u64::from(left[0] == Value::Integer(1));
        }
        for _ in 0..PATIENCE {
            self.pass(60_000).await;
            run_all(world).await?;
        }
        // Many may have become due at once, and run one after the other.
        for _ in 0..2 * NAMES {
            run_all(world).await?;
        }
        for object in 0..OBJECTS {
            self.judge(world, object).await?;
            self.judge_entries(world, object).await?;
        }
        if self.subject != Subject::Alarm {
            self.delete_all_entries(world).await?;
        }
        let listed =
            world.directory.list_alarms(NamespaceNumber(1), None, 10).map_err(|error| error.to_string())?;
        if listed.is_empty() { Ok(()) } else { Err(format!("all has run, but {listed:?} are listed")) }
    }

    /// A reset of the instance may come between, again and again, but not for ever.
    async fn tell_to_succeed(&mut self, world: &World, object: u64) -> Result<(), String> {
        for _ in 0..TELLINGS_MAX {
            if self.is_told_to_succeed(world, object).await? {
                return Ok(());
            }
            self.pass(1000).await;
        }
        Err(format!("object {object}: what fails runs again and again"))
    }

    async fn is_told_to_succeed(&mut self, world: &World, object: u64) -> Result<bool, String> {
        let (directory, event) = (world.directory.clone(), event(&[Act::OnAlarm(Vec::new())]));
        let told =
            tokio::spawn(async move { directory.deliver(address(object), event, Origin::default()).await });
        run_all(world).await?;
        Ok(told.now_or_never().is_some_and(|told| told.is_ok_and(|outcome| outcome.is_ok())))
    }

    async fn judge(&mut self, world: &World, object: u64) -> Result<(), String> {
        let runs =
            self.ask(world, object, "SELECT scheduled, retries, at, expected FROM runs ORDER BY run").await?;
        for run in runs.chunks_exact(4) {
            let [Value::Integer(scheduled), Value::Integer(retries), Value::Integer(at), expected] = run
            else {
                return Err(format!("object {object}: a run was noted as {run:?}"));
            };
            self.happened.runs += 1;
            self.happened.retries += u64::from(*retries > 0);
            if at < scheduled {
                return Err(format!("object {object}: an alarm for {scheduled} ran early, at {at}"));
            }
            if *expected != Value::Integer(*scheduled) {
                return Err(format!(
                    "object {object}: the alarm for {scheduled} ran, when {expected:?} was set"
                ));
            }
        }
        let forgotten = "SELECT time FROM expected WHERE time IS NOT NULL AND runs_before >= \
                         (SELECT count(*) FROM runs)";
        match self.ask(world, object, forgotten).await?.as_slice() {
            [] => Ok(()),
            time => Err(format!("object {object}: the alarm for {time:?} was forgotten")),
        }
    }

    async fn judge_entries(&mut self, world: &World, object: u64) -> Result<(), String> {
        let has_any =
            self.ask(world, object, "SELECT count(*) FROM sqlite_schema WHERE name = 'entries'").await?;
        if has_any != [Value::Integer(1)] {
            return Ok(());
        }
        let noted = self.ask(world, object, NOTED).await?;
        judge(object, &noted, &mut self.happened.entries)?;
        let forgotten = format!("SELECT name, time FROM entries WHERE time <= {}", self.clock.now().0);
        match self.ask(world, object, &forgotten).await?.as_slice() {
            [] => Ok(()),
            entries => Err(format!("object {object}: entries were forgotten, names and times: {entries:?}")),
        }
    }

    /// Those that repeat would never end; none of them may run any more.
    async fn delete_all_entries(&mut self, world: &World) -> Result<(), String> {
        let all: Vec<Act> = (0..NAMES).map(Act::DeleteEntry).collect();
        for object in 0..OBJECTS {
            send(world, object, &all);
        }
        for _ in 0..3 {
            run_all(world).await?;
            self.pass(60_000).await;
        }
        let before = self.happened.entries;
        self.happened.entries = EntryRuns::default();
        for object in 0..OBJECTS {
            self.judge_entries(world, object).await?;
        }
        if self.happened.entries == before { Ok(()) } else { Err("an entry ran that was deleted".to_owned()) }
    }

    async fn ask(&mut self, world: &World, object: u64, query: &str) -> Result<Vec<Value>, String> {
        let directory = world.directory.clone();
        let request = SqlRequest { query: query.to_owned(), bindings: Vec::new(), may_write: false };
        let asked = tokio::spawn(async move { directory.sql(address(object), request).await });
        run_all(world).await?;
        let answer = asked.now_or_never().ok_or(format!("object {object} does not answer"))?;
        let answer = answer.map_err(|error| error.to_string())?;
        answer.map(|answer| answer.rows).map_err(|failure| failure.to_string())
    }
}

fn send(world: &World, object: u64, acts: &[Act]) {
    let (directory, event) = (world.directory.clone(), event(acts));
    // What becomes of it shows in what the object notes.
    drop(tokio::spawn(async move { directory.deliver(address(object), event, Origin::default()).await }));
}

async fn run_all(world: &World) -> Result<(), String> {
    for _ in 0..4 {
        for _ in 0..60 {
            yield_now().await;
        }
        world.step().map_err(|failure| failure.to_string())?;
    }
    Ok(())
}
