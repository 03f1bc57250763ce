//! Runs on a disk that becomes full: at each operation that needs space in turn, and at random.
//!
//! While it is full, whoever has data is read; writes fail for lack of space and in no other way, and the
//! node goes on. With space again every object writes, without a restart. After a loss of power nothing
//! acknowledged is missing. Accidents besides are in `scenario`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::Durability;
use durabo_objects::event::Outcome;
use futures::FutureExt;
use tokio::task::JoinHandle;

use crate::act::{Act, numbers};
use crate::address::address;
use crate::model::Model;
use crate::stage::Stage;

const OBJECTS: u64 = 3;
/// Rounds of the log threads after which everything that can happen has happened.
const ROUNDS: u32 = 12;
/// Longer than any pause before something is tried again.
const PAUSES: Duration = Duration::from_secs(3);
/// Steps of a random run.
const STEPS: u64 = 60;

/// What a run went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// Whether the disk ran full.
    pub was_full: bool,
    /// Answers that told a lack of space.
    pub refused: u64,
}

struct Play {
    stage: Stage,
    model: Model,
    shown: [usize; OBJECTS as usize],
    pending: Vec<(u64, JoinHandle<Outcome>)>,
    may_be_full: bool,
    refused: u64,
}

/// A fixed script on a disk that is full from the `growth`-th operation on that needs space.
pub fn fill_at(growth: u64, planted: Option<Mutation>) -> Result<Happened, String> {
    play(1, planted, async |play| {
        let full_from = play.stage.disk.growths() + growth;
        play.stage.disk.fill_at(full_from);
        play.may_be_full = true;
        play.script().await?;
        let was_full = play.stage.disk.growths() >= full_from;
        play.read_all().await?;
        play.stage.disk.make_space();
        play.recover().await?;
        Ok(Happened { was_full, refused: play.refused })
    })
}

/// Random work on a disk whose capacity comes and goes.
pub fn random(seed: u64, planted: Option<Mutation>) -> Result<Happened, String> {
    play(seed, planted, async |play| {
        let mut random = Seeded::new(seed);
        let mut was_full = false;
        for _ in 0..STEPS {
            if random.chance(10) {
                let capacity = play.stage.disk.used() + random.below(150_000);
                let is_given = random.chance(30);
                play.stage.disk.set_capacity((!is_given).then_some(capacity));
                play.may_be_full |= !is_given;
                was_full |= !is_given;
            }
            play.random_step(&mut random).await?;
        }
        play.run_all().await?;
        play.read_all().await?;
        play.stage.disk.set_capacity(None);
        play.recover().await?;
        Ok(Happened { was_full, refused: play.refused })
    })
}

/// Runs `run` on a node of its own, with a fault planted or none.
fn play(
    seed: u64,
    planted: Option<Mutation>,
    run: impl AsyncFnOnce(&mut Play) -> Result<Happened, String>,
) -> Result<Happened, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let stage = Stage::with(seed, Durability::Strict);
            mutation::plant(planted);
            let mut play = Play {
                stage,
                model: Model::default(),
                shown: [0; OBJECTS as usize],
                pending: Vec::new(),
                may_be_full: false,
                refused: 0,
            };
            run(&mut play).await
        })
    }));
    mutation::plant(None);
    played.unwrap_or_else(|_| Err("panicked".to_owned()))
}

