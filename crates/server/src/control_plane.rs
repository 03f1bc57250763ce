//! The node's side of the control plane: what needs the engine, the index or the objects.
//!
//! Glue alone: each request is carried to the crate that knows the answer, and slow work to a thread
//! that may block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use durabo_catalog::{Catalog, CatalogError, DeployRequest};
use durabo_gateway::control::api::{
    ControlPlane, DeployReport, DeploymentReport, LogReport, ObjectReport, ObjectsPage, ObjectsReport,
    SqlReport, SqlRequest, SqlValue, StatusReport, Upload,
};
use durabo_gateway::Readiness;
use durabo_model::description::{ClassDescription, ComponentDescription};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::ObjectId;
use durabo_model::time::{Clock, Timestamp};
use durabo_objects::committer::LogPins;
use durabo_objects::directory::{Directory, ObjectAddress};
use durabo_objects::event;
use durabo_runtime::compile::{CheckedComponent, Compiler};
use durabo_storage::object_index::ObjectIndex;
use durabo_storage::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::config::{Durability, NodeConfig};

/// What the control plane reaches of the node.
pub struct NodeControl {
    pub config: NodeConfig,
    pub catalog: Arc<Catalog>,
    pub compiler: Arc<Compiler>,
    pub directory: Directory,
    pub index: Arc<Mutex<ObjectIndex>>,
    pub pins: LogPins,
    pub clock: Arc<dyn Clock>,
    pub readiness: Readiness,
    pub start_number: u32,
    pub started: Timestamp,
}
