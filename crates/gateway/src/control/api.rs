//! What the control plane asks of the node, and the records that go over the wire.
//!
//! The gateway answers from the catalog what the catalog knows; for all that needs an engine or the
//! objects' storage it asks a [`ControlPlane`]. Field names of records are contract.

use bytes::Bytes;
use durabo_catalog::{ComponentDigest, DeployedApp, DeploymentRecord};
use durabo_model::description::{ClassDescription, Handler, MethodDescription};
use durabo_model::egress::EgressRules;
use durabo_model::failure::Failure;
use durabo_model::name::{AppName, ClassName};
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_objects::address::ObjectAddress;
use durabo_objects::scope::Scope;
use durabo_objects::socket::{Message, SocketId};
use durabo_objects::tail::Watch;
use futures::future::BoxFuture;
use serde::Serialize;

pub use super::alarm_report::{AlarmReport, AlarmRunReport, AlarmRunsReport, AlarmsPage, AlarmsReport};
pub use super::socket_report::{SocketReport, SocketsPage, SocketsReport};
pub use super::sql_value::SqlValue;

/// What the node does for its operator.
///
/// A failure's code gives the status. The message of one with code `internal` goes to the log only; the
/// client gets a reference to it (ST-6).
pub trait ControlPlane: Send + Sync + 'static {
    /// Checks, compiles, stores and deploys a component. Nothing has changed if it fails.
    fn deploy(&self, upload: Upload) -> BoxFuture<'_, Result<DeployReport, Failure>>;

    /// Lists the objects of a namespace that have storage or are live, in the order of their ids.
    fn objects(
        &self,
        namespace: NamespaceNumber,
        page: ObjectsPage,
    ) -> BoxFuture<'_, Result<ObjectsReport, Failure>>;

    /// Runs statements on an object's database, in a turn of their own. Refuses statements that write
    /// unless the request says that they may, and an object that has never written anything.
    fn sql(&self, object: ObjectAddress, request: SqlRequest) -> BoxFuture<'_, Result<SqlReport, Failure>>;

    /// Lists the objects of a namespace that are to be woken by their alarms, in the order of the times.
    fn alarms(
        &self,
        namespace: NamespaceNumber,
        page: AlarmsPage,
    ) -> BoxFuture<'_, Result<AlarmsReport, Failure>>;

    /// The last runs of an object's alarm, newest first, `limit` at most.
    fn alarm_runs(&self, object: ObjectKey, limit: usize) -> BoxFuture<'_, Result<AlarmRunsReport, Failure>>;

    /// Runs an object's alarm now, and is done when the handler has succeeded. Fails as the handler does, and
    /// with `not-found` if no alarm is set.
    fn run_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>>;

    /// Removes an object's alarm; `not-found` if none is set. Does not stop a run.
    fn cancel_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>>;

    /// Lists sockets that are open, in the order of their objects and of their acceptance.
    fn sockets(&self, of: Scope, page: SocketsPage) -> BoxFuture<'_, Result<SocketsReport, Failure>>;

    /// Sends a message to a socket's client, behind what its object has sent; done when it has left the object.
    /// `not-found` if there is no such socket, `socket-closed` if it is being closed.
    fn send_to_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        message: Message,
    ) -> BoxFuture<'_, Result<(), Failure>>;

    /// Closes a socket, behind what its object has sent (WS-22). Fails as
    /// [`send_to_socket`](Self::send_to_socket) does.
    fn close_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        code: Option<u16>,
        reason: Option<String>,
    ) -> BoxFuture<'_, Result<(), Failure>>;

    /// Watches what happens to objects. `overloaded` if too many watch.
    fn tail(&self, of: Scope) -> Result<Watch, Failure>;

    /// How the node is.
    fn status(&self) -> BoxFuture<'_, Result<StatusReport, Failure>>;
}

/// An uploaded component.
#[derive(Debug, Clone)]
pub struct Upload {
    /// App that is to run it.
    pub app: AppName,
    /// Classes that the client named, for a component without description.
    pub classes: Vec<ClassName>,
    /// Where its objects may send requests.
    pub egress: EgressRules,
    /// Whether open sockets go over to it.
    pub keep_sockets: bool,
    /// Its bytes.
    pub component: Bytes,
    /// Digest of the bytes, computed here.
    pub digest: ComponentDigest,
}

/// A class of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassReport {
    /// Its name.
    pub name: ClassName,
    /// What it handles.
    pub handlers: Vec<Handler>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// RPC methods, if the component describes them.
    pub methods: Vec<MethodDescription>,
}

