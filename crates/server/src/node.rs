//! A running node: starts everything in order, stops everything in the reverse order.
//!
//! HTTP and objects have a runtime each, so that busy objects do not delay the listeners; the change
//! log has its two threads.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, bail};
use durabo_catalog::Catalog;
use durabo_gateway::serve::tcp;
use durabo_gateway::{
    AccessRules, ClientParts, ControlConfig, ControlGateway, DataPlane, DataPlaneConfig, Deliver,
    OutgoingClient, Readiness, RequestIds, ServeLimits, SocketTasks, serve,
};
use durabo_model::failure::Failure;
use durabo_model::random::Random;
use durabo_model::time::Clock;
use durabo_objects::alarm_runs::AlarmRuns;
use durabo_objects::alarm_schedule::AlarmSchedule;
use durabo_objects::alarms::{Alarms, ClassOf};
use durabo_objects::committer::{CommitQueue, Committer, LogPins};
use durabo_objects::counters::Counters;
use durabo_objects::directory::Directory;
use durabo_objects::log_holders::LogHolders;
use durabo_objects::node::Node as ObjectsNode;
use durabo_objects::output_gate::HeldBytes;
use durabo_objects::placement::SingleNode;
use durabo_objects::sockets::SocketBook;
use durabo_objects::tail::Tail;
use durabo_objects::test_hooks::TestHooks as ObjectTestHooks;
use durabo_objects::upkeep::{Shortage, Upkeep, UpkeepQueue};
use durabo_objects::wal_memory::WalMemory;
use durabo_runtime::guest::WasmLoader;
use durabo_storage::folder::DataFolder;
use durabo_storage::object_file::ObjectFile;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::alarm_timer::alarm_timer;
use crate::compile::StopOnDrop;
use crate::config::NodeConfig;
use crate::control_plane::NodeControl;
use crate::file_syncs::sync_at_once;
use crate::loading::{LoadedCode, recover_and_load};
use crate::log_threads::LogThreads;
use crate::memory::{MemoryThread, resident_bytes_max};
use crate::open::{OpenedFolder, find_folder};
use crate::system::{SystemClock, SystemRandom};
use crate::system_limits;
use crate::test_hooks::TestHooks;
use crate::token::read_or_make_token;
use crate::upload::Uploads;

/// A node that serves. Dropping it without [`Node::stop`] is like killing it: nothing durable is lost.
pub struct Node {
    listen: SocketAddr,
    control: SocketAddr,
    token: String,
    drain: Duration,
    readiness: Readiness,
    directory: Directory,
    test_hooks: Option<TestHooks>,
    serving: Vec<JoinHandle<()>>,
    sockets: Arc<SocketTasks>,
    stop: watch::Sender<bool>,
    log: LogThreads,
    _memory: MemoryThread,
    /// Let go before `http`, which ends when uploads under way have.
    compiling: Option<StopOnDrop>,
    http: Runtime,
    objects: Runtime,
    /// Holds the folder's lock; let go last.
    _folder: Arc<DataFolder>,
}

/// Tasks after which a busy thread looks what has come by connections. WebSockets share threads with objects: at the
/// runtime's 61, turns of some milliseconds each would keep a message waiting for a quarter of a second.
const LOOK_AT_IO_EVERY: u32 = 8;

/// For the ends of WebSockets when the node stops; each of them takes two seconds at most.
const SOCKETS_STOP_MAX: Duration = Duration::from_secs(5);

/// For the threads of objects to leave the guests and statements that they are in, when the node stops: each does at
/// its next tick, which comes late where other programs take the processor.
const OBJECTS_STOP_MAX: Duration = Duration::from_secs(5);

/// Connections that the control plane takes however few clients may have: an operator's tools keep some open.
const CONTROL_CONNECTIONS_MIN: usize = 16;

