//! Seeded runs in which commits are held, refused, fenced, or not known to be in the log.
//!
//! Nothing that was acknowledged is lost, nothing that failed is seen later, nothing that was undone is
//! answered or got out, and every object works again once it is known what became of its commits. Each life of
//! the node ends in order or by an accident in the midst of it all.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::SimulatedDisk;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::NamespaceNumber;
use durabo_objects::append_outcome::AppendOutcome;
use durabo_objects::commit_faults::CommitFault;
use durabo_objects::control::OldSockets;
use durabo_objects::event::Outcome;
use futures::FutureExt;
use tokio::task::{JoinHandle, yield_now};

use crate::act::{Act, numbers, write};
use crate::address::address;
use crate::model::Model;
use crate::stage::Stage;
use crate::world::limits;

const OBJECTS: u64 = 3;
const LIVES: u64 = 3;
/// Steps of one life at most.
const STEPS_MAX: u64 = 80;
/// Rounds after which an object that does not work again never will.
const PATIENCE: u32 = 10;
const REFUSED: &str = "the log refused the commit";

/// How events of a run ended that did not succeed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Happened {
    /// By a commit that is not in the log.
    pub failed: u64,
    /// By a commit whose outcome was open.
    pub left_open: u64,
    /// Since the object waited to know what became of its commits.
    pub turned_away: u64,
}

struct Run {
    random: Seeded,
    durability: Durability,
    model: Model,
    next_number: u64,
    is_full: bool,
    happened: Happened,
}

/// An event under way, and the number that it writes if that is all it does.
type Pending = (u64, Option<u64>, JoinHandle<Outcome>);

struct Life<'a> {
    run: &'a mut Run,
    stage: Stage,
    pending: Vec<Pending>,
}

/// Runs `seed` with a fault planted or none.
pub fn run(seed: u64, planted: Option<Mutation>) -> Result<Happened, String> {
    mutation::plant(planted);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let disk = SimulatedDisk::new(seed);
        let mut run = Run {
            random: Seeded::new(seed),
            durability: if seed % 4 == 3 { Durability::Relaxed } else { Durability::Strict },
            model: Model::default(),
            next_number: 1,
            is_full: false,
            happened: Happened::default(),
        };
        for _ in 0..LIVES {
            run.life(&disk)?;
            let may_lose_power = run.durability == Durability::Strict;
            if may_lose_power && run.random.chance(50) { disk.power_loss() } else { disk.process_kill() }
        }
        Ok(run.happened)
    }));
    mutation::plant(None);
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Err(format!("panicked: {text}"))
    })
}

impl Run {
    fn life(&mut self, disk: &SimulatedDisk) -> Result<(), String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            disk.set_capacity(None);
            self.is_full = false;
            let stage = Stage::on(disk.clone(), self.durability)?;
            let mut life = Life { run: self, stage, pending: Vec::new() };
            life.verify().await?;
            for _ in 0..life.run.random.below(STEPS_MAX) {
                life.step().await?;
            }
            if life.run.random.chance(50) { life.come_to_rest().await } else { Ok(()) }
        })
    }

    fn new_number(&mut self, object: u64) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.model.attempt(object, number);
        number
    }

    fn outcome(&mut self) -> AppendOutcome {
        match self.random.below(6) {
            0 | 1 => AppendOutcome::Committed,
            2 | 3 => AppendOutcome::Failed(Failure::new(ErrorCode::StorageFailed, REFUSED)),
            4 => AppendOutcome::Fenced,
            _ => AppendOutcome::Unknown,
        }
    }
}

