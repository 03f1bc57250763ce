//! `event`: the event whose task makes the call.
//!
//! Found by the calling task, so that interleaved events do not take each other's place.

use std::future::poll_fn;

use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::object::event::{Host, HostWithStore, TraceContext};
use crate::state::{GuestState, HostAccess, begin_import, calling_event};

/// Id of what is no event: the constructor, or work whose event is long gone.
const NO_EVENT: &str = "none";

impl Host for GuestState {}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    fn id(mut host: HostAccess<'_>) -> wasmtime::Result<String> {
        let event = calling_event(&mut host)?;
        Ok(event.map_or_else(|| NO_EVENT.to_owned(), |event| event.to_string()))
    }

    fn trace(mut host: HostAccess<'_>) -> wasmtime::Result<Option<TraceContext>> {
        let Some(event) = calling_event(&mut host)? else { return Ok(None) };
        let trace = host.get().context.trace(event);
        Ok(trace.map(|trace| TraceContext { traceparent: trace.traceparent, tracestate: trace.tracestate }))
    }

    fn is_cancelled(mut host: HostAccess<'_>) -> wasmtime::Result<bool> {
        let event = calling_event(&mut host)?;
        Ok(host.get().context.is_cancelled(event))
    }

    async fn cancelled(accessor: &Accessor<GuestState, Self>) -> wasmtime::Result<()> {
        let import = accessor.with(|mut host| begin_import(&mut host))?;
        let event = accessor.with(|mut host| calling_event(&mut host))?;
        let cancelled = poll_fn(|cx| accessor.with(|mut host| host.get().context.poll_cancelled(event, cx)));
        import.wait_for(cancelled).await;
        Ok(())
    }
}