impl Node {
    /// Opens the data folder, recovers, and serves. Returns once both listeners take connections.
    pub fn start(mut config: NodeConfig) -> anyhow::Result<Self> {
        check_addresses(&config)?;
        system_limits::apply(&mut config.limits, &mut config.http_limits, &mut config.outgoing_limits)?;
        let (opened, loaded) = recover_and_load(&config, find_folder(&config)?)?;
        let LoadedCode { catalog, engine, cache, code, compiling } = loaded;
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let clock = Arc::new(SystemClock);
        let token = read_or_make_token(&opened.folder.token_path(), &*random)?;
        let (listen, control) = (bind(config.listen)?, bind(config.control)?);
        let (listen_address, control_address) = (listen.local_addr()?, control.local_addr()?);
        let cores = available_parallelism().map_or(2, usize::from);
        let http = runtime("http", cores)?;
        // More than cores: while some hold their thread with SQL, others run.
        let objects = runtime("objects", 2 * cores)?;

        let sockets = Arc::new(SocketTasks::new(objects.handle().clone(), &config.http_limits));
        let outside = outgoing_client(&config, &http, &random, &sockets);
        let loader = WasmLoader::new(engine, code, Arc::new(outside));

        let pins = LogPins::new(opened.log.durable());
        let (folder, index, start_number) =
            (opened.folder.clone(), opened.index.clone(), opened.start_number);
        let pool = opened.pool.clone();
        let parts = ObjectsParts {
            opened,
            pins: pins.clone(),
            clock: clock.clone(),
            random: random.clone(),
            loader,
            class_of: classes(catalog.clone()),
        };
        let (directory, hooks, log) = start_objects(&config, parts, &objects)?;
        let test_hooks = hooks.map(|objects| TestHooks { catalog: catalog.clone(), objects });
        let memory = MemoryThread::start(directory.clone(), resident_bytes_max(&config.limits))?;
        let readiness = Readiness::default();
        let uploads =
            Uploads { catalog: catalog.clone(), cache, clock: clock.clone(), turn: Default::default() };
        let node_control = NodeControl {
            uploads: Arc::new(uploads),
            directory: directory.clone(),
            folder: folder.clone(),
            index,
            pins,
            pool,
            readiness: readiness.clone(),
            durability: config.durability,
            start_number,
            started: clock.now(),
        };
        let access = AccessRules::new(config.hosts.iter().cloned());
        let request_ids = Arc::new(RequestIds::new(start_number));
        let data_plane = Arc::new(DataPlane::new(DataPlaneConfig {
            catalog: catalog.clone(),
            objects: directory.clone(),
            access: access.clone(),
            request_ids: request_ids.clone(),
            random,
            readiness: readiness.clone(),
            limits: config.http_limits.clone(),
            sockets: sockets.clone(),
        }));
        let control_plane = Arc::new(ControlGateway::new(ControlConfig {
            catalog,
            node: Arc::new(node_control),
            access,
            token: token.clone(),
            request_ids,
            body_silence_max: config.http_limits.body_silence_max,
        }));
        let (stop, stopping) = watch::channel(false);
        let limits = ServeLimits { http: config.http_limits.clone(), drain: config.limits.drain };
        let serving = serve_planes(&http, (listen, data_plane), (control, control_plane), limits, stopping)?;
        readiness.set(true);
        info!(listen = %listen_address, control = %control_address, "serving");
        Ok(Self {
            listen: listen_address,
            control: control_address,
            token,
            drain: config.limits.drain,
            readiness,
            directory,
            test_hooks,
            serving,
            sockets,
            stop,
            log,
            _memory: memory,
            compiling,
            http,
            objects,
            _folder: folder,
        })
    }

    /// Address of the data plane, with the port it really has.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Address of the control plane, with the port it really has.
    pub fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// Token of the control plane.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What tests may do with the node's objects, if it was started for them.
    pub fn test_hooks(&self) -> Option<TestHooks> {
        self.test_hooks.clone()
    }

    /// Becomes the failure of the change log if that fails: the node cannot go on then (invariant 5).
    pub fn failed(&self) -> watch::Receiver<Option<Failure>> {
        self.log.failed()
    }

    /// Takes no new requests, lets those under way end within the drain time, brings every object into
    /// its file, and returns.
    pub fn stop(self) -> anyhow::Result<()> {
        self.readiness.set(false);
        // Who watches would hold the listener of the control plane up for the whole drain time.
        self.directory.tail().close();
        self.stop.send_replace(true);
        self.http.block_on(async {
            for listener in self.serving {
                listener.await.context("a listener panicked")?;
            }
            // After the drain time, in which they were served as before. Their tasks share threads with guests.
            if tokio::time::timeout(SOCKETS_STOP_MAX, self.sockets.stop()).await.is_err() {
                warn!("not all WebSockets ended in time; their connections break off");
            }
            anyhow::Ok(())
        })?;
        drop(self.compiling);
        let left = self.http.block_on(self.directory.stop(self.drain));
        if left > 0 {
            warn!(objects = left, "objects did not stop in time; the change log holds what they committed");
        }
        self.objects.shutdown_timeout(OBJECTS_STOP_MAX);
        self.log.stop().map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
        info!("stopped");
        Ok(())
    }
}

/// Tells the class of a namespace.
fn classes(catalog: Arc<Catalog>) -> ClassOf {
    Arc::new(move |namespace| catalog.snapshot().target_of(namespace).map(|target| target.class.clone()))
}

/// What objects are made of.
struct ObjectsParts {
    opened: OpenedFolder,
    pins: LogPins,
    clock: Arc<SystemClock>,
    random: Arc<dyn Random>,
    loader: WasmLoader,
    class_of: ClassOf,
}

