//! Routes of the control plane for who watches: what happens in the objects of an app, a class, or one object.
//!
//! The answer is a stream of lines that ends when the reader leaves or the node stops. An empty line comes when nothing
//! else has for a while, so that either end notices that the other has gone.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use durabo_objects::scope::Scope;
use durabo_objects::tail::Watch;
use futures::stream::{self, Stream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue};

use super::queries;
use super::route::{
    Answer, Config, ControlConfig, ControlState, class_target, classes_of_app, object_address,
};
use super::tail_report::TailReport;

/// Longest silence of a stream.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Media type of one JSON text a line.
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The routes.
pub(super) fn routes() -> Router<ControlState> {
    Router::new()
        .route("/v1/apps/{app}/tail", get(of_app))
        .route("/v1/apps/{app}/classes/{class}/tail", get(of_class))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/tail", get(of_object))
}

async fn of_app(State(config): Config, request: Request) -> Answer {
    let classes = classes_of_app(&config, &request)?;
    tail(&config, &request, Scope::Namespaces(classes.iter().map(|class| class.namespace).collect()))
}

async fn of_class(State(config): Config, request: Request) -> Answer {
    let class = class_target(&config, &request)?;
    tail(&config, &request, Scope::Namespaces(vec![class.namespace]))
}

async fn of_object(State(config): Config, request: Request) -> Answer {
    let object = object_address(&config, &request)?;
    tail(&config, &request, Scope::Object(object.key))
}

fn tail(config: &ControlConfig, request: &Request, of: Scope) -> Answer {
    queries::nothing(request.uri())?;
    let lines = lines(config.node.tail(of)?, SILENCE_MAX);
    let mut response = Response::new(Body::from_stream(lines.map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, JSON_LINES);
    Ok(response)
}

/// What is seen, a line each. The first line is empty: it says that the watching has begun.
fn lines(watch: Watch, silence_max: Duration) -> impl Stream<Item = Vec<u8>> {
    let begun = stream::once(async { b"\n".to_vec() });
    begun.chain(stream::unfold(watch, move |mut watch| async move {
        let line = match tokio::time::timeout(silence_max, watch.next()).await {
            Err(_) => Vec::new(),
            Ok(None) => return None,
            Ok(Some(watched)) => {
                serde_json::to_vec(&TailReport::from(watched)).expect("BUG: a report has a JSON form")
            }
        };
        Some(([line.as_slice(), b"\n"].concat(), watch))
    }))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use durabo_model::object::{NamespaceNumber, ObjectKey};
    use durabo_model::object_id::ObjectId;
    use durabo_objects::tail::Tail;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_with_an_empty_line_breaks_long_silence_with_another_and_ends_with_the_node() {
        let tail = Tail::default();
        let object = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([1; 32]) };
        let watch = tail.watch(Scope::Object(object)).expect("watched");
        let mut lines = pin!(lines(watch, Duration::from_secs(1)));
        for _ in 0..3 {
            assert_eq!(lines.next().await.as_deref(), Some(&b"\n"[..]));
        }
        tail.close();
        assert_eq!(lines.next().await, None);
    }
}
