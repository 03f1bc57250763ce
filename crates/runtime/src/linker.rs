//! All that a component may import: the contract, and of WASI what language runtimes ask for.
//!
//! Any other import makes an upload fail, by name.

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock;

use crate::bindings::DurableObject;
use crate::engine::GuestEngine;
use crate::host::{PollView, WaitsInTurns};
use crate::state::GuestState;

/// A linker with everything in it.
pub fn linker(engine: &GuestEngine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine.wasmtime());
    DurableObject::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |state| state)?;
    link_wasi(&mut linker)?;
    Ok(linker)
}

/// WASI 0.2 whole, without folders and with sockets denied, because runtimes import it unasked; of
/// 0.3 clocks, random and the command line.
fn link_wasi(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // In place of the bare one: see `host/wasi_poll.rs`.
    linker.allow_shadowing(true);
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<GuestState, WaitsInTurns>(linker, |state| {
        PollView { table: &mut state.table, context: &mut state.context, hog: &mut state.hog }
    })?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    // As above, see `host/wasi_clocks.rs`.
    monotonic_clock::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    linker.allow_shadowing(false);
    wasmtime_wasi::p3::cli::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)
}