/// Wires log, upkeep and directory, and starts their threads.
fn start_objects(
    config: &NodeConfig,
    parts: ObjectsParts,
    objects: &Runtime,
) -> anyhow::Result<(Directory, Option<ObjectTestHooks>, LogThreads)> {
    let ObjectsParts { opened, pins, clock, random, loader, class_of } = parts;
    let OpenedFolder { folder, disk, log, pool, control, start_number, index } = opened;
    let commits = if config.test_hooks { CommitQueue::with_faults() } else { CommitQueue::default() };
    let jobs = UpkeepQueue::default();
    let wal_memory = WalMemory::default();
    let alarms = AlarmSchedule::default();
    let node = Arc::new(ObjectsNode {
        limits: config.limits.clone(),
        durability: config.durability,
        clock: clock.clone(),
        random,
        disk,
        object_path: Box::new({
            let folder = folder.clone();
            move |key| folder.object_path(key)
        }),
        commits: commits.clone(),
        pool: pool.clone(),
        upkeep: jobs.clone(),
        pins: pins.clone(),
        index: index.clone(),
        alarms: alarms.clone(),
        alarm_runs: AlarmRuns::default(),
        wal_memory: wal_memory.clone(),
        held_bytes: HeldBytes::default(),
        counters: Arc::new(Counters::new(start_number)),
        sockets: SocketBook::new(&config.limits),
        tail: Tail::default(),
    });
    let directory =
        Directory::new(node.clone(), Arc::new(loader), Box::new(SingleNode), objects.handle().clone());
    let timer = alarm_timer(objects, &clock)?;
    let waking = Alarms::new(node, directory.clone(), class_of, timer, objects.handle().clone());
    objects.spawn(waking.run());
    let asked = directory.clone();
    let upkeep = Upkeep {
        queue: jobs,
        commits: commits.clone(),
        pins: pins.clone(),
        pool,
        control,
        index,
        alarms,
        holders: LogHolders::new(config.disk_limits.log_bytes_max, config.limits.checkpoint_after),
        clock: clock.clone(),
        request_checkpoint: Box::new(move |key| asked.request_checkpoint(key)),
        sync_files: Box::new(|files| sync_at_once(files, ObjectFile::sync)),
        wal_memory: (wal_memory, config.limits.node_wal_bytes_max),
        shortage: Shortage::default(),
    };
    let hooks = config.test_hooks.then(|| ObjectTestHooks::new(directory.clone(), commits.clone()));
    let threads = LogThreads::start(Committer::new(log, commits, pins.clone()), upkeep, &folder)?;
    Ok((directory, hooks, threads))
}

/// Serves both planes. The control plane gets a part of the connections, some in any case.
fn serve_planes<D: Deliver>(
    http: &Runtime,
    (listen, data_plane): (TcpListener, Arc<DataPlane<D>>),
    (control, control_plane): (TcpListener, Arc<ControlGateway>),
    limits: ServeLimits,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let _entered = http.enter();
    let (listen, control) =
        (tokio::net::TcpListener::from_std(listen)?, tokio::net::TcpListener::from_std(control)?);
    let data = move |request| {
        let plane = data_plane.clone();
        async move { plane.answer(request).await }
    };
    let operator = move |request| {
        let plane = control_plane.clone();
        async move { plane.answer(request).await }
    };
    let mut of_control = limits.clone();
    of_control.http.connections_max = limits.http.connections_max.div_ceil(10).max(CONTROL_CONNECTIONS_MIN);
    Ok(vec![
        http.spawn(serve(tcp(listen), data, limits, stopped(stopping.clone()))),
        http.spawn(serve(tcp(control), operator, of_control, stopped(stopping))),
    ])
}

fn check_addresses(config: &NodeConfig) -> anyhow::Result<()> {
    if !config.listen.ip().is_loopback() && !config.open {
        bail!(
            "address {} is reachable from other machines and the data plane asks nobody who they are; \
             listen on loopback, or say `--open` if that is what you want",
            config.listen
        );
    }
    Ok(())
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The way of objects to the outside.
fn outgoing_client(
    config: &NodeConfig,
    http: &Runtime,
    random: &Arc<dyn Random>,
    sockets: &Arc<SocketTasks>,
) -> OutgoingClient {
    OutgoingClient::new(ClientParts {
        tasks: http.handle().clone(),
        limits: config.outgoing_limits.clone(),
        random: random.clone(),
        sockets: sockets.clone(),
    })
}

fn runtime(name: &'static str, threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).event_interval(LOOK_AT_IO_EVERY).enable_all();
    builder.build().with_context(|| format!("starting the threads of {name}"))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The node was dropped: that is a stop too.
    drop(stopping.wait_for(|stop| *stop).await);
}
