//! One seeded run: work, an accident, recovery (with an accident of its own), and the check that
//! nothing acknowledged is lost and nothing half-written or undone is seen; then once more.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::object::NamespaceNumber;
use durabo_model::time::Timestamp;
use durabo_objects::control::OldSockets;
use durabo_objects::event::{Origin, Outcome, Reply};
use futures::FutureExt;
use tokio::task::yield_now;

use crate::act::{Act, event, numbers, shown};
use crate::address::address;
use crate::clock::SimulatedClock;
use crate::keys_model::KeysModel;
use crate::model::Model;
use crate::program::{OBJECTS, Programs};
use crate::world::{LogThread, World};

/// Lives of the node in a run: each ends with an accident.
const LIVES: u64 = 4;
/// Steps of one life at most.
const STEPS_MAX: u64 = 120;
/// What the clock shows at first, in milliseconds.
const CLOCK_START: u64 = 1_700_000_000_000;
/// How long a node that stops lets events run on.
const STOP: Duration = Duration::from_secs(5);
/// Polls after which an answer that must come is given up: the run is broken then.
const PATIENCE: u32 = 2_000;

type Answer = Pin<Box<dyn Future<Output = Outcome>>>;

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Happened {
    /// Lives of the node.
    pub lives: u64,
    /// Recoveries that were cut short by an accident of their own.
    pub recoveries_cut: u64,
    /// Whether commits counted as durable without a sync.
    pub relaxed: bool,
    /// Changing operations of the disk.
    pub operations: u64,
}

/// What the events of a run do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Write and wait.
    Write,
    /// Call, hold sections, and more.
    CallAndHold,
    /// Write numbers and keys, and remove everything.
    WriteAndWipe,
}

struct Run {
    random: Seeded,
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    durability: Durability,
    /// The power failed since the last time that the objects were looked at.
    power_failed: bool,
    model: Model,
    keys: KeysModel,
    pending: Vec<(u64, Answer)>,
    events: Events,
    happened: Happened,
}

