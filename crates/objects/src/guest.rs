//! The two traits behind which a guest stands, whatever it is made of.
//!
//! `runtime` implements them with wasmtime, the simulation with a fake. The rules of an object are on
//! this side: a guest is asked to run, and calls [`run_events`](crate::event_loop::run_events) with
//! the little that only it can do ([`GuestCalls`](crate::event_loop::GuestCalls)).

use durabo_model::failure::Failure;
use futures::future::BoxFuture;

use crate::context::ObjectContext;

/// Why a guest stopped running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestExit {
    /// Nothing to do for so long that the object hibernates; all turns are committed (LC-10).
    Idle,
    /// The object was told to stop or its class was deployed anew, and no event is left (LC-13).
    Retired,
    /// The instance must not go on: trap, limit, abort, failed commit, failed constructor. The open
    /// turn is to be discarded and every event under way fails with this (LC-3, LC-7, LC-8, LC-9).
    Reset(Failure),
}

/// One live instance. It owns the object's context until it is taken apart.
pub trait Guest: Send {
    /// Runs the constructor and then events, until there is a reason to stop.
    fn run(&mut self) -> BoxFuture<'_, GuestExit>;

    /// Drops the instance and gives the context back, with a turn open if one was.
    fn into_context(self: Box<Self>) -> Box<ObjectContext>;
}

/// A guest, or the context back with the failure that its callers get.
pub type Loaded = Result<Box<dyn Guest>, Box<(Box<ObjectContext>, Failure)>>;

/// Makes guests: finds the code that is deployed for the object's namespace now.
pub trait GuestLoader: Send + Sync + 'static {
    /// A fresh instance for the object of `context`.
    fn load(&self, context: Box<ObjectContext>) -> Loaded;
}
