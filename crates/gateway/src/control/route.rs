//! What the routes of the control plane have in common: their state, their answers, and the names in their paths.
//!
//! A refusal leaves a route as an extension of the response; the router makes a record of it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use durabo_catalog::{Catalog, ClassTarget};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::name::AppName;
use durabo_model::object::ObjectKey;
use durabo_objects::address::ObjectAddress;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::api::ControlPlane;
use crate::access::AccessRules;
use crate::address::{ObjectSegment, decode, object_segment};
use crate::body::{BodyLimit, BodyName, read_body};
use crate::error_response::{JSON, Refused, refuse};
use crate::request_id::RequestIds;

/// What the control plane is made of.
pub struct ControlConfig {
    /// What is deployed.
    pub catalog: Arc<Catalog>,
    /// Who does the work.
    pub node: Arc<dyn ControlPlane>,
    /// Names of the node.
    pub access: AccessRules,
    /// The secret that every request must carry. An empty one admits nobody.
    pub token: String,
    /// Numbers of requests, shared with the data plane.
    pub request_ids: Arc<RequestIds>,
    /// Longest silence while a body is awaited, as on the data plane.
    pub body_silence_max: Duration,
}

/// A refusal on its way out of a route; becomes an error record where the request's number is known.
pub(super) struct RouteError(Refused);

impl From<Refused> for RouteError {
    fn from(refused: Refused) -> Self {
        Self(refused)
    }
}

impl From<Failure> for RouteError {
    fn from(failure: Failure) -> Self {
        Self(failure.into())
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(*self.0);
        response
    }
}

/// What a route answers.
pub(super) type Answer = Result<Response, RouteError>;
/// What all routes share.
pub(super) type ControlState = Arc<ControlConfig>;
/// What a route is handed.
pub(super) type Config = State<ControlState>;

/// A success with a record.
pub(super) fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("BUG: a report has a JSON form");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The raw segment at `index` of the path, 0 being what stands before the leading slash.
pub(super) fn segment(request: &Request, index: usize) -> &str {
    request.uri().path().split('/').nth(index).unwrap_or_default()
}

/// The app that a path names.
pub(super) fn app_name(request: &Request) -> Result<AppName, Refused> {
    let name = AppName::new(decode(segment(request, 3), "app")?);
    name.map_err(|error| refuse(ErrorCode::InvalidAddress, error.to_string()))
}

/// All classes of the app that a path names, by the numbers of their namespaces.
pub(super) fn classes_of_app(
    config: &ControlConfig,
    request: &Request,
) -> Result<Vec<Arc<ClassTarget>>, Refused> {
    let name = app_name(request)?;
    let snapshot = config.catalog.snapshot();
    let mut classes: Vec<_> = snapshot.app(name.as_str())?.classes().cloned().collect();
    classes.sort_unstable_by_key(|class| class.namespace);
    Ok(classes)
}

/// The class that a path names after its app.
pub(super) fn class_target(config: &ControlConfig, request: &Request) -> Result<Arc<ClassTarget>, Refused> {
    let app = decode(segment(request, 3), "app")?;
    let class = decode(segment(request, 5), "class")?;
    Ok(Arc::clone(config.catalog.snapshot().class_target(&app, &class)?))
}

/// The object that a path names after its class.
pub(super) fn object_address(config: &ControlConfig, request: &Request) -> Result<ObjectAddress, Refused> {
    let target = class_target(config, request)?;
    let (id, name) = match object_segment(segment(request, 7))? {
        ObjectSegment::Name(name) => (target.key.id_from_name(&name), Some(name.into_owned())),
        ObjectSegment::Id(text) => {
            let id = target.key.id_from_text(&text);
            (id.map_err(|error| refuse(ErrorCode::InvalidObjectId, error.to_string()))?, None)
        }
        ObjectSegment::New => {
            let message = "`~new` makes an object, of which nothing can be asked yet; name one or use `~id:`";
            return Err(refuse(ErrorCode::InvalidAddress, message));
        }
    };
    let key = ObjectKey { namespace: target.namespace, id };
    Ok(ObjectAddress { key, class: target.class.clone(), name })
}

/// The body of a request, whole.
pub(super) async fn body(
    config: &ControlConfig,
    request: Request,
    bytes_max: usize,
) -> Result<Bytes, Refused> {
    let (parts, body) = request.into_parts();
    let silence_max = config.body_silence_max;
    let read = read_body(&parts.headers, body, BodyLimit { bytes_max, silence_max, collected: None }).await;
    let name = BodyName { name: "the body", bytes_max: bytes_max as u64, silence_max };
    read.map_err(|fault| fault.refusal(name))
}
