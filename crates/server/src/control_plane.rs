//! The node's side of the control plane: what needs the engine, the index or the objects.
//!
//! Glue alone: each request is carried to the crate that knows the answer, slow work to a thread that
//! may block.

use std::collections::BTreeMap;
use std::sync::Arc;

use durabo_changelog::segment_pool::SegmentPool;
use durabo_gateway::Readiness;
use durabo_gateway::control::api::{
    AlarmReport, AlarmRunReport, AlarmRunsReport, AlarmsPage, AlarmsReport, ControlPlane, DeployReport,
    DeploymentReport, LogReport, ObjectReport, ObjectsPage, ObjectsReport, SocketReport, SocketsPage,
    SocketsReport, SqlReport, SqlRequest, SqlValue, StatusReport, Upload,
};
use durabo_gateway::task_end::failure_of_task;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::time::Timestamp;
use durabo_objects::address::ObjectAddress;
use durabo_objects::alarm_runs::{AlarmRun, RunOutcome};
use durabo_objects::committer::LogPins;
use durabo_objects::control::OldSockets;
use durabo_objects::directory::Directory;
use durabo_objects::event;
use durabo_objects::index_handle::IndexHandle;
use durabo_objects::scope::Scope;
use durabo_objects::socket::{Message, SocketId};
use durabo_objects::tail::Watch;
use durabo_storage::folder::DataFolder;
use durabo_storage::object_index::{AlarmEntry, ObjectRow};
use durabo_storage::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::info;

use crate::config::Durability;
use crate::upload::Uploads;

/// What the control plane reaches of the node.
pub struct NodeControl {
    pub uploads: Arc<Uploads>,
    pub directory: Directory,
    pub folder: Arc<DataFolder>,
    pub index: IndexHandle,
    pub pins: LogPins,
    pub pool: Arc<SegmentPool>,
    pub readiness: Readiness,
    pub durability: Durability,
    pub start_number: u32,
    pub started: Timestamp,
}

impl ControlPlane for NodeControl {
    fn deploy(&self, upload: Upload) -> BoxFuture<'_, Result<DeployReport, Failure>> {
        let (uploads, index, directory) = (self.uploads.clone(), self.index.clone(), self.directory.clone());
        let work = move || {
            // Asked when the component is compiled, which may take minutes: objects are made meanwhile.
            // Memory first, since an object that leaves it is in the index by then.
            let has_objects = |namespace: NamespaceNumber| {
                directory.has_live(namespace)
                    || index.with(|index| index.count(namespace)).map_or(true, |count| count > 0)
            };
            let (deployed, notes) = uploads.deploy(&upload, &has_objects)?;
            directory.retire(&deployed.restarted, OldSockets::Cut);
            directory.retire(&deployed.restarted_with_sockets, OldSockets::Keep);
            let deployment = DeploymentReport::from(&deployed.deployment);
            if deployed.changed {
                info!(app = %deployment.app, deployment = deployment.deployment, "deployed");
            }
            Ok(DeployReport { deployment, changed: deployed.changed, notes })
        };
        blocking(work).boxed()
    }

    fn objects(
        &self,
        namespace: NamespaceNumber,
        page: ObjectsPage,
    ) -> BoxFuture<'_, Result<ObjectsReport, Failure>> {
        let (index, directory) = (self.index.clone(), self.directory.clone());
        let work = move || {
            // One more than asked for tells whether there are more.
            let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
            let rows = index.with(|index| index.list(namespace, page.after, limit)).map_err(internal)?;
            let stored = rows.into_iter().map(|row| (row.key.id, stored_report(row)));
            let mut objects: BTreeMap<_, ObjectReport> = stored.collect();
            for live in directory.live_objects() {
                let id = live.key.id;
                if live.key.namespace == namespace && page.after.is_none_or(|after| id > after) {
                    let report = objects.entry(id).or_insert_with(|| new_report(id.to_string()));
                    report.live = true;
                    report.instance = Some(live.has_instance);
                    report.starts = Some(live.starts);
                    report.resets = Some(live.resets);
                    report.name = report.name.take().or(live.name);
                }
            }
            let more = objects.len() > page.limit;
            Ok(ObjectsReport { objects: objects.into_values().take(page.limit).collect(), more })
        };
        blocking(work).boxed()
    }

    fn sql(&self, object: ObjectAddress, request: SqlRequest) -> BoxFuture<'_, Result<SqlReport, Failure>> {
        async move {
            if !request.write {
                self.expect_database(&object, "database")?;
            }
            let request = event::SqlRequest {
                query: request.query,
                bindings: request.bindings.into_iter().map(bound).collect(),
                may_write: request.write,
            };
            Ok(sql_report(self.directory.sql(object, request).await?))
        }
        .boxed()
    }

    fn alarms(
        &self,
        namespace: NamespaceNumber,
        page: AlarmsPage,
    ) -> BoxFuture<'_, Result<AlarmsReport, Failure>> {
        let (index, directory) = (self.index.clone(), self.directory.clone());
        let work = move || {
            let after = page
                .after
                .map(|after| AlarmEntry { due: after.due, key: ObjectKey { namespace, id: after.id } });
            // One more than asked for tells whether there are more.
            let mut entries = directory.list_alarms(namespace, after, page.limit + 1).map_err(internal)?;
            let more = entries.len() > page.limit;
            entries.truncate(page.limit);
            let name_of = |key: &ObjectKey| -> Result<Option<String>, Failure> {
                let of_live = directory.live_object(key).and_then(|object| object.name);
                let row = || index.with(|index| index.get(key)).map_err(internal);
                Ok(if of_live.is_some() { of_live } else { row()?.and_then(|row| row.name) })
            };
            let alarms = entries.into_iter().map(|AlarmEntry { due, key }| {
                Ok(AlarmReport { id: key.id.to_string(), name: name_of(&key)?, due_ms: due.0 })
            });
            Ok(AlarmsReport { alarms: alarms.collect::<Result<_, Failure>>()?, more })
        };
        blocking(work).boxed()
    }

    fn alarm_runs(&self, object: ObjectKey, limit: usize) -> BoxFuture<'_, Result<AlarmRunsReport, Failure>> {
        let runs = self.directory.alarm_runs(&object, limit).into_iter().map(run_report).collect();
        async { Ok(AlarmRunsReport { runs }) }.boxed()
    }

    fn run_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.expect_database(&object, "alarm")?;
            self.directory.run_alarm(object).await
        }
        .boxed()
    }

    fn cancel_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.expect_database(&object, "alarm")?;
            self.directory.cancel_alarm(object).await
        }
        .boxed()
    }

    fn sockets(&self, of: Scope, page: SocketsPage) -> BoxFuture<'_, Result<SocketsReport, Failure>> {
        let directory = self.directory.clone();
        let work = move || {
            // One more than asked for tells whether there are more.
            let mut listed = directory.list_sockets(&of, page.after, page.limit + 1);
            let more = listed.len() > page.limit;
            listed.truncate(page.limit);
            Ok(SocketsReport { sockets: listed.into_iter().map(SocketReport::from).collect(), more })
        };
        blocking(work).boxed()
    }

    fn send_to_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        message: Message,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.directory.send_to_socket(object, socket, message).boxed()
    }

    fn close_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        code: Option<u16>,
        reason: Option<String>,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.directory.close_socket(object, socket, code, reason).boxed()
    }

    fn tail(&self, of: Scope) -> Result<Watch, Failure> {
        self.directory.tail().watch(of)
    }

    fn status(&self) -> BoxFuture<'_, Result<StatusReport, Failure>> {
        let durability = match self.durability {
            Durability::Strict => "strict",
            Durability::Relaxed => "relaxed",
        };
        let (head, least) = self.pins.with(|pins, head| (*head, pins.least_needed(*head)));
        let counts = self.pins.counts();
        let report = StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: self.readiness.is_ready(),
            durability: durability.to_owned(),
            start: self.start_number,
            started_ms: self.started.0,
            apps: self.uploads.catalog.snapshot().apps().count(),
            live_objects: self.directory.live_count(),
            live_objects_max: self.directory.live_objects_max(),
            instances: self.directory.instance_count(),
            log: LogReport {
                durable_position: head.0,
                recovery_bytes: head.0 - least.0,
                commits: counts.commits,
                syncs: counts.syncs,
                memory_bytes: self.directory.wal_memory_bytes() as u64,
                takes_writes: !self.pool.is_short(),
            },
        };
        async move { Ok(report) }.boxed()
    }
}

