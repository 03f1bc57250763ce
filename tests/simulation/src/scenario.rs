//! One seeded run: work, an accident, recovery (with an accident of its own), and the check that
//! nothing acknowledged is lost and nothing half-written or undone is seen; then once more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::time::Timestamp;
use durabo_objects::event::Outcome;
use futures::FutureExt;
use tokio::task::yield_now;

use crate::clock::SimulatedClock;
use crate::fake_guest::{Act, event, numbers};
use crate::model::Model;
use crate::world::{World, address};

/// Objects of a run.
const OBJECTS: u64 = 4;
/// Lives of the node in a run: each ends with an accident.
const LIVES: u64 = 4;
/// Steps of one life at most.
const STEPS_MAX: u64 = 120;
/// Polls after which an answer that must come is given up: the run is broken then.
const PATIENCE: u32 = 20_000;

type Answer = Pin<Box<dyn Future<Output = Outcome>>>;

struct Run {
    random: Seeded,
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    model: Model,
    next_number: u64,
    pending: Vec<(u64, Answer)>,
}

/// Runs `seed` with a fault planted or none. An error says what was lost, half-written or undone.
pub fn run(seed: u64, planted: Option<Mutation>) -> Result<(), String> {
    mutation::plant(planted);
    let run = std::panic::catch_unwind(|| {
        let mut run = Run {
            random: Seeded::new(seed),
            disk: SimulatedDisk::new(seed ^ 0x5eed),
            clock: Arc::new(SimulatedClock::new(Timestamp(1_700_000_000_000))),
            model: Model::default(),
            next_number: 1,
            pending: Vec::new(),
        };
        (0..LIVES).try_for_each(|_| run.life())
    });
    mutation::plant(None);
    run.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

impl Run {
    /// Starts the node, checks what it holds, works until the accident.
    fn life(&mut self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let mut world = self.open()?;
            self.verify(&mut world).await?;
            self.work(&mut world).await
        })?;
        // Everything in memory is gone with the runtime; only then the disk forgets.
        self.pending.clear();
        drop(runtime);
        self.disk.clear_faults();
        if self.disk.is_off() || self.random.chance(50) {
            self.disk.power_loss();
        } else {
            self.disk.process_kill();
        }
        Ok(())
    }

    /// Opens the node; sometimes the power fails during that, up to twice.
    fn open(&mut self) -> Result<World, String> {
        for _ in 0..2 {
            if self.random.chance(50) {
                let at = self.disk.operations() + 1 + self.random.below(40);
                self.disk.fail_at(at, Fault::PowerLoss);
            }
            match World::open(&self.disk, self.clock.clone()) {
                Ok(world) if !self.disk.is_off() => {
                    self.disk.clear_faults();
                    return Ok(world);
                }
                Err(error) if !self.disk.is_off() => return Err(format!("cannot start: {error}")),
                _ => self.disk.power_loss(),
            }
        }
        self.disk.clear_faults();
        World::open(&self.disk, self.clock.clone()).map_err(|error| format!("cannot start: {error}"))
    }

    async fn verify(&mut self, world: &mut World) -> Result<(), String> {
        for object in 0..OBJECTS {
            self.send(world, object, &[]);
            let (_, mut answer) = self.pending.pop().expect("just sent");
            let outcome = self.settle(world, &mut answer).await?;
            let reply = outcome.map_err(|failure| format!("object {object}: {failure}"))?;
            self.model.verify(object, &numbers(&reply))?;
        }
        Ok(())
    }

    async fn settle(&mut self, world: &mut World, answer: &mut Answer) -> Result<Outcome, String> {
        for _ in 0..PATIENCE {
            if let Poll::Ready(outcome) =
                answer.as_mut().poll(&mut Context::from_waker(futures::task::noop_waker_ref()))
            {
                return Ok(outcome);
            }
            yield_now().await;
            world.step().map_err(|failure| failure.to_string())?;
        }
        Err("no answer came".to_owned())
    }

    /// Works until a life's steps are done or the disk fails.
    async fn work(&mut self, world: &mut World) -> Result<(), String> {
        self.plan_accident();
        for _ in 0..self.random.below(STEPS_MAX) {
            match self.random.below(12) {
                0..=4 => self.write(world),
                5 | 6 if world.committer.flush().is_err() => break,
                7 | 8 if world.upkeep.step().is_err() => break,
                9 if self.random.chance(30) => tokio::time::advance(Duration::from_secs(11)).await,
                10 => self.move_clock(),
                _ => {}
            }
            for _ in 0..self.random.below(30) {
                yield_now().await;
            }
            self.observe()?;
            if self.disk.is_off() {
                break;
            }
        }
        Ok(())
    }

    fn plan_accident(&mut self) {
        let fault = match self.random.below(10) {
            0..=5 => Fault::PowerLoss,
            6 => Fault::InputOutput,
            7 => Fault::NoSpace,
            8 => Fault::ShortWrite,
            _ => return,
        };
        self.disk.fail_at(self.disk.operations() + 1 + self.random.below(300), fault);
    }

    fn move_clock(&mut self) {
        let step = self.random.below(20_000);
        self.clock.set(Timestamp(1_700_000_000_000 + step));
    }

    fn write(&mut self, world: &World) {
        let object = self.random.below(OBJECTS);
        let mut acts = Vec::new();
        for _ in 0..self.random.below(3) + 1 {
            let number = self.next_number;
            self.next_number += 1;
            self.model.attempt(object, number);
            let bytes =
                if self.random.chance(10) { self.random.below(30_000) } else { self.random.below(200) };
            acts.push(Act::Write(number, bytes as usize));
            match self.random.below(10) {
                0..=2 => acts.push(Act::Wait),
                3 => {
                    // The trap undoes what was written since the last wait, and nothing else.
                    let since = acts.iter().rposition(|act| *act == Act::Wait).map_or(0, |at| at + 1);
                    for act in &acts[since..] {
                        if let Act::Write(undone, _) = act {
                            self.model.forbid(*undone);
                        }
                    }
                    acts.push(Act::Trap);
                    break;
                }
                4 => {
                    acts.push(Act::Fail);
                    break;
                }
                _ => {}
            }
        }
        self.send(world, object, &acts);
    }

    fn send(&mut self, world: &World, object: u64, acts: &[Act]) {
        let (directory, event) = (world.directory.clone(), event(acts));
        let answer = async move { directory.deliver(address(object), event, None).await };
        self.pending.push((object, Box::pin(answer)));
    }

    /// Looks at the answers that have come.
    fn observe(&mut self) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (object, mut answer) in std::mem::take(&mut self.pending) {
            match (&mut answer).now_or_never() {
                None => waiting.push((object, answer)),
                Some(Ok(reply)) => self.model.observe(object, &numbers(&reply))?,
                Some(Err(failure)) if is_violation(&failure.message) => return Err(failure.message),
                Some(Err(_)) => {}
            }
        }
        self.pending = waiting;
        Ok(())
    }
}

fn is_violation(message: &str) -> bool {
    ["HALF", "HOLE", "DAMAGED"].iter().any(|word| message.starts_with(word))
}
