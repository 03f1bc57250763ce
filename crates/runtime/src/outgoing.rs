//! A request of the guest to the outside, from its import to its response, or to the socket that it opens.
//!
//! It leaves when everything that was written to storage before is durable (OG-3), waits for its turn among
//! the event's requests (LC-14), and goes where the app's rules allow. A guest that drops the import gives the
//! request up, also one that has left.

use std::sync::Arc;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::event::{HttpRequest, TraceContext};
use durabo_objects::import::Import;
use durabo_objects::socket::{Lifetime, SocketId};
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};
use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::object::http::{Request, Response};
use crate::body_out::close;
use crate::http_exchange::{HTTP, Schemes, WEBSOCKET, request_of_guest, response_to_guest};
use crate::outside_access::OutsideAccess;
use crate::state::{GuestState, HostAccess, begin_import, calling_event};

/// Sends a request and waits for the head of its response.
pub async fn send(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    request: Request,
) -> wasmtime::Result<Result<Response, Failure>> {
    let send = |outside: &OutsideAccess, request| outside.way.send(outside.rules.clone(), request);
    match ask(accessor, request, HTTP, send).await? {
        Ok(response) => accessor.with(|host| response_to_guest(host, response)),
        Err(failure) => Ok(Err(failure)),
    }
}

/// Asks for a WebSocket and makes a socket of the object of it, once the server has agreed (WS-33).
pub async fn connect(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    request: Request,
    tags: Vec<String>,
    lifetime: Lifetime,
) -> wasmtime::Result<Result<SocketId, Failure>> {
    // Before anything leaves: what is refused here asks no server.
    let may_connect = accessor.with(|mut host| host.get().context.check_connect(&tags, lifetime));
    if let Err(failure) = may_connect {
        accessor.with(|host| close(host, request.body))?;
        return Ok(Err(failure));
    }
    let connect = |outside: &OutsideAccess, request| outside.way.connect(outside.rules.clone(), request);
    match ask(accessor, request, WEBSOCKET, connect).await? {
        Ok(opened) => Ok(accessor.with(|mut host| host.get().context.open_socket(tags, opened))),
        Err(failure) => Ok(Err(failure)),
    }
}

/// Takes a request over, waits until it may leave, and for what comes of it.
async fn ask<T>(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    request: Request,
    schemes: Schemes,
    ask: impl FnOnce(&OutsideAccess, HttpRequest) -> BoxFuture<'static, Result<T, Failure>>,
) -> wasmtime::Result<Result<T, Failure>> {
    let begun = accessor.with(|mut host| begin(&mut host, request, schemes))?;
    let Begun { request, left, turns, import } = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ok(Err(failure)),
    };
    let answered = import.wait_for(async {
        left.await.unwrap_or_else(|_| {
            let text = "the object was reset before the request could leave";
            Err(Failure::new(ErrorCode::ObjectReset, text))
        })?;
        let _turn = turns.acquire().await.expect("BUG: turns are never closed");
        let asking = accessor.with(|mut host| ask(&host.get().outside, request));
        asking.await
    });
    Ok(answered.await)
}

/// A request that was taken over and has not left.
struct Begun {
    request: HttpRequest,
    /// Told when it may leave, or why not.
    left: oneshot::Receiver<Result<(), Failure>>,
    turns: Arc<Semaphore>,
    import: Import,
}

/// Takes the request over and asks the gate to let it leave: here, where the turn that asks is open.
fn begin(
    host: &mut HostAccess<'_>,
    request: Request,
    schemes: Schemes,
) -> wasmtime::Result<Result<Begun, Failure>> {
    let import = begin_import(host)?;
    let event = calling_event(host)?;
    let mut request = match request_of_guest(&mut *host, request, schemes)? {
        Ok(request) => request,
        Err(failure) => return Ok(Err(failure)),
    };
    let state = host.get();
    if let Some(trace) = event.and_then(|event| state.context.trace(event)) {
        carry(&mut request, trace);
    }
    let (leave, left) = oneshot::channel();
    // Whoever asked may have dropped the import.
    state.context.release(Box::new(move |may_leave| drop(leave.send(may_leave))));
    let turns = state.outside.turns(event);
    Ok(Ok(Begun { request, left, turns, import }))
}

/// The trace of the event goes along, unless the guest has set one itself.
fn carry(request: &mut HttpRequest, trace: TraceContext) {
    if request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("traceparent")) {
        return;
    }
    request.headers.push(("traceparent".to_owned(), trace.traceparent.into()));
    request.headers.extend(trace.tracestate.map(|state| ("tracestate".to_owned(), state.into())));
}

#[cfg(test)]
mod tests {
    use durabo_objects::body::Body;

    use super::*;

    #[test]
    fn the_trace_of_the_event_goes_along_unless_the_guest_set_one() {
        let trace = TraceContext { traceparent: "00-1-2-01".to_owned(), tracestate: Some("a=b".to_owned()) };
        let request = |headers| HttpRequest {
            method: "GET".to_owned(),
            url: "http://x/".to_owned(),
            headers,
            body: Body::default(),
        };
        let mut plain = request(Vec::new());
        carry(&mut plain, trace.clone());
        let names: Vec<_> = plain.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["traceparent", "tracestate"]);
        let own = vec![("Traceparent".to_owned(), b"own".to_vec())];
        let mut traced = request(own.clone());
        carry(&mut traced, trace);
        assert_eq!(traced.headers, own);
    }
}
