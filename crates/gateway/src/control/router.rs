//! Routes of the control plane under `/v1`. Every request, whatever its path, must name a host of ours,
//! come from no foreign page, and carry the token, before anything is looked at.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use durabo_catalog::ComponentDigest;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use http::header::ALLOW;
use serde::Serialize;
use tower::ServiceExt;

use super::alarm_routes;
use super::api::{AppReport, DeploymentReport, ObjectsPage, Upload};
use super::queries::{self, Deployment};
use super::route::{
    Answer, Config, ControlConfig, RouteError, app_name, body, class_target, json, object_address,
};
use super::socket_routes;
use super::tail_routes;
use crate::access::{check_origin, check_size, check_token};
use crate::body::RequestBody;
use crate::error_response::{Refusal, Refused, refusal_response, refuse, refuse_method};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::task_end::failure_of_task;

/// Header in which a client may say what it means to upload.
const DIGEST: &str = "x-durabo-digest";

/// Largest body of requests other than uploads, in bytes: a statement with all its bindings.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Answers the requests of the control plane's listener.
pub struct ControlGateway {
    config: Arc<ControlConfig>,
    routes: Router,
}

impl ControlGateway {
    /// A control plane that is ready to answer.
    pub fn new(config: ControlConfig) -> Self {
        let config = Arc::new(config);
        let routes = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/apps", get(apps))
            .route("/v1/apps/{app}/deployments", get(deployments).post(deploy))
            .route("/v1/apps/{app}/classes/{class}/objects", get(objects))
            .route("/v1/apps/{app}/classes/{class}/objects/{object}/sql", post(sql))
            .merge(alarm_routes::routes())
            .merge(socket_routes::routes())
            .merge(tail_routes::routes())
            .fallback(unknown)
            .method_not_allowed_fallback(wrong_method)
            .with_state(Arc::clone(&config));
        Self { config, routes }
    }

    /// Answers one request; every fault becomes an error record.
    pub async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: RequestBody + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let id = self.config.request_ids.next();
        let mut response = match self.admit(&request) {
            Err(refused) => refusal_response(*refused, id).map(Body::new),
            // A router fails never: what it cannot route goes to the fallback.
            Ok(()) => match self.routes.clone().oneshot(request.map(Body::new)).await {
                Ok(response) => with_record(response, id),
                Err(never) => match never {},
            },
        };
        response.headers_mut().insert(REQUEST_ID, id.header_value());
        response
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(), Refused> {
        let host = self.config.access.check_host(request.uri(), request.headers())?;
        check_size(request.headers())?;
        check_origin(request.headers(), host)?;
        check_token(request.headers(), &self.config.token)
    }
}

/// Turns what [`RouteError`] left into the record.
fn with_record(mut response: Response, id: RequestId) -> Response {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
    let allow = response.headers_mut().remove(ALLOW);
    let mut record = refusal_response(refusal, id).map(Body::new);
    // The routes know better than the handler which methods there are.
    if let Some(allow) = allow {
        record.headers_mut().insert(ALLOW, allow);
    }
    record
}

async fn unknown() -> RouteError {
    refuse(
        ErrorCode::NotFound,
        "nothing answers at this address of the control plane; see docs/reference/control-plane.md",
    )
    .into()
}

async fn wrong_method(request: Request) -> RouteError {
    refuse_method(request.method(), "GET, POST or DELETE, as its page says").into()
}

async fn status(State(config): Config) -> Answer {
    Ok(json(&config.node.status().await?))
}

#[derive(Serialize)]
struct Apps {
    apps: Vec<AppReport>,
}

async fn apps(State(config): Config) -> Answer {
    let snapshot = config.catalog.snapshot();
    Ok(json(&Apps { apps: snapshot.apps().map(|app| AppReport::from(&**app)).collect() }))
}

#[derive(Serialize)]
struct Deployments {
    deployments: Vec<DeploymentReport>,
    more: bool,
}

async fn deployments(State(config): Config, request: Request) -> Answer {
    let app = app_name(&request)?;
    let (before, limit) = queries::page(request.uri(), "before")?;
    let before = before.map(|number| number.parse()).transpose();
    let before: Option<u32> = before
        .map_err(|_| refuse(ErrorCode::InvalidArgument, "`before` must be the number of a deployment"))?;
    config.catalog.snapshot().app(app.as_str()).map_err(Refused::from)?;
    let catalog = Arc::clone(&config.catalog);
    // One more than asked for tells whether there are more.
    let list = blocking(move || catalog.deployments(&app, before, limit as u32 + 1)).await?;
    let mut list = list.map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let more = list.len() > limit;
    list.truncate(limit);
    Ok(json(&Deployments { deployments: list.iter().map(DeploymentReport::from).collect(), more }))
}

async fn deploy(State(config): Config, request: Request) -> Answer {
    let app = app_name(&request)?;
    let Deployment { classes, egress, keep_sockets } = queries::deployment(request.uri())?;
    let promised = match request.headers().get(DIGEST) {
        None => None,
        Some(value) => {
            let digest = value.to_str().unwrap_or_default().parse::<ComponentDigest>();
            Some(digest.map_err(|error| refuse(ErrorCode::InvalidArgument, format!("`{DIGEST}`: {error}")))?)
        }
    };
    let component = body(&config, request, limits::COMPONENT_BYTES_MAX).await?;
    let hashed = component.clone();
    let digest = blocking(move || ComponentDigest::of(&hashed)).await?;
    if let Some(promised) = promised.filter(|promised| *promised != digest) {
        let message = format!(
            "the body has digest `{digest}`, `{DIGEST}` says `{promised}`; the upload was damaged on the way, send it again"
        );
        return Err(refuse(ErrorCode::InvalidBody, message).into());
    }
    let upload = Upload { app, classes, egress, keep_sockets, component, digest };
    Ok(json(&config.node.deploy(upload).await?))
}

async fn objects(State(config): Config, request: Request) -> Answer {
    let target = class_target(&config, &request)?;
    let (after, limit) = queries::page(request.uri(), "after")?;
    let after = after.map(|text| target.key.id_from_text(&text)).transpose();
    let after = after.map_err(|error| refuse(ErrorCode::InvalidObjectId, error.to_string()))?;
    let report = config.node.objects(target.namespace, ObjectsPage { after, limit }).await?;
    Ok(json(&report))
}

async fn sql(State(config): Config, request: Request) -> Answer {
    let address = object_address(&config, &request)?;
    let statements = queries::sql_request(&body(&config, request, BODY_BYTES_MAX).await?)?;
    let report = config.node.sql(address, statements).await?;
    Ok(json(&report))
}

/// Runs what would hold up other requests on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(failure_of_task)
}

#[cfg(test)]
mod tests;