impl Play {
    async fn script(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            for object in 0..OBJECTS {
                self.write(object, &[3000]);
                self.run_all().await?;
            }
            // More than is prepared, without a step of upkeep.
            for _ in 0..16 {
                self.write(0, &[6000]);
                self.flush().await?;
            }
            self.write(1, &[20_000]);
            self.stage.world.directory.request_checkpoint(address(1).key);
            self.run_all().await?;
            let undone = self.model.new_number(2);
            self.model.forbid(undone);
            let kept = self.model.new_number(2);
            self.send(2, &[Act::Write(kept, 10), Act::Wait, Act::Write(undone, 3000), Act::Trap]);
            self.run_all().await?;
            self.write(2, &[5000, 5000]);
            self.run_all().await?;
            self.stage.fall_idle().await;
            self.stage.stay_idle().await;
            self.run_all().await?;
        }
        Ok(())
    }

    async fn random_step(&mut self, random: &mut Seeded) -> Result<(), String> {
        let object = random.below(OBJECTS);
        match random.below(13) {
            0..=4 => self.write(object, &[random.below(6000) as usize]),
            5 if random.chance(50) => {
                let number = self.model.new_number(object);
                self.send(object, &[Act::Write(number, 10), Act::Wipe]);
            }
            5 => self.write(object, &[random.below(3000) as usize, random.below(3000) as usize]),
            6 | 7 => self.flush().await?,
            8 | 9 => self.keep_up().await?,
            10 => self.stage.world.directory.request_checkpoint(address(object).key),
            11 => self.transact(object, [(); 3].map(|()| random.below(6000) as usize)),
            _ => tokio::time::advance(Duration::from_secs(1 + random.below(12))).await,
        }
        self.stage.run_tasks().await;
        self.observe()
    }

    /// Everybody who has shown something shows it, full as the disk is.
    async fn read_all(&mut self) -> Result<(), String> {
        for object in 0..OBJECTS {
            if self.shown[object as usize] == 0 {
                continue;
            }
            let seen = self.ask(object, &[]).await?;
            let seen = seen.map_err(|failure| format!("object {object} cannot be read: {failure}"))?;
            self.model.verify(object, &numbers(&seen))?;
        }
        Ok(())
    }

    /// There is space again: everybody writes, without a restart, and leaves memory; then the power fails.
    async fn recover(&mut self) -> Result<(), String> {
        tokio::time::advance(PAUSES).await;
        self.run_all().await?;
        self.may_be_full = false;
        for object in 0..OBJECTS {
            let number = self.model.new_number(object);
            let written = self.ask(object, &[Act::Write(number, 4000)]).await?;
            let written =
                written.map_err(|failure| format!("object {object} does not write again: {failure}"))?;
            self.model.verify(object, &numbers(&written))?;
        }
        self.stage.fall_idle().await;
        self.stage.stay_idle().await;
        self.run_all().await?;
        let left = self.stage.world.directory.live_objects().len();
        if left > 0 {
            return Err(format!("{left} objects do not leave memory"));
        }
        self.stage.disk.power_loss();
        self.stage.try_start_again()?;
        for object in 0..OBJECTS {
            let seen = self.ask(object, &[]).await?.map_err(|failure| failure.to_string())?;
            self.model.verify(object, &numbers(&seen))?;
        }
        Ok(())
    }

    /// Writes a number for each of `sizes`, with so many bytes beside it.
    fn write(&mut self, object: u64, sizes: &[usize]) {
        let acts: Vec<Act> =
            sizes.iter().map(|bytes| Act::Write(self.model.new_number(object), *bytes)).collect();
        self.send(object, &acts);
    }

    /// As [`write`](Self::write), in a transaction with a wait after each number.
    fn transact(&mut self, object: u64, sizes: [usize; 3]) {
        let numbers = sizes.map(|_| self.model.new_number(object));
        let mut acts = vec![Act::Enter, Act::Begin];
        for (number, bytes) in numbers.into_iter().zip(sizes) {
            acts.extend([Act::Write(number, bytes), Act::Pause(9)]);
        }
        acts.extend([Act::Commit, Act::Leave]);
        self.model.whole(object, numbers.to_vec());
        self.send(object, &acts);
    }

    fn send(&mut self, object: u64, acts: &[Act]) {
        self.pending.push((object, self.stage.send(object, acts)));
    }

    /// Sends an event and lets everything run until it must be answered.
    async fn ask(&mut self, object: u64, acts: &[Act]) -> Result<Outcome, String> {
        let answer = self.stage.send(object, acts);
        self.run_all().await?;
        answer.now_or_never().ok_or("no answer came")?.map_err(|error| error.to_string())
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.stage.run_tasks().await;
        self.stage.world.flush().map_err(|failure| failure.to_string())?;
        self.stage.run_tasks().await;
        self.observe()
    }

    async fn keep_up(&mut self) -> Result<(), String> {
        self.stage.run_tasks().await;
        self.stage.world.keep_up().map_err(|failure| failure.to_string())?;
        self.stage.run_tasks().await;
        self.observe()
    }

    async fn run_all(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            self.flush().await?;
            self.keep_up().await?;
        }
        match self.pending.first() {
            Some((object, _)) => Err(format!("object {object} does not answer")),
            None => Ok(()),
        }
    }

    /// Looks at the answers that have come.
    fn observe(&mut self) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (object, mut answer) in std::mem::take(&mut self.pending) {
            let Some(outcome) = (&mut answer).now_or_never() else {
                waiting.push((object, answer));
                continue;
            };
            match outcome.map_err(|error| error.to_string())? {
                Ok(reply) => {
                    let seen = numbers(&reply);
                    self.model.observe(object, &seen)?;
                    let shown = &mut self.shown[object as usize];
                    *shown = seen.len().max(*shown);
                }
                Err(failure) if failure.code == "guest-trapped" => {}
                // The log takes no step while the time passes.
                Err(failure) if failure.code == "commit-timeout" => {}
                Err(failure) if failure.message.contains("until it is known") => {}
                Err(failure) if self.may_be_full && failure.message.contains("SQLITE_FULL") => {
                    self.refused += 1;
                }
                Err(failure) => return Err(format!("object {object}: {failure}")),
            }
        }
        self.pending = waiting;
        Ok(())
    }
}
