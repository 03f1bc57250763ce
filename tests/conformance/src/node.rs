//! A node in this process on a folder of its own, with all guests deployed.
//!
//! The guests are deployed once, into a template; each node starts from a copy of it, which also shows
//! that a stopped node's folder is all there is to it. Stop and start again keep the folder. Killing is
//! tested with a process of its own, beside the command line. A given node, which somebody else runs, serves
//! the cases that need none of their own.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use durabo_model::limits::{HttpLimits, ObjectLimits, OutgoingLimits};
use durabo_server::{Durability, Node, NodeConfig, ObjectHooks};

use crate::case::not_here;
use crate::client::{Client, Use};
use crate::connection::Connection;
use crate::control_plane::ControlPlane;
use crate::guest::{self, Guest};
use crate::object::Object;
use crate::restarts::Restarts;
use crate::run_folder::RunFolder;

const NEEDS_OWN: &str = "it needs a node of its own";
/// Small, since each node fills three of them with zeros when it is new.
const SEGMENT_BYTES: u64 = 2 * 1024 * 1024;

/// What a test sets about its node.
#[derive(Debug, Clone)]
pub struct TestConfig {
    /// Capacities and times.
    pub limits: ObjectLimits,
    /// What clients may take.
    pub http_limits: HttpLimits,
    /// What requests to the outside may take.
    pub outgoing_limits: OutgoingLimits,
    /// Size of a segment of the log, in bytes.
    pub log_segment_bytes: u64,
    /// What "durable" means.
    pub durability: Durability,
    /// Whether [`TestNode::hooks`] may be asked for.
    pub test_hooks: bool,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self {
            limits: ObjectLimits::default(),
            http_limits: HttpLimits::default(),
            outgoing_limits: OutgoingLimits::default(),
            log_segment_bytes: SEGMENT_BYTES,
            durability: Durability::Strict,
            test_hooks: false,
        }
    }
}

impl TestConfig {
    /// The defaults with other limits for clients.
    pub fn with_http_limits(change: impl FnOnce(&mut HttpLimits)) -> Self {
        let mut config = Self::default();
        change(&mut config.http_limits);
        config
    }

    /// The defaults with other limits, and with hooks.
    pub fn with_hooks(change: impl FnOnce(&mut ObjectLimits)) -> Self {
        Self { test_hooks: true, ..Self::with_limits(change) }
    }

    /// The defaults with other limits.
    pub fn with_limits(change: impl FnOnce(&mut ObjectLimits)) -> Self {
        let mut config = Self::default();
        change(&mut config.limits);
        config
    }
}

/// A node that somebody else runs, for the cases that need none of their own.
#[derive(Debug, Clone)]
pub struct GivenNode {
    /// Address of its data plane.
    pub listen: SocketAddr,
    /// Address of its control plane.
    pub control: SocketAddr,
    /// Its token.
    pub token: String,
}

static GIVEN: OnceLock<GivenNode> = OnceLock::new();

/// A running node.
pub struct TestNode {
    config: TestConfig,
    running: Option<Running>,
    /// `None` if it is the given node.
    folder: Option<Arc<RunFolder>>,
}

/// Who holds the node that runs.
enum Runs {
    /// Somebody else: it is the given node.
    Elsewhere,
    Here(Box<Node>),
    Restarted(Restarts),
}

struct Running {
    node: Runs,
    listen: SocketAddr,
    control_address: SocketAddr,
    client: Client,
    control: ControlPlane,
}

static TEMPLATE: LazyLock<Arc<RunFolder>> = LazyLock::new(|| {
    let mut node = TestNode::empty(TestConfig::default());
    node.deploy_guests().unwrap_or_else(|refusal| panic!("{refusal}"));
    node.stop();
    node.folder.take().expect("a node of our own has a folder")
});

impl GivenNode {
    /// Deploys the guests on this node and makes every case of this process use it; fails with the guest that
    /// the node refuses. Cases that need a node of their own cannot be shown then. Call it once, before the
    /// first case.
    pub fn use_for_all(self) -> Result<(), String> {
        self.node().deploy_guests()?;
        GIVEN.set(self).expect("one node is given to a process");
        Ok(())
    }

    fn node(&self) -> TestNode {
        let running = Running::at(Runs::Elsewhere, self.listen, self.control, &self.token);
        TestNode { config: TestConfig::default(), running: Some(running), folder: None }
    }
}

impl TestNode {
    /// The given node, if there is one.
    pub fn given() -> Option<Self> {
        GIVEN.get().map(GivenNode::node)
    }

    /// A node with all guests and the default limits.
    pub fn start() -> Self {
        Self::with(TestConfig::default())
    }

    /// A node with all guests.
    pub fn with(config: TestConfig) -> Self {
        refuse_if_given();
        Self::on(RunFolder::copy_of(TEMPLATE.path()), config)
    }

    /// A node with all guests and the default limits that is restarted between events. It cannot be stopped.
    pub fn restarted_between_events() -> Self {
        let mut node = Self::start();
        let Some(Running { node: Runs::Here(first), listen, control_address, .. }) = node.running.take()
        else {
            unreachable!("it was started here");
        };
        let token = first.token().to_owned();
        let mut config = node.node_config();
        (config.listen, config.control) = (listen, control_address);
        let start = move || {
            Node::start(config.clone()).unwrap_or_else(|error| panic!("restarting a node: {error:?}"))
        };
        let restarts = Restarts::new(*first, start);
        node.running = Some(Running::at(Runs::Restarted(restarts), listen, control_address, &token));
        node
    }

