//! One seeded run over sockets: clients come, send, do not read, close and vanish, while objects hibernate, leave memory,
//! trap and fail, and each life of the node ends at rest or by an accident.
//!
//! What reaches the guests is noted outside of them, and what clients get shows what was durable. In a gentle life
//! nothing happens for which a socket may be cut (WS-31), so that everything must arrive; a rough one has aborts,
//! commits that fail, instances that cannot start and deployments too.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use durabo_changelog::mutation::{self, Mutation};
use durabo_changelog::seeded::Seeded;
use durabo_changelog::segment::Durability;
use durabo_changelog::simulated_disk::{Fault, SimulatedDisk};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::NamespaceNumber;
use durabo_model::time::Timestamp;
use durabo_objects::append_outcome::AppendOutcome;
use durabo_objects::commit_faults::CommitFault;
use durabo_objects::committer::CommitQueue;
use durabo_objects::control::OldSockets;
use durabo_objects::event::{HttpResponse, Origin, Outcome, Reply, SqlRequest};
use futures::FutureExt;
use tokio::task::{JoinHandle, yield_now};

use crate::act::{Act, event, numbers};
use crate::address::address;
use crate::clock::SimulatedClock;
use crate::fake_guest::BLOCKING;
use crate::fake_socket::Delivered;
use crate::model::Model;
use crate::socket_model::ModelClient;
use crate::world::{World, limits};

/// The last cannot suspend.
const OBJECTS: [u64; 3] = [0, 1, BLOCKING + 3];
/// Lives of the node in a run.
const LIVES: u64 = 3;
/// Steps of one life at most.
const STEPS_MAX: u64 = 120;
/// Rounds after which nothing comes any more.
const PATIENCE: u32 = 40;
/// What the clock shows at first, in milliseconds.
const CLOCK_START: u64 = 1_700_000_000_000;
/// Few frames: who does not read falls behind soon.
const OUTGOING_BYTES_MAX: usize = 1024;

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Happened {
    /// Sockets whose client has joined.
    pub sockets: u64,
    /// Messages that have reached a guest.
    pub messages: u64,
    /// Ends that have.
    pub ends: u64,
    /// Frames that clients have got.
    pub frames: u64,
    /// Sockets that their object has closed.
    pub closed: u64,
    /// Sockets whose client fell behind.
    pub fell_behind: u64,
    /// Sockets that were cut.
    pub cut: u64,
    /// Lives that came to rest without any reason to cut a socket.
    pub gentle_rests: u64,
}

struct Run {
    random: Seeded,
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    model: Model,
    /// No socket may be cut in this life.
    is_gentle: bool,
    /// Events that accept a socket: object and number.
    opening: Vec<(u64, u64, JoinHandle<Outcome>)>,
    clients: Vec<ModelClient>,
    happened: Happened,
}

/// Runs `seed` with a fault planted or none. An error says what was lost, doubled or out of order, or left too early.
pub fn run(seed: u64, planted: Option<Mutation>) -> Result<Happened, String> {
    mutation::plant(planted);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run {
            random: Seeded::new(seed),
            disk: SimulatedDisk::new(seed ^ 0x50c7),
            clock: Arc::new(SimulatedClock::new(Timestamp(CLOCK_START))),
            model: Model::default(),
            is_gentle: false,
            opening: Vec::new(),
            clients: Vec::new(),
            happened: Happened::default(),
        };
        (0..LIVES).try_for_each(|_| run.life()).map(|()| run.happened)
    }));
    mutation::plant(None);
    played.unwrap_or_else(|_| Err("panicked".to_owned()))
}

impl Run {
    fn life(&mut self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        self.is_gentle = self.random.chance(60);
        runtime.block_on(async {
            let limits = ObjectLimits {
                socket_outgoing_bytes_max: OUTGOING_BYTES_MAX,
                // Time passes in large steps here, while the log waits for its own.
                commit_timeout: Duration::from_secs(100_000),
                ..limits()
            };
            let log = (CommitQueue::with_faults(), limits);
            let world = World::open_with(&self.disk, self.clock.clone(), Durability::Strict, log)?;
            self.let_start(&world).await?;
            self.verify(&world).await?;
            let lived = self.work(&world).await;
            let deliveries = world.deliveries.all();
            self.clients.iter().try_for_each(|client| client.judge_deliveries(&deliveries))?;
            self.count(&deliveries);
            self.opening.clear();
            self.clients.iter_mut().for_each(ModelClient::forget);
            self.clients.clear();
            lived
        })?;
        drop(runtime);
        self.disk.clear_faults();
        if self.disk.is_off() || self.random.chance(50) {
            self.disk.power_loss()
        } else {
            self.disk.process_kill()
        }
        Ok(())
    }

