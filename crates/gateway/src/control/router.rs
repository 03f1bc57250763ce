//! Routes of the control plane under `/v1`. Every request, whatever its path, must name a host of ours,
//! come from no foreign page, and carry the token, before anything is looked at.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use durabo_catalog::{Catalog, ClassTarget, ComponentDigest};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::name::AppName;
use durabo_model::object::ObjectKey;
use durabo_objects::directory::ObjectAddress;
use http::header::{ALLOW, CONTENT_TYPE};
use serde::Serialize;
use tower::ServiceExt;

use super::api::{AppReport, ControlPlane, DeploymentReport, ObjectsPage, Upload};
use super::queries;
use crate::access::{AccessRules, check_origin, check_size, check_token};
use crate::address::{ObjectSegment, decode, object_segment};
use crate::body::{BodyFault, BodyLimit, RequestBody, read_body};
use crate::error_response::{JSON, Refusal, Refused, refusal_response, refuse, refuse_method};
use crate::request_id::{REQUEST_ID, RequestId, RequestIds};

/// Header in which a client may say what it means to upload.
const DIGEST: &str = "x-durabo-digest";

/// Largest body of requests other than uploads, in bytes: a statement with all its bindings.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest silence while a body is awaited.
const SILENCE_MAX: Duration = Duration::from_secs(30);

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
}

/// Answers the requests of the control plane's listener.
pub struct ControlGateway {
    config: Arc<ControlConfig>,
    routes: Router,
}

/// A refusal on its way out of a route; becomes an error record where the request's number is known.
struct RouteError(Refused);

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

type Answer = Result<Response, RouteError>;
type Config = State<Arc<ControlConfig>>;

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

fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("BUG: a report has a JSON form");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

async fn unknown() -> RouteError {
    refuse(
        ErrorCode::NotFound,
        "nothing answers at this address of the control plane; see docs/reference/control-plane.md",
    )
    .into()
}

async fn wrong_method(request: Request) -> RouteError {
    refuse_method(request.method(), "GET or POST").into()
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
    let (classes, egress) = queries::deployment(request.uri())?;
    let promised = match request.headers().get(DIGEST) {
        None => None,
        Some(value) => {
            let digest = value.to_str().unwrap_or_default().parse::<ComponentDigest>();
            Some(digest.map_err(|error| refuse(ErrorCode::InvalidArgument, format!("`{DIGEST}`: {error}")))?)
        }
    };
    let component = body(request, limits::COMPONENT_BYTES_MAX).await?;
    let hashed = component.clone();
    let digest = blocking(move || ComponentDigest::of(&hashed)).await?;
    if let Some(promised) = promised.filter(|promised| *promised != digest) {
        let message = format!(
            "the body has digest `{digest}`, `{DIGEST}` says `{promised}`; the upload was damaged on the way, send it again"
        );
        return Err(refuse(ErrorCode::InvalidBody, message).into());
    }
    let report = config.node.deploy(Upload { app, classes, egress, component, digest }).await?;
    Ok(json(&report))
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
    let target = class_target(&config, &request)?;
    let (id, name) = match object_segment(segment(&request, 7))? {
        ObjectSegment::Name(name) => (target.key.id_from_name(&name), Some(name.into_owned())),
        ObjectSegment::Id(text) => {
            let id = target.key.id_from_text(&text);
            (id.map_err(|error| refuse(ErrorCode::InvalidObjectId, error.to_string()))?, None)
        }
        ObjectSegment::New => {
            let message = "`~new` makes an object, which has nothing to query yet; name one or use `~id:`";
            return Err(refuse(ErrorCode::InvalidAddress, message).into());
        }
    };
    let key = ObjectKey { namespace: target.namespace, id };
    let address = ObjectAddress { key, class: target.class.clone(), name };
    let statements = queries::sql_request(&body(request, BODY_BYTES_MAX).await?)?;
    let report = config.node.sql(address, statements).await?;
    Ok(json(&report))
}

/// The raw segment at `index` of the path, 0 being what stands before the leading slash.
fn segment(request: &Request, index: usize) -> &str {
    request.uri().path().split('/').nth(index).unwrap_or_default()
}

fn app_name(request: &Request) -> Result<AppName, Refused> {
    let name = AppName::new(decode(segment(request, 3), "app")?);
    name.map_err(|error| refuse(ErrorCode::InvalidAddress, error.to_string()))
}

