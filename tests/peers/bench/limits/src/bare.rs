//! Bare axum: the answer of an object's `noop`, byte for byte as long, from a handler that does nothing.
//!
//! The runtime is set up as durabo's for HTTP: as many workers as cores, small answers sent at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::routing::any;
use axum::serve::ListenerExt;
use clap::Args;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::net::TcpListener;

use crate::bare_sockets::{self, Rooms};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Options of `axum`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:7712")]
    listen: SocketAddr,
}

/// Serves until the process is ended.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let cores = available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await;
        let listener = listener.with_context(|| format!("listening on {}", options.listen))?;
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                eprintln!("connection without TCP_NODELAY: {error}");
            }
        });
        // The paths that durabo answers for `noop`, for its health and for WebSockets.
        let sockets = Router::new()
            .route("/o/{app}/{class}/{name}/ws", any(bare_sockets::upgrade))
            .with_state(Rooms::default());
        let router = Router::new()
            .route("/healthz", any(answer))
            .route("/o/{app}/{class}/{name}/{*path}", any(answer))
            .with_state(&REQUESTS)
            .merge(sockets);
        axum::serve(listener, router).await.context("serving")
    })
}

/// Two bytes of text and the headers that durabo sends.
async fn answer(
    State(requests): State<&'static AtomicU64>,
) -> ([(HeaderName, HeaderValue); 2], &'static str) {
    let number = requests.fetch_add(1, Ordering::Relaxed);
    let id = HeaderValue::from_str(&format!("1-{number:06x}")).expect("BUG: hexadecimal digits are a value");
    ([(CONTENT_TYPE, PLAIN), (REQUEST_ID, id)], "ok")
}