    /// A node with a new folder and nothing deployed.
    pub fn empty(config: TestConfig) -> Self {
        refuse_if_given();
        Self::on(RunFolder::new(), config)
    }

    fn on(folder: RunFolder, config: TestConfig) -> Self {
        let mut node = Self { config, running: None, folder: Some(Arc::new(folder)) };
        node.start_again();
        node
    }

    fn deploy_guests(&self) -> Result<(), String> {
        for guest in guest::ALL {
            let deployed = self.control().deploy(guest.app, &guest.bytes());
            deployed
                .map_err(|error| format!("the node refuses the guest `{}`: {}", guest.app, error.message))?;
        }
        Ok(())
    }

    /// Starts the stopped node on its folder.
    pub fn start_again(&mut self) {
        let node =
            Node::start(self.node_config()).unwrap_or_else(|error| panic!("starting a node: {error:?}"));
        let (listen, control, token) =
            (node.listen_address(), node.control_address(), node.token().to_owned());
        self.running = Some(Running::at(Runs::Here(Box::new(node)), listen, control, &token));
    }

    fn node_config(&self) -> NodeConfig {
        let mut config = NodeConfig::new(self.folder().path());
        config.listen.set_port(0);
        config.control.set_port(0);
        config.limits = self.config.limits.clone();
        config.http_limits = self.config.http_limits.clone();
        config.outgoing_limits = self.config.outgoing_limits.clone();
        config.log_segment_bytes = self.config.log_segment_bytes;
        config.durability = self.config.durability;
        config.test_hooks = self.config.test_hooks;
        config
    }

    /// Stops it properly; the folder stays.
    pub fn stop(&mut self) {
        self.folder(); // the given node is not ours to stop
        if let Some(Running { node: Runs::Here(node), .. }) = self.running.take() {
            node.stop().unwrap_or_else(|error| panic!("stopping a node: {error:?}"));
            self.folder().wait_until_free();
        }
    }

    /// Stops and starts it. Clients and objects that were made before lead nowhere afterwards.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Address of the data plane.
    pub fn listen_address(&self) -> SocketAddr {
        self.running().listen
    }

    /// Address of the control plane.
    pub fn control_address(&self) -> SocketAddr {
        self.running().control_address
    }

    /// A client of the data plane.
    pub fn client(&self) -> Client {
        self.running().client.clone()
    }

    /// The control plane, with its token.
    pub fn control(&self) -> ControlPlane {
        self.running().control.clone()
    }

    /// The data folder.
    pub fn folder(&self) -> &RunFolder {
        self.folder.as_deref().unwrap_or_else(|| not_here(NEEDS_OWN))
    }

    /// The object of a guest's class behind a segment.
    pub fn object(&self, guest: Guest, class: &str, segment: &str) -> Object {
        Object::new(self.client(), self.control(), (guest.app, class, segment))
    }

    /// Whether anything leads to [`hooks`](Self::hooks).
    pub fn has_hooks(&self) -> bool {
        let Runs::Here(node) = &self.running().node else { not_here(NEEDS_OWN) };
        node.test_hooks().is_some()
    }

    /// What a test may do with an object of this node and its users cannot. Only if the test has asked for
    /// hooks.
    pub fn hooks(&self, object: &Object) -> ObjectHooks {
        let Runs::Here(node) = &self.running().node else { not_here(NEEDS_OWN) };
        let hooks = node.test_hooks().expect("the test asks for hooks");
        let (app, class, name) = object.parts();
        hooks.object(app, class, name).unwrap_or_else(|error| panic!("{app}/{class}/{name}: {error}"))
    }

    /// A connection to the data plane.
    pub fn connect(&self) -> Connection {
        let running = self.running();
        let in_use = match &running.node {
            Runs::Restarted(restarts) => Some(restarts.event()),
            Runs::Elsewhere | Runs::Here(_) => None,
        };
        Connection::open(running.listen, in_use)
    }

    /// An object of a guest's class that no other test knows.
    pub fn fresh(&self, guest: Guest, class: &str) -> Object {
        self.object(guest, class, &fresh_name())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the test has stopped the node")
    }
}

impl Running {
    fn at(node: Runs, listen: SocketAddr, control_address: SocketAddr, token: &str) -> Self {
        let (client, control) = match &node {
            Runs::Restarted(restarts) => (
                Client::of_restarted(listen, Use::Events(restarts.clone())),
                Client::of_restarted(control_address, Use::Other(restarts.clone())),
            ),
            Runs::Elsewhere | Runs::Here(_) => (Client::new(listen), Client::new(control_address)),
        };
        Self { node, listen, control_address, client, control: ControlPlane::new(control, token) }
    }
}

fn refuse_if_given() {
    if GIVEN.get().is_some() {
        not_here(NEEDS_OWN);
    }
}

/// A name that no other case uses, nor any other run.
pub fn fresh_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    format!("fresh-{:016x}-{}", *RUN, COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(Running { node: Runs::Here(node), .. }) = self.running.take() {
            let _ = node.stop(); // the test has failed already, or does not care
        }
    }
}