fn class_target(config: &ControlConfig, request: &Request) -> Result<Arc<ClassTarget>, Refused> {
    let app = decode(segment(request, 3), "app")?;
    let class = decode(segment(request, 5), "class")?;
    Ok(Arc::clone(config.catalog.snapshot().class_target(&app, &class)?))
}

async fn body(request: Request, bytes_max: usize) -> Result<Bytes, Refused> {
    let (parts, body) = request.into_parts();
    let limit = BodyLimit { bytes_max, silence_max: SILENCE_MAX, collected: None };
    read_body(&parts.headers, body, limit).await.map_err(|fault| match fault {
        BodyFault::TooLarge(declared) => {
            let size = declared.map_or_else(|| "longer".to_owned(), |bytes| format!("{bytes} bytes"));
            refuse(ErrorCode::BodyTooLarge, format!("the body is {size}, the limit is {bytes_max} bytes"))
        }
        BodyFault::Broken(reason) => {
            refuse(ErrorCode::InvalidBody, format!("the body ended before it was whole: {reason}"))
        }
        BodyFault::Silent | BodyFault::NoRoom => {
            refuse(ErrorCode::InvalidBody, "no more of the body came for 30 s; send it again")
        }
    })
}

/// Runs what would hold up other requests on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use durabo_model::description::{ClassDescription, ComponentDescription};
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::{NamespaceKey, ObjectId};
    use durabo_model::time::Timestamp;
    use futures::future::BoxFuture;
    use http_body_util::{BodyExt, Full};
    use serde_json::{Value, json};

    use super::super::api::{
        DeployReport, LogReport, ObjectReport, ObjectsReport, SqlReport, SqlRequest, SqlValue, StatusReport,
    };
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    /// Remembers what it was asked and answers something.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        fn note(&self, text: String) {
            self.0.lock().expect("lock").push(text);
        }
    }

    impl ControlPlane for Recorder {
        fn deploy(&self, upload: Upload) -> BoxFuture<'_, Result<DeployReport, Failure>> {
            self.note(format!("deploy {} {:?} {}", upload.app, upload.classes, upload.component.len()));
            Box::pin(async { Err(Failure::new(ErrorCode::InvalidComponent, "not a component")) })
        }

        fn objects(
            &self,
            namespace: NamespaceNumber,
            page: ObjectsPage,
        ) -> BoxFuture<'_, Result<ObjectsReport, Failure>> {
            self.note(format!("objects {namespace} {:?} {}", page.after, page.limit));
            let id = ObjectId::from_bytes([1; 32]).to_string();
            let object = ObjectReport {
                id,
                name: None,
                live: true,
                resets: Some(2),
                size_bytes: Some(4096),
                last_commit_ms: None,
            };
            Box::pin(async { Ok(ObjectsReport { objects: vec![object], more: false }) })
        }

        fn sql(
            &self,
            object: ObjectAddress,
            request: SqlRequest,
        ) -> BoxFuture<'_, Result<SqlReport, Failure>> {
            self.note(format!("sql {} {:?} {}", object.key.id, object.name, request.write));
            let rows = vec![vec![SqlValue::Integer(i64::MAX)]];
            let columns = vec!["n".to_owned()];
            Box::pin(async { Ok(SqlReport { columns, rows, rows_read: 1, rows_written: 0, cut: false }) })
        }

        fn status(&self) -> BoxFuture<'_, Result<StatusReport, Failure>> {
            self.note("status".to_owned());
            let log = LogReport {
                durable_position: 1,
                recovery_bytes: 0,
                commits: 3,
                syncs: 2,
                takes_writes: true,
            };
            if self.0.lock().expect("lock").len() > 1 {
                return Box::pin(async { Err(Failure::new(ErrorCode::Internal, "secret path")) });
            }
            Box::pin(async {
                Ok(StatusReport {
                    version: "0".to_owned(),
                    ready: true,
                    durability: "strict".to_owned(),
                    start: 1,
                    started_ms: 0,
                    apps: 1,
                    live_objects: 0,
                    live_objects_max: Some(1),
                    log,
                })
            })
        }
    }

    fn gateway() -> (tempfile::TempDir, Arc<Recorder>, ControlGateway) {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).expect("catalog");
        for code in [&b"v1"[..], b"v2"] {
            let digest = ComponentDigest::of(code);
            catalog.put_component(digest, code).expect("put");
            let class = ClassDescription {
                name: "Room".to_owned().try_into().expect("class"),
                handlers: vec![durabo_model::description::Handler::Rpc],
                doc: String::new(),
                methods: Vec::new(),
            };
            let description = ComponentDescription { classes: vec![class], entry: false };
            let app = AppName::new("demo").expect("app");
            let request = durabo_catalog::DeployRequest {
                app,
                digest,
                description,
                egress: Default::default(),
                now: Timestamp(7),
            };
            catalog.deploy(request, &|_| false).expect("deploy");
        }
        let node = Arc::new(Recorder::default());
        let config = ControlConfig {
            catalog: Arc::new(catalog),
            node: Arc::clone(&node) as Arc<dyn ControlPlane>,
            access: AccessRules::default(),
            token: TOKEN.to_owned(),
            request_ids: Arc::new(RequestIds::new(1)),
        };
        (folder, node, ControlGateway::new(config))
    }

    fn request(method: &str, path: &str) -> http::request::Builder {
        let builder = Request::builder().method(method).uri(path).header("host", "localhost:7611");
        builder.header("authorization", format!("Bearer {TOKEN}"))
    }

    async fn ask(
        gateway: &ControlGateway,
        request: http::request::Builder,
        body: &'static str,
    ) -> (Response<()>, Value) {
        let response = gateway.answer(request.body(Full::from(body)).expect("request")).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        assert_eq!(parts.headers["content-type"], "application/json");
        (Response::from_parts(parts, ()), serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn nobody_gets_in_without_the_token_or_from_a_page() {
        let (_folder, node, gateway) = gateway();
        let plain = |path| Request::builder().uri(path).header("host", "localhost");
        let cases = [
            (plain("/v1/status"), 401),
            (plain("/nothing"), 401),
            (plain("/v1/status").header("authorization", "Bearer wrong"), 401),
            (request("GET", "/v1/status").header("origin", "http://evil.example"), 403),
            (request("GET", "/v1/status").header("sec-fetch-site", "cross-site"), 403),
            (Request::builder().uri("/v1/status").header("host", "evil.example"), 403),
        ];
        for (request, status) in cases {
            let (response, body) = ask(&gateway, request, "").await;
            assert_eq!(response.status(), status, "{body}");
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        }
        assert!(node.0.lock().expect("lock").is_empty());
    }

    #[tokio::test]
    async fn apps_and_deployments_come_from_the_catalog() {
        let (_folder, _node, gateway) = gateway();
        let (_, apps) = ask(&gateway, request("GET", "/v1/apps"), "").await;
        let digest = ComponentDigest::of(b"v2").to_string();
        let class = json!({"name": "Room", "handlers": ["rpc"], "methods": []});
        let expected = json!({"apps": [
            {"name": "demo", "deployment": 2, "digest": digest, "deployedMs": 7, "classes": [class]}
        ]});
        assert_eq!(apps, expected);
        let (_, list) = ask(&gateway, request("GET", "/v1/apps/demo/deployments?limit=1"), "").await;
        assert_eq!(
            (list["deployments"][0]["deployment"].as_u64(), list["more"].as_bool()),
            (Some(2), Some(true))
        );
        let (_, list) = ask(&gateway, request("GET", "/v1/apps/demo/deployments?before=2"), "").await;
        assert_eq!(
            (list["deployments"][0]["deployment"].as_u64(), list["more"].as_bool()),
            (Some(1), Some(false))
        );
        let (response, body) = ask(&gateway, request("GET", "/v1/apps/none/deployments"), "").await;
        assert_eq!(
            (response.status().as_u16(), body["error"]["code"].as_str()),
            (404, Some("app-not-found"))
        );
    }

    #[tokio::test]
    async fn an_upload_reaches_the_node_whole_or_not_at_all() {
        let (_folder, node, gateway) = gateway();
        let path = "/v1/apps/new/deployments";
        let (response, body) =
            ask(&gateway, request("POST", &format!("{path}?class=A&class=B")), "code").await;
        assert_eq!(
            (response.status().as_u16(), body["error"]["code"].as_str()),
            (422, Some("invalid-component"))
        );
        let right = ComponentDigest::of(b"code").to_string();
        ask(&gateway, request("POST", path).header(DIGEST, right), "code").await;
        let heard = node.0.lock().expect("lock").clone();
        assert_eq!(heard, [r#"deploy new [ClassName("A"), ClassName("B")] 4"#, "deploy new [] 4"]);
        let refused = [
            (
                request("POST", path).header(DIGEST, ComponentDigest::of(b"other").to_string()),
                400,
                "invalid-body",
            ),
            (request("POST", path).header(DIGEST, "md5:1"), 400, "invalid-argument"),
            (request("POST", path).header("content-length", "1073741824"), 413, "body-too-large"),
            (request("POST", "/v1/apps/New/deployments"), 400, "invalid-address"),
            (request("POST", "/v1/apps/new/deployments?clas=A"), 400, "invalid-argument"),
        ];
        for (request, status, code) in refused {
            let (response, body) = ask(&gateway, request, "code").await;
            assert_eq!((response.status().as_u16(), body["error"]["code"].as_str()), (status, Some(code)));
        }
        assert_eq!(node.0.lock().expect("lock").len(), 2);
    }

    #[tokio::test]
    async fn objects_are_listed_by_class() {
        let (_folder, node, gateway) = gateway();
        let id = NamespaceKey::new("demo-Room").id_from_name("a");
        let path = format!("/v1/apps/demo/classes/Room/objects?after={id}&limit=5");
        let (response, body) = ask(&gateway, request("GET", &path), "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(body["objects"][0]["sizeBytes"], 4096);
        assert_eq!(node.0.lock().expect("lock").pop(), Some(format!("objects 1 Some({id}) 5")));
        let (_, body) = ask(&gateway, request("GET", "/v1/apps/demo/classes/X/objects"), "").await;
        assert_eq!(body["error"]["code"], "class-not-found");
        let (_, body) = ask(&gateway, request("GET", "/v1/apps/demo/classes/Room/objects?after=1"), "").await;
        assert_eq!(body["error"]["code"], "invalid-object-id");
    }

    #[tokio::test]
    async fn sql_names_its_object_as_the_data_plane_does() {
        let (_folder, node, gateway) = gateway();
        let path = |object: &str| format!("/v1/apps/demo/classes/Room/objects/{object}/sql");
        let body = r#"{"query":"SELECT 1","write":true}"#;
        let (_, report) = ask(&gateway, request("POST", &path("~b64:YS9i")), body).await;
        assert_eq!(report["rows"], json!([[{"$int": "9223372036854775807"}]]));
        let id = NamespaceKey::new("demo-Room").id_from_name("a/b");
        assert_eq!(node.0.lock().expect("lock").pop(), Some(format!("sql {id} Some(\"a/b\") true")));
        for object in ["a%2Fb", "~new", "~id:00"] {
            let (response, _) = ask(&gateway, request("POST", &path(object)), body).await;
            assert_eq!(response.status(), 400, "{object}");
        }
    }

    #[tokio::test]
    async fn faults_of_the_node_keep_their_detail_in_the_log() {
        let (_folder, _node, gateway) = gateway();
        let (_, status) = ask(&gateway, request("GET", "/v1/status"), "").await;
        let log = json!({
            "durablePosition": 1, "recoveryBytes": 0, "commits": 3, "syncs": 2, "takesWrites": true
        });
        assert_eq!((status["durability"].as_str(), &status["log"]), (Some("strict"), &log));
        let (response, body) = ask(&gateway, request("GET", "/v1/status"), "").await;
        assert_eq!(response.status(), 500);
        let message = body["error"]["message"].as_str().expect("message");
        assert!(message.starts_with("internal error; reference = 1-"), "{message}");
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_get_a_record() {
        let (_folder, _node, gateway) = gateway();
        let (response, body) = ask(&gateway, request("GET", "/v1/nothing"), "").await;
        assert_eq!((response.status().as_u16(), body["error"]["code"].as_str()), (404, Some("not-found")));
        let (response, body) = ask(&gateway, request("DELETE", "/v1/apps"), "").await;
        assert_eq!(
            (response.status().as_u16(), body["error"]["code"].as_str()),
            (405, Some("method-not-allowed"))
        );
        assert_eq!(response.headers()["allow"], "GET,HEAD");
    }
}