impl From<&ClassDescription> for ClassReport {
    fn from(class: &ClassDescription) -> Self {
        Self {
            name: class.name.clone(),
            handlers: class.handlers.clone(),
            doc: class.doc.clone(),
            methods: class.methods.clone(),
        }
    }
}

/// What an upload came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployReport {
    /// The app's current deployment.
    #[serde(flatten)]
    pub deployment: DeploymentReport,
    /// False if the app ran these bytes already.
    pub changed: bool,
    /// What the author should know, one sentence each.
    pub notes: Vec<String>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentReport {
    /// Its app.
    pub app: AppName,
    /// 1 for the app's first.
    pub deployment: u32,
    /// Its component.
    pub digest: ComponentDigest,
    /// Size of the component.
    pub component_bytes: u64,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// Its classes.
    pub classes: Vec<ClassReport>,
    /// Rules by which its objects may send requests.
    pub egress: Vec<String>,
    /// Whether open sockets went over to it.
    pub keep_sockets: bool,
}

impl From<&DeploymentRecord> for DeploymentReport {
    fn from(record: &DeploymentRecord) -> Self {
        Self {
            app: record.app.clone(),
            deployment: record.number,
            digest: record.digest,
            component_bytes: record.component_bytes,
            created_ms: record.created.0,
            classes: record.description.classes.iter().map(ClassReport::from).collect(),
            egress: record.egress.texts().to_vec(),
            keep_sockets: record.keep_sockets,
        }
    }
}

/// One app.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppReport {
    /// Its name.
    pub name: AppName,
    /// Number of its current deployment.
    pub deployment: u32,
    /// Component of the current deployment.
    pub digest: ComponentDigest,
    /// When the current deployment was made, in ms since 1970.
    pub deployed_ms: u64,
    /// Its classes, by name.
    pub classes: Vec<ClassReport>,
}

impl From<&DeployedApp> for AppReport {
    fn from(app: &DeployedApp) -> Self {
        Self {
            name: app.name.clone(),
            deployment: app.deployment,
            digest: app.digest,
            deployed_ms: app.deployed.0,
            classes: app.classes().map(|class| ClassReport::from(&class.description)).collect(),
        }
    }
}

/// Which part of a list of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectsPage {
    /// Only ids greater than this.
    pub after: Option<ObjectId>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// A part of a list of objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectsReport {
    /// In the order of their ids.
    pub objects: Vec<ObjectReport>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// Its id.
    pub id: String,
    /// Its name, if it was ever reached by one.
    pub name: Option<String>,
    /// Whether it is in memory.
    pub live: bool,
    /// Whether an instance of its code runs, without which it hibernates; absent if it is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<bool>,
    /// How many instances have run since it is in memory; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// How often it was reset since it is in memory; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets: Option<u64>,
    /// Bytes of its database file; null while it has none.
    pub size_bytes: Option<u64>,
    /// Its newest commit, in ms since 1970, if the node knows it.
    pub last_commit_ms: Option<u64>,
}

/// Statements for an object's database.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRequest {
    /// One statement or several.
    pub query: String,
    /// For the parameters of the last statement.
    pub bindings: Vec<SqlValue>,
    /// Whether statements may write.
    pub write: bool,
}

/// What the last statement answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqlReport {
    /// Names in order.
    pub columns: Vec<String>,
    /// Rows, each with a value for every column.
    pub rows: Vec<Vec<SqlValue>>,
    /// As counted by SQLite.
    pub rows_read: u64,
    /// As counted by SQLite.
    pub rows_written: u64,
    /// Whether rows were left out because the answer would be too large.
    pub cut: bool,
}

/// How the node is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// Version of the program.
    pub version: String,
    /// Whether it serves.
    pub ready: bool,
    /// What "durable" means here: `strict` or `relaxed` (OG-12).
    pub durability: String,
    /// How often the node was started on this data folder.
    pub start: u32,
    /// When it was started, in ms since 1970.
    pub started_ms: u64,
    /// Deployed apps.
    pub apps: usize,
    /// Objects in memory.
    pub live_objects: usize,
    /// How many may be, if that is bounded.
    pub live_objects_max: Option<usize>,
    /// Instances that run; live objects without one hibernate.
    pub instances: usize,
    /// The change log.
    pub log: LogReport,
}

/// State of the change log: bytes counted over its whole life, the rest since the node was started.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReport {
    /// End of what is on disk.
    pub durable_position: u64,
    /// Bytes that a restart would have to read.
    pub recovery_bytes: u64,
    /// Commits that became durable.
    pub commits: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Bytes of memory that hold what is not in objects' files yet.
    pub memory_bytes: u64,
    /// Whether there is space for writes.
    pub takes_writes: bool,
}
