//! Records about alarms that go over the wire: which objects are to be woken, and past runs.
//!
//! Field names are contract.

use durabo_model::object_id::ObjectId;
use durabo_model::time::Timestamp;
use serde::Serialize;

/// Where a part of a list of alarms begins: behind this alarm, in the order of the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmPosition {
    /// When its object is to be woken.
    pub due: Timestamp,
    /// Its object.
    pub id: ObjectId,
}

/// Which part of a list of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmsPage {
    /// Only alarms behind this one.
    pub after: Option<AlarmPosition>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// A part of a list of alarms.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmsReport {
    /// In the order of their times.
    pub alarms: Vec<AlarmReport>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// An object that is to be woken.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmReport {
    /// The object's id.
    pub id: String,
    /// Its name, if it was ever reached by one.
    pub name: Option<String>,
    /// When it is to be woken, in ms since 1970; of an alarm that has failed the time of the next try.
    pub due_ms: u64,
}

/// The last runs of an object's alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmRunsReport {
    /// Newest first.
    pub runs: Vec<AlarmRunReport>,
}

/// One past run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmRunReport {
    /// Name of the named alarm that it was of; null for the alarm itself.
    pub schedule: Option<String>,
    /// The time that was set, in ms since 1970.
    pub scheduled_ms: u64,
    /// When the handler was called.
    pub started_ms: u64,
    /// When it had returned, or was cut.
    pub finished_ms: u64,
    /// Counted tries before it.
    pub retry_count: u32,
    /// `succeeded`, `failed` if it is or was tried again, `abandoned` if not.
    pub outcome: String,
    /// What the failure said.
    pub error: Option<String>,
}

/// What a request that changes an alarm did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmDone {
    /// `run` or `cancelled`.
    pub done: &'static str,
}