impl Life<'_> {
    async fn step(&mut self) -> Result<(), String> {
        let object = self.run.random.below(OBJECTS);
        match self.run.random.below(24) {
            0..=3 => self.write(object),
            16 => self.write_and_trap(object),
            21 => self.write_and_wipe(object),
            17 | 20 => self.write_slowly(object),
            18 => self.fill_or_free_the_disk(),
            19 => self.stage.world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut),
            4 => self.write_in_turns(object),
            22 | 23 => self.transact(object),
            5 => self.call(object),
            6 => self.send(object, None, &[]),
            7 | 8 => self.plan(object),
            9 | 10 => self.answer_held(object),
            11 | 12 => self.flush().await?,
            13 => self.keep_up().await?,
            14 => self.stage.world.directory.request_checkpoint(address(object).key),
            _ => {
                let seconds = 1 + self.run.random.below(limits().commit_timeout.as_secs());
                tokio::time::advance(Duration::from_secs(seconds)).await;
            }
        }
        // So few that an instance may be stopped in the midst of a turn when the next step comes.
        for _ in 0..self.run.random.below(12) {
            yield_now().await;
        }
        self.observe()
    }

    fn plan(&mut self, object: u64) {
        let fault = match self.run.random.chance(50) {
            true => CommitFault::Hold,
            false => CommitFault::Answer(self.run.outcome()),
        };
        self.stage.plan(object, fault);
    }

    fn answer_held(&mut self, object: u64) {
        let outcome = self.run.outcome();
        // There may be none.
        self.stage.world.commits.answer_held(&address(object).key, outcome);
    }

    fn write(&mut self, object: u64) {
        let number = self.run.new_number(object);
        let bytes = self.run.random.below(4000) as usize;
        self.send(object, Some(number), &[Act::Write(number, bytes)]);
    }

    fn write_in_turns(&mut self, object: u64) {
        let mut acts = Vec::new();
        for _ in 0..2 + self.run.random.below(2) {
            acts.extend([Act::Write(self.run.new_number(object), 100), Act::Pause(self.run.random.below(9))]);
        }
        self.send(object, None, &acts);
    }

    /// All of it or nothing, whatever becomes of commits before and meanwhile.
    fn transact(&mut self, object: u64) {
        let [before, first, second] = [(); 3].map(|()| self.run.new_number(object));
        let pause = Act::Pause(self.run.random.below(9));
        let acts = [write(before), Act::Enter, Act::Begin, write(first), pause, write(second), Act::Commit];
        self.run.model.whole(object, vec![first, second]);
        self.send(object, None, &[&acts[..], &[Act::Leave]].concat());
    }

    /// Is stopped again and again between two writes of one turn.
    fn write_slowly(&mut self, object: u64) {
        let [first, second] = [(); 2].map(|()| write(self.run.new_number(object)));
        let mut acts = vec![Act::Suspend; 500];
        acts.insert(0, first);
        acts.push(second);
        self.send(object, None, &acts);
    }

    fn write_and_trap(&mut self, object: u64) {
        let number = self.run.new_number(object);
        self.run.model.forbid(number);
        self.send(object, None, &[Act::Write(number, 100), Act::Trap]);
    }

    fn write_and_wipe(&mut self, object: u64) {
        let number = self.run.new_number(object);
        self.send(object, Some(number), &[Act::Write(number, 100), Act::Wipe]);
    }

    fn free_the_disk(&mut self) {
        if self.run.is_full {
            self.fill_or_free_the_disk();
        }
    }

    /// Without space, what a WAL holds stays there when its object is loaded anew.
    fn fill_or_free_the_disk(&mut self) {
        self.run.is_full = !self.run.is_full;
        let full = self.run.is_full.then(|| self.stage.disk.used());
        self.stage.disk.set_capacity(full);
    }

    /// A write and then a call that shows it.
    fn call(&mut self, object: u64) {
        let to = self.run.random.below(OBJECTS);
        let (cause, shown) = (self.run.new_number(object), self.run.new_number(to));
        self.run.model.shows((to, shown), (object, cause));
        let inner = vec![Act::Write(shown, 10)];
        self.send(object, None, &[Act::Write(cause, 10), Act::Call(to, inner), Act::Await]);
    }

    fn send(&mut self, object: u64, number: Option<u64>, acts: &[Act]) {
        let answer = self.stage.send(object, acts);
        self.pending.push((object, number, answer));
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.stage.world.flush().map_err(|failure| failure.to_string())?;
        self.observe()
    }

    async fn keep_up(&mut self) -> Result<(), String> {
        self.stage.world.keep_up().map_err(|failure| failure.to_string())?;
        self.observe()
    }

    async fn run_all(&mut self) -> Result<(), String> {
        for _ in 0..4 {
            self.stage.run_tasks().await;
            self.flush().await?;
            self.stage.run_tasks().await;
            self.keep_up().await?;
        }
        self.stage.run_tasks().await;
        self.observe()
    }

    /// Says what becomes of everything, whereupon every object answers again and writes.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.free_the_disk();
        for _ in 0..PATIENCE {
            for object in 0..OBJECTS {
                while self.stage.world.commits.held_commits(&address(object).key) > 0 {
                    self.answer_held(object);
                }
            }
            self.run_all().await?;
            // Objects that wait for each other while both are deployed anew do so for the whole drain time.
            tokio::time::advance(limits().drain / 5).await;
        }
        if let Some((object, ..)) = self.pending.first() {
            return Err(format!("object {object} does not answer"));
        }
        for object in 0..OBJECTS {
            // What was planned and not met is met by these.
            for _ in 0..PATIENCE {
                self.write(object);
                self.run_all().await?;
                self.answer_held(object);
                self.run_all().await?;
                tokio::time::advance(limits().reset_wait_max).await;
            }
        }
        self.verify().await
    }

    /// All objects are looked at, at one moment.
    async fn verify(&mut self) -> Result<(), String> {
        let mut held = BTreeMap::new();
        for object in 0..OBJECTS {
            let answer = self.stage.send(object, &[]);
            self.run_all().await?;
            let answer = answer.now_or_never().ok_or(format!("object {object} does not answer"))?;
            let outcome = answer.map_err(|error| error.to_string())?;
            let seen = numbers(&outcome.map_err(|failure| format!("object {object}: {failure}"))?);
            self.run.model.verify(object, &seen)?;
            held.insert(object, seen);
        }
        self.run.model.verify_shown(&held)
    }

    /// Looks at the answers that have come.
    fn observe(&mut self) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (object, number, mut answer) in std::mem::take(&mut self.pending) {
            let Some(outcome) = (&mut answer).now_or_never() else {
                waiting.push((object, number, answer));
                continue;
            };
            match outcome.map_err(|error| error.to_string())? {
                Ok(reply) => self.run.model.observe(object, &numbers(&reply))?,
                Err(failure) => self.run.failed(object, number, &failure)?,
            }
        }
        self.pending = waiting;
        Ok(())
    }
}

impl Run {
    fn failed(&mut self, object: u64, number: Option<u64>, failure: &Failure) -> Result<(), String> {
        let text = &failure.message;
        let happened = &mut self.happened;
        if text == REFUSED || failure.code == ErrorCode::ObjectMoved.as_str() {
            happened.failed += 1;
            // A call may carry another object's failure, a write alone carries its own.
            number.into_iter().for_each(|number| self.model.forbid(number));
        } else if text.contains("until it is known") {
            happened.turned_away += 1;
            number.into_iter().for_each(|number| self.model.forbid(number));
        } else if text.contains("is not known at present") || text.contains("exceeded timeout") {
            happened.left_open += 1;
        } else if !["guest-trapped", "code-updated", "section-timeout"].contains(&failure.code.as_str())
            && !text.contains("SQLITE_FULL")
        {
            return Err(format!("object {object}: {failure}"));
        }
        Ok(())
    }
}