impl NodeControl {
    /// Refuses an object that has never written anything, which a request about its `what` must not make.
    fn expect_database(&self, object: &ObjectAddress, what: &str) -> Result<(), Failure> {
        if self.directory.is_live(&object.key) || self.folder.object_path(&object.key).exists() {
            return Ok(());
        }
        let text = format!("the object has never written anything: it has no {what}");
        Err(Failure::new(ErrorCode::NotFound, text).of_object(object.key.id))
    }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Internal, error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(failure_of_task(ended)))
}

fn new_report(id: String) -> ObjectReport {
    ObjectReport {
        id,
        name: None,
        live: false,
        instance: None,
        starts: None,
        resets: None,
        size_bytes: None,
        last_commit_ms: None,
    }
}

fn stored_report(row: ObjectRow) -> ObjectReport {
    ObjectReport {
        name: row.name,
        size_bytes: Some(row.mark.file_bytes),
        last_commit_ms: Some(row.last_commit.0),
        ..new_report(row.key.id.to_string())
    }
}

fn run_report(run: AlarmRun) -> AlarmRunReport {
    let outcome = match run.outcome {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Abandoned => "abandoned",
    };
    AlarmRunReport {
        schedule: run.name,
        scheduled_ms: run.scheduled.0,
        started_ms: run.started.0,
        finished_ms: run.finished.0,
        retry_count: run.retry_count,
        outcome: outcome.to_owned(),
        error: run.error,
    }
}

fn sql_report(answer: event::SqlAnswer) -> SqlReport {
    let width = answer.columns.len().max(1);
    let mut values = answer.rows.into_iter().map(shown).peekable();
    let mut rows = Vec::new();
    while values.peek().is_some() {
        rows.push(values.by_ref().take(width).collect());
    }
    SqlReport {
        columns: answer.columns,
        rows,
        rows_read: answer.counts.rows_read,
        rows_written: answer.counts.rows_written,
        cut: answer.is_truncated,
    }
}

fn bound(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(value) => Value::Integer(value),
        SqlValue::Real(value) => Value::Real(value),
        SqlValue::Text(value) => Value::Text(value),
        SqlValue::Blob(value) => Value::Blob(value),
    }
}

fn shown(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(value) => SqlValue::Integer(value),
        Value::Real(value) => SqlValue::Real(value),
        Value::Text(value) => SqlValue::Text(value),
        Value::Blob(value) => SqlValue::Blob(value),
    }
}
