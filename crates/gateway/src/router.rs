//! The data plane: every request of its listener passes here, is let in or refused, and finds its way.
//!
//! A plain function over the path instead of layers, since this is the hottest code of the gateway:
//! nothing is boxed, and what is deployed is read from the catalog's snapshot.

use std::sync::Arc;

use durabo_catalog::Catalog;
use durabo_model::error_code::ErrorCode;
use durabo_model::limits::{self, HttpLimits};
use durabo_model::random::Random;
use http::{Request, Response};

use crate::access::{AccessRules, check_origin, check_size};
use crate::address::Address;
use crate::body::{CollectedBytes, RequestBody};
use crate::error_response::{Refused, refusal_response, refuse};
use crate::fetch::{FetchContext, FetchRequest, fetch};
use crate::health::{Readiness, about, healthz, readyz};
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::resolve::{Deliver, resolve};
use crate::rpc::{self, method_of};
use crate::sent_body::SentBody;
use crate::websocket::tasks::SocketTasks;

/// What the data plane is made of.
pub struct DataPlaneConfig<D> {
    /// What is deployed.
    pub catalog: Arc<Catalog>,
    /// Where events go.
    pub objects: D,
    /// Names of the node.
    pub access: AccessRules,
    /// Numbers of requests, shared with the control plane.
    pub request_ids: Arc<RequestIds>,
    /// For the ids of new objects.
    pub random: Arc<dyn Random>,
    /// What `/readyz` answers.
    pub readiness: Readiness,
    /// What clients may take.
    pub limits: HttpLimits,
    /// Their WebSockets.
    pub sockets: Arc<SocketTasks>,
}

/// Answers the requests of the data plane's listener.
pub struct DataPlane<D> {
    config: DataPlaneConfig<D>,
    collected: CollectedBytes,
}

impl<D: Deliver> DataPlane<D> {
    /// A data plane that is ready to answer.
    pub fn new(config: DataPlaneConfig<D>) -> Self {
        let collected = CollectedBytes::new(config.limits.arguments_bytes_max);
        Self { config, collected }
    }