    /// Works to the end of the life: to rest, or until the disk fails or the process ends.
    async fn work(&mut self, world: &World) -> Result<(), String> {
        let comes_to_rest = self.random.chance(60);
        if !comes_to_rest && self.random.chance(70) {
            let operation = self.disk.operations() + 1 + self.random.below(300);
            self.disk.fail_at(operation, Fault::PowerLoss);
        }
        for _ in 0..self.random.below(STEPS_MAX) {
            let went_well = self.step(world).await;
            for _ in 0..self.random.below(30) {
                yield_now().await;
            }
            self.serve_clients(world)?;
            if !went_well || self.disk.is_off() {
                return Ok(());
            }
        }
        if comes_to_rest { self.come_to_rest(world).await } else { Ok(()) }
    }

    /// `false`: the disk has failed.
    async fn step(&mut self, world: &World) -> bool {
        let object = OBJECTS[self.random.below(OBJECTS.len() as u64) as usize];
        match self.random.below(20) {
            0..=2 => self.open(world, object),
            3..=8 => self.message(),
            9 => self.leave(),
            10..=12 => return world.flush().is_ok(),
            13 => return world.keep_up().is_ok(),
            14 => tokio::time::advance(limits().hibernate_after + Duration::from_secs(1)).await,
            15 => {
                // Long enough to hibernate, and to leave memory.
                for _ in 0..3 {
                    tokio::time::advance(limits().close_after + Duration::from_secs(1)).await;
                    for _ in 0..20 {
                        yield_now().await;
                    }
                }
            }
            16 => world.directory.request_checkpoint(address(object).key),
            17 => world.directory.retire(&[NamespaceNumber(1)], OldSockets::Keep),
            18 if !self.is_gentle => self.be_rough(world, object),
            _ => {
                let (number, bytes) = (self.model.new_number(object), self.random.below(2000));
                self.send(world, object, &[Act::Write(number, bytes as usize)]);
            }
        }
        true
    }

    fn open(&mut self, world: &World, object: u64) {
        let number = self.model.new_number(object);
        let mut acts = vec![Act::Write(number, 10), Act::Accept(number)];
        match self.random.below(10) {
            0 => {
                self.model.forbid(number);
                acts.push(Act::Trap);
            }
            1 => acts.push(Act::Fail),
            2 => acts.push(Act::Pause(20)),
            _ => {}
        }
        let opening = self.send(world, object, &acts);
        self.opening.push((object, number, opening));
    }

    /// A message of some client.
    fn message(&mut self) {
        let there: Vec<usize> = (0..self.clients.len()).filter(|at| self.clients[*at].is_there()).collect();
        if there.is_empty() {
            return;
        }
        let at = there[self.random.below(there.len() as u64) as usize];
        let number = self.model.new_number(self.clients[at].object);
        let acts = self.program(self.clients[at].object, number);
        self.clients[at].want(&acts);
    }

    fn program(&mut self, object: u64, number: u64) -> Vec<Act> {
        let mut acts = vec![Act::Write(number, self.random.below(200) as usize)];
        if self.random.chance(20) {
            acts.push(Act::Suspend);
        }
        match self.random.below(10) {
            0..=6 => acts.push(Act::SendBack),
            7 => acts.push(Act::SendToAll),
            _ => {}
        }
        match self.random.below(15) {
            0 => {
                self.model.forbid(number);
                acts.push(Act::Trap);
            }
            1 => {
                self.model.forbid(number);
                acts.extend([Act::CloseSocket, Act::Trap]);
            }
            2 => acts.push(Act::CloseSocket),
            3 => acts.push(Act::Fail),
            4 => acts.extend([Act::Wait, Act::Trap]),
            5 => {
                let undone = self.model.new_number(object);
                self.model.forbid(undone);
                acts.extend([Act::Pause(10), Act::Write(undone, 10), Act::Trap]);
            }
            6 => acts
                .extend([Act::Pause(self.random.below(40)), Act::Write(self.model.new_number(object), 10)]),
            7 => acts.extend([Act::Enter, Act::Pause(10), Act::Trap]),
            8 if !self.is_gentle => {
                self.model.forbid(number);
                acts.push(Act::Abort);
            }
            _ => {}
        }
        acts
    }

    /// Some client closes, vanishes, or reads at last.
    fn leave(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.random.below(self.clients.len() as u64) as usize;
        match self.random.below(3) {
            0 => self.clients[at].close(),
            1 => self.clients[at].vanish(),
            _ => self.clients[at].is_slow = !self.clients[at].is_slow,
        }
    }

    /// Something for which sockets are cut.
    fn be_rough(&mut self, world: &World, object: u64) {
        match self.random.below(4) {
            0 => world.directory.retire(&[NamespaceNumber(1)], OldSockets::Cut),
            1 => drop(self.sql(world, object, "CREATE TABLE IF NOT EXISTS no_start(x)")),
            2 => drop(self.sql(world, object, "DROP TABLE IF EXISTS no_start")),
            _ => {
                let lost = AppendOutcome::Failed(Failure::new(ErrorCode::StorageFailed, "lost"));
                world.commits.plan_fault(address(object).key, CommitFault::Answer(lost));
            }
        }
    }

