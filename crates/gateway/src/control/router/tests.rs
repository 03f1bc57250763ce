//! What the control plane answers: access, routes, pages of lists, errors.
//!
//! A recorder stands in for the node; uploads and SQL are tested against a real node by the conformance suite.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use durabo_catalog::Catalog;
use durabo_model::description::{ClassDescription, ComponentDescription};
use durabo_model::name::AppName;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::{NamespaceKey, ObjectId};
use durabo_model::time::Timestamp;
use durabo_objects::address::ObjectAddress;
use durabo_objects::open_sockets::OpenSocket;
use durabo_objects::scope::Scope;
use durabo_objects::socket::{Lifetime, Message, ReadyState, SocketId, SocketOverview, Waiting};
use durabo_objects::tail::{Tail, Watch};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::super::api::{
    AlarmReport, AlarmRunReport, AlarmRunsReport, AlarmsPage, AlarmsReport, ControlPlane, DeployReport,
    LogReport, ObjectReport, ObjectsReport, SocketsPage, SocketsReport, SqlReport, SqlRequest, SqlValue,
    StatusReport,
};
use super::*;
use crate::access::AccessRules;
use crate::request_id::RequestIds;

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
            instance: Some(false),
            starts: Some(3),
            resets: Some(2),
            size_bytes: Some(4096),
            last_commit_ms: None,
        };
        Box::pin(async { Ok(ObjectsReport { objects: vec![object], more: false }) })
    }

    fn sql(&self, object: ObjectAddress, request: SqlRequest) -> BoxFuture<'_, Result<SqlReport, Failure>> {
        self.note(format!("sql {} {:?} {}", object.key.id, object.name, request.write));
        let rows = vec![vec![SqlValue::Integer(i64::MAX)]];
        let columns = vec!["n".to_owned()];
        Box::pin(async { Ok(SqlReport { columns, rows, rows_read: 1, rows_written: 0, cut: false }) })
    }

    fn alarms(
        &self,
        namespace: NamespaceNumber,
        page: AlarmsPage,
    ) -> BoxFuture<'_, Result<AlarmsReport, Failure>> {
        let after = page.after.map(|after| (after.due.0, after.id.to_string()));
        self.note(format!("alarms {namespace} {after:?} {}", page.limit));
        let alarm = AlarmReport { id: "ff".to_owned(), name: Some("a".to_owned()), due_ms: 5 };
        Box::pin(async { Ok(AlarmsReport { alarms: vec![alarm], more: true }) })
    }

    fn alarm_runs(&self, object: ObjectKey, limit: usize) -> BoxFuture<'_, Result<AlarmRunsReport, Failure>> {
        self.note(format!("runs {} {limit}", object.id));
        let run = AlarmRunReport {
            schedule: None,
            scheduled_ms: 1,
            started_ms: 2,
            finished_ms: 3,
            retry_count: 4,
            outcome: "failed".to_owned(),
            error: Some("no".to_owned()),
        };
        Box::pin(async { Ok(AlarmRunsReport { runs: vec![run] }) })
    }

    fn run_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>> {
        self.note(format!("run {:?}", object.name));
        Box::pin(async { Ok(()) })
    }

    fn cancel_alarm(&self, object: ObjectAddress) -> BoxFuture<'_, Result<(), Failure>> {
        self.note(format!("cancel {:?}", object.name));
        Box::pin(async { Err(Failure::new(ErrorCode::NotFound, "no alarm is set")) })
    }

    fn sockets(&self, of: Scope, page: SocketsPage) -> BoxFuture<'_, Result<SocketsReport, Failure>> {
        let of = match of {
            Scope::Object(key) => format!("object {}", key.id),
            Scope::Namespaces(namespaces) => format!("namespaces {namespaces:?}"),
        };
        let after = page.after.map(|after| format!("{}-{}", after.object.id, after.socket.0));
        self.note(format!("sockets of {of} {after:?} {}", page.limit));
        let waiting = |count: usize, bytes: usize| Waiting { count, bytes };
        let socket = SocketOverview {
            id: SocketId(1 << 60),
            tags: vec!["t".to_owned()],
            protocol: String::new(),
            state: ReadyState::Closing,
            lifetime: Lifetime::KeepAwake,
            accepted: Timestamp(5),
            outgoing: waiting(2, 200),
            incoming: waiting(1, 10),
        };
        let object = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([1; 32]) };
        let class = "Room".to_owned().try_into().expect("class");
        let open = OpenSocket { object, class, name: None, is_live: true, has_instance: false, socket };
        Box::pin(async { Ok(SocketsReport { sockets: vec![open.into()], more: true }) })
    }

    fn send_to_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        message: Message,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.note(format!("send {:?} {} {message:?}", object.name, socket.0));
        Box::pin(async { Ok(()) })
    }

    fn close_socket(
        &self,
        object: ObjectAddress,
        socket: SocketId,
        code: Option<u16>,
        reason: Option<String>,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.note(format!("close {:?} {} {code:?} {reason:?}", object.name, socket.0));
        Box::pin(async { Err(Failure::new(ErrorCode::SocketClosed, "it is being closed")) })
    }

    fn tail(&self, of: Scope) -> Result<Watch, Failure> {
        self.note(format!("tail of {of:?}"));
        let tail = Tail::default();
        let watch = tail.watch(of);
        // So that the answer ends.
        tail.close();
        watch
    }

    fn status(&self) -> BoxFuture<'_, Result<StatusReport, Failure>> {
        self.note("status".to_owned());
        let log = LogReport {
            durable_position: 1,
            recovery_bytes: 0,
            commits: 3,
            syncs: 2,
            memory_bytes: 4096,
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
                instances: 0,
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
            keep_sockets: false,
            now: Timestamp(7),
        };
        catalog.deploy(request, &|_| false).expect("deploy");
    }
    let node = Arc::new(Recorder::default());
    let config = ControlConfig {
        body_silence_max: Duration::from_secs(7),
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
    assert_eq!((response.status().as_u16(), body["error"]["code"].as_str()), (404, Some("app-not-found")));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_falls_silent_is_given_up_after_the_time_that_was_set() {
    let (_folder, node, gateway) = gateway();
    let silent = http_body_util::StreamBody::new(futures::stream::pending::<Result<_, std::io::Error>>());
    let silent = http_body_util::combinators::BoxBody::<Bytes, _>::new(silent);
    let request = request("POST", "/v1/apps/new/deployments").body(silent).expect("request");
    let response = gateway.answer(request).await;
    assert_eq!(response.status(), 400);
    let body = response.into_body().collect().await.expect("body").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("nothing came for 7 s"), "{body:?}");
    assert!(node.0.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn an_upload_reaches_the_node_whole_or_not_at_all() {
    let (_folder, node, gateway) = gateway();
    let path = "/v1/apps/new/deployments";
    let (response, body) = ask(&gateway, request("POST", &format!("{path}?class=A&class=B")), "code").await;
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
async fn alarms_are_listed_from_a_position_run_and_cancelled() {
    let (_folder, node, gateway) = gateway();
    let heard = || node.0.lock().expect("lock").pop().unwrap_or_default();
    let of_class = "/v1/apps/demo/classes/Room";
    let id = NamespaceKey::new("demo-Room").id_from_name("a");
    let list = |query: &str| request("GET", &format!("{of_class}/alarms{query}"));
    let (_, body) = ask(&gateway, list(&format!("?after=17-{id}&limit=5")), "").await;
    assert_eq!(body, json!({"alarms": [{"id": "ff", "name": "a", "dueMs": 5}], "more": true}));
    assert_eq!(heard(), format!("alarms 1 Some((17, \"{id}\")) 5"));
    for query in
        [format!("?after={id}"), "?after=17".to_owned(), "?after=17-ff".to_owned(), "?at=1".to_owned()]
    {
        let (response, _) = ask(&gateway, list(&query), "").await;
        assert_eq!((response.status().as_u16(), heard()), (400, String::new()), "{query}");
    }
    let alarm = format!("{of_class}/objects/a/alarm");
    let (_, body) = ask(&gateway, request("GET", &format!("{alarm}/runs?limit=2")), "").await;
    let run = json!({"scheduledMs": 1, "startedMs": 2, "finishedMs": 3, "retryCount": 4, "outcome": "failed",
        "error": "no", "schedule": null});
    assert_eq!((body, heard()), (json!({"runs": [run]}), format!("runs {id} 2")));
    let (_, body) = ask(&gateway, request("POST", &format!("{alarm}/run")), "").await;
    assert_eq!((body, heard()), (json!({"done": "run"}), r#"run Some("a")"#.to_owned()));
    let (response, body) = ask(&gateway, request("DELETE", &alarm), "").await;
    assert_eq!((response.status().as_u16(), &body["error"]["code"]), (404, &json!("not-found")));
    assert_eq!(heard(), r#"cancel Some("a")"#);
}

#[tokio::test]
async fn sockets_are_listed_by_app_class_and_object_from_a_position() {
    let (_folder, node, gateway) = gateway();
    let heard = || node.0.lock().expect("lock").pop().unwrap_or_default();
    let id = NamespaceKey::new("demo-Room").id_from_name("a");
    let list = |path: &str| request("GET", &format!("/v1/apps/demo{path}"));
    let (_, body) = ask(&gateway, list("/sockets"), "").await;
    let socket = json!({
        "socket": "1152921504606846976", "class": "Room", "id": "01".repeat(32), "name": null, "live": true,
        "instance": false, "state": "closing", "keepAwake": true, "tags": ["t"], "protocol": null, "openedMs": 5,
        "outgoing": {"messages": 2, "bytes": 200}, "incoming": {"messages": 1, "bytes": 10}
    });
    assert_eq!(body, json!({"sockets": [socket], "more": true}));
    assert_eq!(heard(), "sockets of namespaces [NamespaceNumber(1)] None 100");
    ask(&gateway, list(&format!("/classes/Room/sockets?after={id}-7&limit=5")), "").await;
    assert_eq!(heard(), format!("sockets of namespaces [NamespaceNumber(1)] Some(\"{id}-7\") 5"));
    ask(&gateway, list("/classes/Room/objects/a/sockets"), "").await;
    assert_eq!(heard(), format!("sockets of object {id} None 100"));
    let wrong = [
        ("/sockets?after=7", 400),
        ("/sockets?after=ff-7", 400),
        ("/sockets?tag=a", 400),
        ("/classes/Hall/sockets", 404),
        ("/classes/Room/objects/~new/sockets", 400),
    ];
    for (path, status) in wrong {
        let (response, body) = ask(&gateway, list(path), "").await;
        assert_eq!((response.status().as_u16(), heard()), (status, String::new()), "{path}: {body}");
    }
    let (_, body) = ask(&gateway, request("GET", "/v1/apps/none/sockets"), "").await;
    assert_eq!(body["error"]["code"], "app-not-found");
}

#[tokio::test]
async fn a_socket_is_sent_texts_and_bytes_and_closed_with_code_and_reason() {
    let (_folder, node, gateway) = gateway();
    let heard = || node.0.lock().expect("lock").pop().unwrap_or_default();
    let of = |rest: &str| format!("/v1/apps/demo/classes/Room/objects/a/sockets/{rest}");
    let (_, body) = ask(&gateway, request("POST", &of("7/message")), "hi").await;
    assert_eq!((body, heard()), (json!({"done": "sent"}), r#"send Some("a") 7 Text("hi")"#.to_owned()));
    ask(&gateway, request("POST", &of("7/message?binary=true")), "hi").await;
    assert_eq!(heard(), r#"send Some("a") 7 Binary([104, 105])"#);
    let (response, body) = ask(&gateway, request("DELETE", &of("7?code=4000&reason=go%20home")), "").await;
    assert_eq!((response.status().as_u16(), &body["error"]["code"]), (409, &json!("socket-closed")));
    assert_eq!(heard(), r#"close Some("a") 7 Some(4000) Some("go home")"#);
    let wrong = [
        ("POST", of("x/message"), 400),
        ("POST", of("7/message?type=text"), 400),
        ("DELETE", of("7?code=now"), 400),
        ("GET", of("7/message"), 405),
    ];
    for (method, path, status) in wrong {
        let (response, body) = ask(&gateway, request(method, &path), "").await;
        assert_eq!((response.status().as_u16(), heard()), (status, String::new()), "{path}: {body}");
    }
    let not_text = request("POST", &of("7/message")).body(Full::from(&b"\xff"[..])).expect("request");
    assert_eq!((gateway.answer(not_text).await.status().as_u16(), heard()), (400, String::new()));
}

#[tokio::test]
async fn what_happens_is_told_line_by_line_for_as_long_as_somebody_watches() {
    let (_folder, node, gateway) = gateway();
    let heard = || node.0.lock().expect("lock").pop().unwrap_or_default();
    let id = NamespaceKey::new("demo-Room").id_from_name("a");
    let of_namespace = "tail of Namespaces([NamespaceNumber(1)])".to_owned();
    let object = ObjectKey { namespace: NamespaceNumber(1), id };
    for (path, expected) in [
        ("/tail", of_namespace.clone()),
        ("/classes/Room/tail", of_namespace),
        ("/classes/Room/objects/a/tail", format!("tail of {:?}", Scope::Object(object))),
    ] {
        let request = request("GET", &format!("/v1/apps/demo{path}")).body(Full::from("")).expect("request");
        let response = gateway.answer(request).await;
        assert_eq!(response.headers()["content-type"], "application/x-ndjson", "{path}");
        let lines = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!((&lines[..], heard()), (&b"\n"[..], expected), "{path}");
    }
    for (path, status) in [("/tail?limit=1", 400), ("/classes/Hall/tail", 404)] {
        let (response, _) = ask(&gateway, request("GET", &format!("/v1/apps/demo{path}")), "").await;
        assert_eq!((response.status().as_u16(), heard()), (status, String::new()), "{path}");
    }
}

#[tokio::test]
async fn faults_of_the_node_keep_their_detail_in_the_log() {
    let (_folder, _node, gateway) = gateway();
    let (_, status) = ask(&gateway, request("GET", "/v1/status"), "").await;
    let log = json!({
        "durablePosition": 1, "recoveryBytes": 0, "commits": 3, "syncs": 2, "memoryBytes": 4096, "takesWrites": true
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