    /// Answers one request; every fault becomes an error record. Dropping the future means that the
    /// client left: an event that was delivered runs on (ST-10).
    pub async fn answer(&self, request: Request<impl RequestBody>) -> Response<SentBody> {
        let id = self.config.request_ids.next();
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(request = %id, code = refusal.failure.code, "request refused");
                refusal_response(*refusal, id)
            }
        };
        // An object that sets the header itself keeps its own (ST-13).
        response.headers_mut().entry(REQUEST_ID).or_insert_with(|| id.header_value());
        response
    }

    async fn route(&self, request: Request<impl RequestBody>) -> Result<Response<SentBody>, Refused> {
        let (parts, body) = request.into_parts();
        let host = self.config.access.check_host(&parts.uri, &parts.headers)?;
        check_size(&parts.headers)?;
        let path = parts.uri.path();
        let target_bytes = path.len() + parts.uri.query().map_or(0, |query| 1 + query.len());
        if target_bytes > limits::TARGET_BYTES_MAX {
            let message = format!(
                "path and query are {target_bytes} bytes, the limit is {} bytes; send the rest in the body",
                limits::TARGET_BYTES_MAX
            );
            return Err(refuse(ErrorCode::TargetTooLong, message));
        }
        match path.split('/').nth(1).unwrap_or_default() {
            "o" => {
                let address = Address::parse(path)?;
                let resolved = resolve(&self.config.catalog.snapshot(), &*self.config.random, &address)?;
                let DataPlaneConfig { objects, limits, sockets, .. } = &self.config;
                let request = FetchRequest { resolved, address: &address, host, parts: &parts, body };
                fetch(FetchContext { objects, limits, sockets }, request).await
            }
            "rpc" => {
                check_origin(&parts.headers, host)?;
                let address = Address::parse(path)?;
                // Before the lookup: what can never be called is refused in whatever class.
                let method = method_of(&parts, &address)?;
                let resolved = resolve(&self.config.catalog.snapshot(), &*self.config.random, &address)?;
                let clients = (&self.config.limits, &self.collected);
                rpc::call(&self.config.objects, resolved, method, (&parts, body), clients).await
            }
            "healthz" if path == "/healthz" => healthz(&parts.method),
            "readyz" if path == "/readyz" => readyz(&parts.method, &self.config.readiness),
            "" if path == "/" => about(&parts.method),
            _ => Err(refuse(
                ErrorCode::NotFound,
                "nothing answers at this address; objects are at `/o/{app}/{Class}/{name}/{path…}` and \
                 `/rpc/{app}/{Class}/{name}/{method}`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use durabo_catalog::{ComponentDigest, DeployRequest};
    use durabo_model::description::{ClassDescription, ComponentDescription, Handler};
    use durabo_model::failure::Failure;
    use durabo_model::name::{AppName, ClassName};
    use durabo_model::object_id::NamespaceKey;
    use durabo_model::time::Timestamp;
    use durabo_objects::address::ObjectAddress;
    use durabo_objects::event::{Event, HttpResponse, Origin, Outcome, Reply, TraceContext};
    use http_body_util::{BodyExt, Full};
    use serde_json::Value;
    use tokio::runtime::Handle;

    use super::*;

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    /// Objects that answer with what they were asked, and remember whom it was meant for.
    #[derive(Default)]
    struct Echo(Mutex<Vec<(ObjectAddress, Option<TraceContext>)>>);

    impl Deliver for Arc<Echo> {
        async fn deliver(&self, address: ObjectAddress, event: Event, origin: Origin) -> Outcome {
            self.0.lock().expect("lock").push((address, origin.trace));
            match event {
                Event::Fetch(request) if request.url.ends_with("/unknown") => {
                    let headers = vec![("x-a".to_owned(), b"b".to_vec())];
                    Ok(Reply::Fetch(HttpResponse {
                        status: 404,
                        headers,
                        body: Bytes::from("no item").into(),
                        upgrade: None,
                    }))
                }
                Event::Fetch(request) => {
                    let text = format!(
                        "{} {} {}",
                        request.method,
                        request.url,
                        request.body.bytes().expect("a length")
                    );
                    Ok(Reply::Fetch(HttpResponse {
                        status: 200,
                        headers: Vec::new(),
                        body: text.into(),
                        upgrade: None,
                    }))
                }
                Event::Rpc { method, .. } if method == "busy" => Err(Failure::new(
                    ErrorCode::Overloaded,
                    "Durable Object is overloaded. Too many requests queued.",
                )),
                Event::Rpc { args, .. } => Ok(Reply::Rpc(args)),
                Event::Alarm(_) => unreachable!("no client runs an alarm"),
                Event::Socket(..) => Ok(Reply::Handled),
            }
        }
    }

    fn plane() -> (tempfile::TempDir, Arc<Echo>, DataPlane<Arc<Echo>>) {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).expect("catalog");
        let digest = ComponentDigest::of(b"code");
        catalog.put_component(digest, b"code").expect("put");
        let class = ClassDescription {
            name: ClassName::new("Room").expect("class"),
            handlers: vec![Handler::Http, Handler::Rpc],
            doc: String::new(),
            methods: Vec::new(),
        };
        let description = ComponentDescription { classes: vec![class], entry: false };
        let app = AppName::new("demo").expect("app");
        let request = DeployRequest {
            app,
            digest,
            description,
            egress: Default::default(),
            keep_sockets: false,
            now: Timestamp(0),
        };
        catalog.deploy(request, &|_| false).expect("deploy");
        let echo = Arc::new(Echo::default());
        let plane = DataPlane::new(DataPlaneConfig {
            catalog: Arc::new(catalog),
            objects: Arc::clone(&echo),
            access: AccessRules::default(),
            request_ids: Arc::new(RequestIds::new(1)),
            random: Arc::new(Zeros),
            readiness: Readiness::default(),
            limits: HttpLimits::default(),
            sockets: Arc::new(SocketTasks::new(Handle::current(), &HttpLimits::default())),
        });
        (folder, echo, plane)
    }

    async fn ask(
        plane: &DataPlane<Arc<Echo>>,
        request: http::request::Builder,
        body: &'static str,
    ) -> (Response<()>, String) {
        let named = request.headers_ref().is_some_and(|headers| headers.contains_key("host"));
        let request = if named { request } else { request.header("host", "localhost:7610") };
        let response = plane.answer(request.body(Full::from(body)).expect("request")).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    fn error_of(text: &str) -> Value {
        serde_json::from_str::<Value>(text).expect("record")["error"].clone()
    }

    #[tokio::test]
    async fn a_request_finds_its_object_with_the_rest_of_the_path() {
        let (_folder, echo, plane) = plane();
        let (response, body) = ask(&plane, Request::put("/o/demo/Room/a%20b/items/1?x=%20"), "data").await;
        assert_eq!(
            (response.status().as_u16(), body.as_str()),
            (200, "PUT http://localhost:7610/items/1?x=%20 4")
        );
        assert_eq!(response.headers()["x-request-id"], "1-000001");
        let (address, trace) = echo.0.lock().expect("lock").pop().expect("delivered");
        assert_eq!(address.name.as_deref(), Some("a b"));
        assert_eq!(address.key.id, NamespaceKey::new("demo-Room").id_from_name("a b"));
        assert_eq!(trace, None);
    }

    #[tokio::test]
    async fn an_object_is_reached_by_id_without_its_name_and_a_foreign_id_is_refused() {
        let (_folder, echo, plane) = plane();
        let id = NamespaceKey::new("demo-Room").id_from_name("a");
        let (response, _) = ask(&plane, Request::get(format!("/o/demo/Room/~id:{id}")), "").await;
        assert_eq!(response.status(), 200);
        let (address, _) = echo.0.lock().expect("lock").pop().expect("delivered");
        assert_eq!((address.key.id, address.name), (id, None));
        let foreign = NamespaceKey::new("demo-Other").id_from_name("a");
        let (response, body) = ask(&plane, Request::get(format!("/o/demo/Room/~id:{foreign}")), "").await;
        assert_eq!(
            (response.status().as_u16(), error_of(&body)["code"].as_str()),
            (400, Some("invalid-object-id"))
        );
        assert_eq!(error_of(&body)["message"], "Durable Object ID is not valid for this namespace.");
    }

    #[tokio::test]
    async fn a_new_object_tells_its_id() {
        let (_folder, echo, plane) = plane();
        let (response, _) = ask(&plane, Request::post("/o/demo/Room/~new/x"), "").await;
        let (address, _) = echo.0.lock().expect("lock").pop().expect("delivered");
        assert_eq!(response.headers()["x-durabo-object-id"], address.key.id.to_string());
        let (response, _) = ask(&plane, Request::post("/rpc/demo/Room/~new/busy"), "").await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("x-durabo-object-id"));
    }

    #[tokio::test]
    async fn c_320_a_404_of_the_object_reaches_the_client_unchanged() {
        let (_folder, _echo, plane) = plane();
        let (response, body) = ask(&plane, Request::get("/o/demo/Room/a/unknown"), "").await;
        assert_eq!((response.status().as_u16(), body.as_str()), (404, "no item"));
        assert_eq!(response.headers()["x-a"], "b");
    }

    #[tokio::test]
    async fn a_call_returns_its_result_and_overload_is_503() {
        let (_folder, _echo, plane) = plane();
        let (response, body) =
            ask(&plane, Request::post("/rpc/demo/Room/a/say"), r#"[1,{"$int":"9007199254740993"}]"#).await;
        assert_eq!((response.status().as_u16(), body.as_str()), (200, r#"[1,{"$int":"9007199254740993"}]"#));
        assert_eq!(response.headers()["content-type"], "application/json");
        let (response, body) = ask(&plane, Request::post("/rpc/demo/Room/a/busy"), "").await;
        assert_eq!(response.status(), 503);
        assert_eq!(
            (error_of(&body)["overloaded"].as_bool(), error_of(&body)["remote"].as_bool()),
            (Some(true), Some(false))
        );
    }

    #[tokio::test]
    async fn what_names_nothing_is_refused_before_any_object_hears_of_it() {
        let (_folder, echo, plane) = plane();
        let cases = [
            (Request::get("/nothing"), 404, "not-found"),
            (Request::get("/healthz/x"), 404, "not-found"),
            (Request::get("/o/other/Room/a"), 404, "app-not-found"),
            (Request::get("/o/demo/Other/a"), 404, "class-not-found"),
            (Request::get("/o/demo/Room"), 400, "invalid-address"),
            (Request::get("/o/demo/Room/%2e%2e/x"), 400, "invalid-address"),
            (Request::get("/rpc/demo/Room/a/say"), 405, "method-not-allowed"),
            (Request::post("/rpc/demo/Room/a/alarm"), 400, "method-reserved"),
            (Request::post("/healthz"), 405, "method-not-allowed"),
            (Request::get(format!("/o/demo/Room/a?{}", "x".repeat(8192))), 414, "target-too-long"),
            (Request::get("/o/demo/Room/a").header("upgrade", "websocket"), 426, "invalid-upgrade"),
        ];
        for (request, status, code) in cases {
            let (response, body) = ask(&plane, request, "").await;
            assert_eq!(
                (response.status().as_u16(), error_of(&body)["code"].as_str()),
                (status, Some(code)),
                "{body}"
            );
            assert_eq!(
                response.headers()["x-request-id"],
                *error_of(&body)["request"].as_str().expect("request")
            );
        }
        assert!(echo.0.lock().expect("lock").is_empty());
    }

    #[tokio::test]
    async fn a_web_page_reaches_no_rpc_and_a_foreign_host_reaches_nothing() {
        let (_folder, echo, plane) = plane();
        let rpc = || Request::post("/rpc/demo/Room/a/say");
        let refused = [
            rpc().header("origin", "http://evil.example"),
            rpc().header("origin", "null"),
            rpc().header("sec-fetch-site", "cross-site"),
            rpc().header("host", "evil.example"),
            Request::get("/o/demo/Room/a").header("host", "evil.example"),
            Request::get("/healthz").header("host", "evil.example:7610"),
        ];
        for request in refused {
            let (response, body) = ask(&plane, request, "").await;
            assert_eq!(
                (response.status().as_u16(), error_of(&body)["code"].as_str()),
                (403, Some("foreign-origin"))
            );
        }
        assert!(echo.0.lock().expect("lock").is_empty());
        let (response, _) = ask(&plane, rpc().header("origin", "http://localhost:7610"), "").await;
        assert_eq!(response.status(), 200);
        let missing = plane.answer(Request::get("/").body(Full::<Bytes>::default()).expect("request")).await;
        assert_eq!(missing.status(), 400);
    }

    #[tokio::test]
    async fn answers_may_be_driven_by_any_thread() {
        fn is_send(_: &impl Send) {}
        let (_folder, _echo, plane) = plane();
        is_send(&plane.answer(Request::new(Full::<Bytes>::default())));
    }

    #[tokio::test]
    async fn health_follows_the_node() {
        let (_folder, _echo, plane) = plane();
        assert_eq!(ask(&plane, Request::get("/healthz"), "").await.1, "ok\n");
        assert_eq!(ask(&plane, Request::get("/readyz"), "").await.0.status(), 503);
        plane.config.readiness.set(true);
        assert_eq!(ask(&plane, Request::get("/readyz"), "").await.0.status(), 200);
        assert!(ask(&plane, Request::get("/"), "").await.1.starts_with("This is a durabo node"));
    }

    #[tokio::test]
    async fn a_trace_goes_along() {
        let (_folder, echo, plane) = plane();
        let request =
            Request::get("/o/demo/Room/a").header("traceparent", "00-1-2-01").header("tracestate", "a=b");
        ask(&plane, request, "").await;
        let (_, trace) = echo.0.lock().expect("lock").pop().expect("delivered");
        let expected =
            TraceContext { traceparent: "00-1-2-01".to_owned(), tracestate: Some("a=b".to_owned()) };
        assert_eq!(trace, Some(expected));
    }
}