    /// Joins clients whose socket was accepted, and lets all clients send, and read unless they are slow.
    fn serve_clients(&mut self, world: &World) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (object, number, mut opening) in std::mem::take(&mut self.opening) {
            let Some(outcome) = (&mut opening).now_or_never() else {
                waiting.push((object, number, opening));
                continue;
            };
            let Ok(Ok(Reply::Fetch(HttpResponse { upgrade: Some(upgrade), .. }))) = outcome else { continue };
            self.model.promised(object, number)?;
            let accepted = world.deliveries.all().into_iter().find_map(|delivered| match delivered {
                Delivered::Accepted(socket, by) if by == number => Some(socket),
                _ => None,
            });
            let socket = accepted.ok_or(format!("object {object}: nobody has accepted {number}"))?;
            let mut client =
                ModelClient::new(object, socket, upgrade.join(String::new()), self.random.chance(35));
            if self.random.chance(10) {
                client.vanish();
            }
            self.happened.sockets += 1;
            self.clients.push(client);
        }
        self.opening = waiting;
        for client in &mut self.clients {
            client.send();
            if !client.is_slow {
                client.read(&mut self.model)?;
                // Some answer a closing frame, some never do.
                if client.closing_code().is_some() && self.random.chance(30) {
                    client.close();
                }
            }
        }
        Ok(())
    }

    /// Lets everything come to its end; then all is judged.
    async fn come_to_rest(&mut self, world: &World) -> Result<(), String> {
        self.let_start(world).await?;
        for _ in 0..PATIENCE {
            self.clients.iter_mut().for_each(|client| client.is_slow = false);
            self.serve_clients(world)?;
            run_all(world).await?;
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        self.serve_clients(world)?;
        self.happened.gentle_rests += u64::from(self.is_gentle);
        let (held, deliveries) = (self.verify(world).await?, world.deliveries.all());
        for client in &self.clients {
            client.judge_at_rest(&deliveries, &held[&client.object], !self.is_gentle)?;
        }
        let (there, known) =
            (self.clients.iter().filter(|client| client.is_there()).count(), world.sockets.len());
        if there == known { Ok(()) } else { Err(format!("{there} clients are there, and {known} sockets")) }
    }

    /// From now on instances can start.
    async fn let_start(&self, world: &World) -> Result<(), String> {
        for object in OBJECTS {
            let mut is_told = false;
            // An instance that cannot start fails what waits first, which may be this.
            for _ in 0..PATIENCE {
                let told = self.sql(world, object, "DROP TABLE IF EXISTS no_start");
                settle(world, &told).await?;
                is_told = matches!(told.now_or_never(), Some(Ok(true)));
                if is_told {
                    break;
                }
            }
            if !is_told {
                return Err(format!("object {object} cannot be told to start"));
            }
        }
        Ok(())
    }

    /// What all objects hold, which must be what the model says.
    async fn verify(&mut self, world: &World) -> Result<BTreeMap<u64, Vec<u64>>, String> {
        let mut held = BTreeMap::new();
        for object in OBJECTS {
            let answer = self.send(world, object, &[]);
            settle(world, &answer).await?;
            let outcome = answer.now_or_never().ok_or(format!("object {object} does not answer"))?;
            let outcome = outcome.map_err(|error| error.to_string())?;
            let seen = numbers(&outcome.map_err(|failure| format!("object {object}: {failure}"))?);
            self.model.verify(object, &seen)?;
            held.insert(object, seen);
        }
        self.model.verify_shown(&held)?;
        Ok(held)
    }

    fn send(&self, world: &World, object: u64, acts: &[Act]) -> JoinHandle<Outcome> {
        let (directory, event) = (world.directory.clone(), event(acts));
        tokio::spawn(async move { directory.deliver(address(object), event, Origin::default()).await })
    }

    fn sql(&self, world: &World, object: u64, query: &str) -> JoinHandle<bool> {
        let directory = world.directory.clone();
        let request = SqlRequest { query: query.to_owned(), bindings: Vec::new(), may_write: true };
        tokio::spawn(async move { directory.sql(address(object), request).await.is_ok() })
    }

    fn count(&mut self, deliveries: &[Delivered]) {
        let happened = &mut self.happened;
        for delivered in deliveries {
            match delivered {
                Delivered::Message(..) => happened.messages += 1,
                Delivered::Last(_) => happened.ends += 1,
                Delivered::Accepted(..) | Delivered::Over(_) => {}
            }
        }
        for client in &self.clients {
            happened.frames += client.frames();
            happened.cut += u64::from(client.is_cut());
            match client.closing_code() {
                Some(1013) => happened.fell_behind += 1,
                Some(_) => happened.closed += 1,
                None => {}
            }
        }
    }
}

/// Lets everything run until somebody has an answer, or will never get one.
async fn settle<T>(world: &World, answer: &JoinHandle<T>) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if answer.is_finished() {
            break;
        }
        run_all(world).await?;
        // The object may have been reset for a failing commit, or starts again and again and waits in between.
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    Ok(())
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
