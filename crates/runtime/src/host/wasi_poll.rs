//! `wasi:io/poll`: the one part of WASI 0.2 in which a guest of ours can wait, since it has neither
//! files nor sockets nor standard input.
//!
//! Such a wait holds the whole object and is not seen by the loop as a turn end. So it ends the turn
//! itself before it waits (T4): what was written is committed, as in every other wait, and who waits takes no core
//! from guests that compute.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use durabo_objects::context::ObjectContext;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable};

use crate::ending::InstanceEnd;
use crate::hog_permits::HogRun;

/// What a wait needs of an instance.
pub struct PollView<'a> {
    /// Handles of the guest.
    pub table: &'a mut ResourceTable,
    /// The object, whose turn ends.
    pub context: &'a mut ObjectContext,
    /// How long the guest has computed, which ends with a wait.
    pub hog: &'a mut HogRun,
}

/// Names [`PollView`] to the linker.
pub struct WaitsInTurns;

impl HasData for WaitsInTurns {
    type Data<'a> = PollView<'a>;
}

impl Host for PollView<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        after_turn(self.context, self.hog, Host::poll(self.table, pollables)).await
    }
}

impl HostPollable for PollView<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        after_turn(self.context, self.hog, HostPollable::block(self.table, pollable)).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        HostPollable::ready(self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        HostPollable::drop(self.table, pollable)
    }
}

/// Ends the turn and drives `wait`, also if that is over at once: whether a short sleep is depends on how busy
/// the machine is. Nobody polls the loop of the instance meanwhile, so what it would notice is looked for here.
async fn after_turn<T>(
    context: &mut ObjectContext,
    hog: &mut HogRun,
    wait: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    context.end_turn().map_err(InstanceEnd)?;
    let mut wait = pin!(wait);
    let mut is_suspended = false;
    let looked_after = poll_fn(|cx| {
        let polled = wait.as_mut().poll(cx);
        if polled.is_pending() {
            if !std::mem::replace(&mut is_suspended, true) {
                context.note_suspension();
            }
            if let Poll::Ready(failure) = context.poll_must_end(cx) {
                return Poll::Ready(Err(InstanceEnd(failure).into()));
            }
        }
        polled
    });
    hog.end_over(looked_after).await
}