/// Runs `seed` with a fault planted or none. An error says what was lost, half-written or undone, what got
/// out too early, or who entered a section.
pub fn run(seed: u64, events: Events, planted: Option<Mutation>) -> Result<Happened, String> {
    mutation::plant(planted);
    let run = std::panic::catch_unwind(|| {
        let relaxed = seed % 5 == 4;
        let mut run = Run {
            random: Seeded::new(seed),
            disk: SimulatedDisk::new(seed ^ 0x5eed),
            clock: Arc::new(SimulatedClock::new(Timestamp(CLOCK_START))),
            durability: if relaxed { Durability::Relaxed } else { Durability::Strict },
            power_failed: false,
            model: Model::default(),
            keys: KeysModel::default(),
            pending: Vec::new(),
            events,
            happened: Happened { lives: LIVES, relaxed, ..Happened::default() },
        };
        (0..LIVES)
            .try_for_each(|_| run.life())
            .map(|()| Happened { operations: run.disk.operations(), ..run.happened })
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
            let world = self.open()?;
            self.verify(&world).await?;
            self.work(&world).await
        })?;
        // Everything in memory is gone with the runtime; only then the disk forgets.
        self.pending.clear();
        drop(runtime);
        self.disk.clear_faults();
        if self.random.chance(50) {
            self.power_loss();
        } else {
            self.restart();
        }
        Ok(())
    }

    fn power_loss(&mut self) {
        self.power_failed = true;
        self.disk.power_loss();
    }

    /// After an accident: a power loss if the power failed, else the end of the process.
    fn restart(&mut self) {
        if self.disk.is_off() { self.power_loss() } else { self.disk.process_kill() }
    }

    /// Opens the node; often something goes wrong with that, up to twice.
    fn open(&mut self) -> Result<World, String> {
        for _ in 0..2 {
            if self.random.chance(60) {
                let fault = match self.random.below(6) {
                    0 => Fault::InputOutput,
                    1 => Fault::NoSpace,
                    _ => Fault::PowerLoss,
                };
                self.disk.fail_at(self.disk.operations() + 1 + self.random.below(40), fault);
            }
            if let Ok(world) = World::open(&self.disk, self.clock.clone(), self.durability)
                && !self.disk.is_off()
            {
                self.disk.clear_faults();
                return Ok(world);
            }
            // Whether the reason was the planned accident shows in the last attempt, which has none.
            self.happened.recoveries_cut += 1;
            self.disk.clear_faults();
            self.restart();
        }
        World::open(&self.disk, self.clock.clone(), self.durability)
            .map_err(|error| format!("cannot start: {error}"))
    }

    async fn verify(&mut self, world: &World) -> Result<(), String> {
        let may_lose = std::mem::take(&mut self.power_failed) && self.durability == Durability::Relaxed;
        let mut held = BTreeMap::new();
        for object in OBJECTS {
            self.send(world, object, &[]);
            let (_, mut answer) = self.pending.pop().expect("just sent");
            let outcome = self.settle(world, &mut answer).await?;
            let reply = outcome.map_err(|failure| format!("object {object}: {failure}"))?;
            let seen = self.seen(object, &reply)?;
            if may_lose {
                self.model.verify_after_relaxed_loss(object, &seen)?;
            } else {
                self.model.verify(object, &seen)?;
            }
            held.insert(object, seen);
        }
        self.model.verify_shown(&held)
    }

    async fn settle(&mut self, world: &World, answer: &mut Answer) -> Result<Outcome, String> {
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

    /// Works until a life's steps are done or the disk fails. What was let out before an accident
    /// counts all the same.
    async fn work(&mut self, world: &World) -> Result<(), String> {
        self.plan_accident();
        for _ in 0..self.random.below(STEPS_MAX) {
            if self.random.chance(30) {
                self.plan_interruption(world);
            }
            let went_well = self.step(world).await;
            for _ in 0..self.random.below(30) {
                yield_now().await;
            }
            self.observe()?;
            if !went_well || self.disk.is_off() {
                return Ok(());
            }
        }
        match self.random.below(10) {
            0 | 1 => self.stop(world).await,
            2..=4 => self.leave_an_unsynced_tail(world).await,
            5..=7 => self.checkpoint_often(world).await,
            _ => {}
        }
        self.observe()
    }

    async fn step(&mut self, world: &World) -> bool {
        match self.random.below(12) {
            0..=4 => self.write(world),
            5 | 6 => return world.flush().is_ok(),
            7 | 8 => return world.keep_up().is_ok(),
            9 if self.random.chance(30) => tokio::time::advance(Duration::from_secs(11)).await,
            10 => self.move_clock(),
            11 if self.random.chance(10) => world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut),
            11 => world.directory.request_checkpoint(address(self.some_object()).key),
            _ => {}
        }
        true
    }

    /// Stops the node in order, as far as the disk lets it.
    async fn stop(&mut self, world: &World) {
        let directory = world.directory.clone();
        let mut stopped = Box::pin(async move { directory.stop(STOP).await });
        for _ in 0..PATIENCE {
            if (&mut stopped).now_or_never().is_some() || world.step().is_err() {
                return;
            }
            yield_now().await;
        }
    }

    /// Two objects and their checkpoints in every order, with nothing in between that would sync the
    /// log; the power may fail after any of it.
    async fn checkpoint_often(&mut self, world: &World) {
        self.disk.clear_faults();
        for _ in 0..self.random.below(24) {
            let object = self.random.below(2);
            let went_well = match self.random.below(4) {
                0 => {
                    let number = self.model.new_number(object);
                    self.send(world, object, &[Act::Write(number, 1000)]);
                    true
                }
                1 => {
                    world.directory.request_checkpoint(address(object).key);
                    true
                }
                2 => world.flush().is_ok(),
                _ => world.keep_up().is_ok(),
            };
            for _ in 0..20 {
                yield_now().await;
            }
            if !went_well {
                return;
            }
        }
    }

    /// Records that the next start finds in the log although they are not on the disk: the log was
    /// written, its sync failed, and the process ends.
    async fn leave_an_unsynced_tail(&mut self, world: &World) {
        for _ in 0..=self.random.below(4) {
            self.write(world);
        }
        for _ in 0..40 {
            yield_now().await;
        }
        self.disk.clear_faults();
        self.disk.fail_at(self.disk.operations() + 2, Fault::InputOutput);
        // The node stops by that; nothing else is to be learned here.
        drop(world.flush());
    }

    /// One log thread comes in while somebody else is in the midst of something; sometimes the power
    /// fails right after.
    fn plan_interruption(&mut self, world: &World) {
        let next = self.disk.operations() + 1;
        let by = if self.random.chance(50) { LogThread::Committer } else { LogThread::Upkeep };
        world.interrupt_at(&self.disk, next + self.random.below(4), by);
        if self.random.chance(5) {
            self.disk.fail_at(next + self.random.below(8), Fault::PowerLoss);
        }
    }

    fn plan_accident(&mut self) {
        let fault = match self.random.below(10) {
            0..=4 => Fault::PowerLoss,
            5 | 6 => Fault::InputOutput,
            7 => Fault::NoSpace,
            8 => Fault::ShortWrite,
            _ => return,
        };
        self.disk.fail_at(self.disk.operations() + 1 + self.random.below(250), fault);
    }

    fn move_clock(&mut self) {
        self.clock.set(Timestamp(CLOCK_START - 10_000 + self.random.below(20_000)));
    }

    fn write(&mut self, world: &World) {
        let object = self.some_object();
        if self.events == Events::CallAndHold {
            for _ in 0..=self.random.below(4) {
                let Self { random, model, .. } = self;
                let acts = Programs { random, model }.next(object);
                self.send(world, object, &acts);
            }
            return;
        }
        let mut acts = Vec::new();
        for _ in 0..self.random.below(3) + 1 {
            let number = self.model.new_number(object);
            let bytes =
                if self.random.chance(30) { self.random.below(4_000) } else { self.random.below(200) };
            acts.push(Act::Write(number, bytes as usize));
            if self.events == Events::WriteAndWipe {
                acts.extend(self.keys.turn(number, &mut self.random));
            }
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

    fn some_object(&mut self) -> u64 {
        OBJECTS[self.random.below(OBJECTS.len() as u64) as usize]
    }

    fn send(&mut self, world: &World, object: u64, acts: &[Act]) {
        let event = match self.events {
            Events::WriteAndWipe => event(&[&[Act::ShowKeys], acts].concat()),
            _ => event(acts),
        };
        let directory = world.directory.clone();
        let answer = async move { directory.deliver(address(object), event, Origin::default()).await };
        self.pending.push((object, Box::pin(answer)));
    }

    /// The numbers in an answer, whose keys must be those that go with them.
    fn seen(&self, object: u64, reply: &Reply) -> Result<Vec<u64>, String> {
        if self.events != Events::WriteAndWipe {
            return Ok(numbers(reply));
        }
        let shown = shown(reply);
        self.keys.check(object, &shown)?;
        Ok(shown.numbers)
    }

    /// Looks at the answers that have come.
    fn observe(&mut self) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (object, mut answer) in std::mem::take(&mut self.pending) {
            match (&mut answer).now_or_never() {
                None => waiting.push((object, answer)),
                Some(Ok(reply)) => {
                    let seen = self.seen(object, &reply)?;
                    self.model.observe(object, &seen)?;
                }
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
