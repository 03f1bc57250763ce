//! Rows of the catalog's tables, read and written.
//!
//! No decisions are taken here: `catalog` takes them, and `schema` says what the tables look like.

use std::collections::{BTreeMap, HashSet};

use durabo_model::description::ComponentDescription;
use durabo_model::egress::EgressRules;
use durabo_model::name::{AppName, ClassName};
use durabo_model::object::NamespaceNumber;
use durabo_model::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::digest::ComponentDigest;
use crate::error::CatalogError;
use crate::lookup::Namespace;

/// One deployment as it is stored; never changed after.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentRecord {
    /// Which app.
    pub app: AppName,
    /// 1 for the app's first, growing by one.
    pub number: u32,
    /// Its component.
    pub digest: ComponentDigest,
    /// Size of the component.
    pub component_bytes: u64,
    /// Classes with what they handle.
    pub description: ComponentDescription,
    /// When it was made.
    pub created: Timestamp,
    /// Where its objects may send requests.
    pub egress: EgressRules,
    /// Whether open sockets went over to it.
    pub keep_sockets: bool,
}

const COLUMNS: &str = "app, number, digest, component_bytes, description, created_ms, egress, keep_sockets";

/// A row before its texts are checked: SQLite's closure may only fail with SQLite's errors.
type RawDeployment = (String, u32, [u8; 32], u64, String, u64, String, bool);

fn raw_deployment(row: &Row<'_>) -> rusqlite::Result<RawDeployment> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        unsigned(row, 3)?,
        row.get(4)?,
        unsigned(row, 5)?,
        row.get(6)?,
        row.get(7)?,
    ))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn deployment(raw: RawDeployment) -> Result<DeploymentRecord, CatalogError> {
    let (app, number, digest, component_bytes, description, created_ms, egress, keep_sockets) = raw;
    let damaged =
        |reason: String| CatalogError::Damaged { what: format!("deployment {number} of `{app}`"), reason };
    let egress: Vec<String> = serde_json::from_str(&egress).map_err(|error| damaged(error.to_string()))?;
    Ok(DeploymentRecord {
        app: AppName::new(app.as_str()).map_err(|error| damaged(error.to_string()))?,
        number,
        digest: ComponentDigest::from_bytes(digest),
        component_bytes,
        description: serde_json::from_str(&description).map_err(|error| damaged(error.to_string()))?,
        created: Timestamp(created_ms),
        egress: EgressRules::parse(egress).map_err(|error| damaged(error.to_string()))?,
        keep_sockets,
    })
}

/// The newest deployment of every app.
pub fn current_deployments(connection: &Connection) -> Result<Vec<DeploymentRecord>, CatalogError> {
    let query = format!(
        "SELECT {COLUMNS} FROM deployments AS d
         WHERE number = (SELECT max(number) FROM deployments WHERE app = d.app) ORDER BY app"
    );
    let rows = query_all(connection, &query, params![], raw_deployment);
    rows.map_err(CatalogError::sqlite("reading current deployments"))?.into_iter().map(deployment).collect()
}

/// The newest deployment of one app.
pub fn current_deployment(
    connection: &Connection,
    app: &AppName,
) -> Result<Option<DeploymentRecord>, CatalogError> {
    let query = format!("SELECT {COLUMNS} FROM deployments WHERE app = ?1 ORDER BY number DESC LIMIT 1");
    let row = connection.query_row(&query, params![app.as_str()], raw_deployment).optional();
    row.map_err(CatalogError::sqlite("reading the current deployment"))?.map(deployment).transpose()
}

/// Up to `count_max` deployments of one app that are older than `before`, newest first.
pub fn deployments_before(
    connection: &Connection,
    app: &AppName,
    before: u32,
    count_max: u32,
) -> Result<Vec<DeploymentRecord>, CatalogError> {
    let query = format!(
        "SELECT {COLUMNS} FROM deployments WHERE app = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3"
    );
    let rows = query_all(connection, &query, params![app.as_str(), before, count_max], raw_deployment);
    rows.map_err(CatalogError::sqlite("reading deployments"))?.into_iter().map(deployment).collect()
}

/// Components that any deployment names.
pub fn digests(connection: &Connection) -> Result<HashSet<ComponentDigest>, CatalogError> {
    let rows = query_all(connection, "SELECT DISTINCT digest FROM deployments", params![], |row| {
        row.get::<_, [u8; 32]>(0)
    });
    let rows = rows.map_err(CatalogError::sqlite("reading digests"))?;
    Ok(rows.into_iter().map(ComponentDigest::from_bytes).collect())
}

/// Stores a new deployment.
pub fn insert_deployment(connection: &Connection, record: &DeploymentRecord) -> Result<(), CatalogError> {
    let damaged = |error: serde_json::Error| CatalogError::Damaged {
        what: format!("deployment {} of `{}`", record.number, record.app),
        reason: error.to_string(),
    };
    let description = serde_json::to_string(&record.description).map_err(damaged)?;
    let egress = serde_json::to_string(record.egress.texts()).map_err(damaged)?;
    let values = params![
        record.app.as_str(),
        record.number,
        record.digest.as_bytes(),
        record.component_bytes.cast_signed(),
        description,
        record.created.0.cast_signed(),
        egress,
        record.keep_sockets
    ];
    let query = format!("INSERT INTO deployments ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    connection.execute(&query, values).map_err(CatalogError::sqlite("storing the deployment"))?;
    Ok(())
}

/// All namespaces, with and without a deployed class.
pub fn namespaces(connection: &Connection) -> Result<Vec<Namespace>, CatalogError> {
    let query = "SELECT number, app, class, key FROM namespaces ORDER BY number";
    let rows = query_all(connection, query, params![], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?))
    });
    let rows = rows.map_err(CatalogError::sqlite("reading namespaces"))?;
    let checked = rows.into_iter().map(|(number, app, class, key)| {
        let damaged = |reason: String| CatalogError::Damaged { what: format!("namespace {number}"), reason };
        Ok(Namespace {
            number: NamespaceNumber(number),
            app: AppName::new(app).map_err(|error| damaged(error.to_string()))?,
            class: ClassName::new(class).map_err(|error| damaged(error.to_string()))?,
            key,
        })
    });
    checked.collect()
}

/// The namespaces of one app by class.
pub fn namespaces_of(
    connection: &Connection,
    app: &AppName,
) -> Result<BTreeMap<ClassName, NamespaceNumber>, CatalogError> {
    let all = namespaces(connection)?.into_iter().filter(|space| &space.app == app);
    Ok(all.map(|space| (space.class, space.number)).collect())
}

/// Makes a namespace and gives it the next number.
pub fn insert_namespace(
    connection: &Connection,
    (app, class, key): (&AppName, &ClassName, &str),
    created: Timestamp,
) -> Result<(), CatalogError> {
    let values = params![app.as_str(), class.as_str(), key, created.0.cast_signed()];
    let query = "INSERT INTO namespaces (app, class, key, created_ms) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(query, values).map_err(CatalogError::sqlite("creating a namespace"))?;
    Ok(())
}

fn query_all<T>(
    connection: &Connection,
    query: &str,
    values: &[&dyn rusqlite::ToSql],
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(query)?.query_map(values, row)?.collect()
}
