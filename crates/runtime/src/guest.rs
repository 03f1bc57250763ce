//! One instance of a component as the guest of an object: implements the traits of `objects`.
//!
//! An instance is a store of its own with all limits set; it is run by the loop of `objects` and
//! charged for the time in which it is polled.

use std::future::poll_fn;
use std::sync::Arc;

use durabo_model::description::Handler;
use durabo_objects::context::ObjectContext;
use durabo_objects::event_loop::run_events;
use durabo_objects::guest::{Guest, GuestExit, GuestLoader, Loaded};
use durabo_objects::outside::Outside;
use futures::future::BoxFuture;
use wasmtime::{Store, UpdateDeadline};

use crate::calls::{InstanceCalls, InstanceExports};
use crate::cpu_time::Ticker;
use crate::deployed::{DeployedClass, DeployedClasses};
use crate::ending::CpuExhausted;
use crate::engine::GuestEngine;
use crate::outside_access::OutsideAccess;
use crate::reset_reason::{reset_reason, true_cause};
use crate::state::{GuestState, Wakes};

/// Bytes that one call may hand to the host, whatever it is: the largest message and its frame. Stops
/// a guest from making the host allocate without bound.
const HOSTCALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Handles within a component, of which a guest makes some without asking the host.
const COMPONENT_HANDLES_MAX: usize = 100_000;

/// Makes instances of what is deployed.
pub struct WasmLoader {
    engine: GuestEngine,
    classes: Arc<dyn DeployedClasses>,
    outside: Arc<dyn Outside>,
}

impl WasmLoader {
    /// A loader that asks `classes` each time an object starts, and sends its requests by `outside`.
    pub fn new(engine: GuestEngine, classes: Arc<dyn DeployedClasses>, outside: Arc<dyn Outside>) -> Self {
        Self { engine, classes, outside }
    }
}

impl GuestLoader for WasmLoader {
    fn load(&self, mut context: Box<ObjectContext>) -> Loaded {
        let class = match self.classes.deployed(context.identity().key.namespace) {
            Ok(class) => class,
            Err(failure) => return Err(Box::new((context, failure))),
        };
        if !class.component.facts().suspends {
            context.set_blocking();
        }
        let at_once_max = context.limits().requests_at_once_max;
        let outside = OutsideAccess::new(self.outside.clone(), class.egress.clone(), at_once_max);
        let (costs, bindings) = (class.component.costs.clone(), class.bindings.clone());
        let handles = |handler| class.component.class_handles(&class.class, handler);
        let wakes = Wakes { alarm: handles(Handler::Alarm), schedule: handles(Handler::Schedule) };
        let state = GuestState::new(context, &self.engine, costs, bindings, outside, wakes);
        let store = new_store(&self.engine, state);
        Ok(Box::new(WasmGuest { store, class, ticker: self.engine.ticker().clone() }))
    }
}

/// A store with all limits set.
fn new_store(engine: &GuestEngine, state: GuestState) -> Store<GuestState> {
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_max_component_handles(COMPONENT_HANDLES_MAX);
    store.set_epoch_deadline(1);
    // No fixed deadline: epochs are wall-clock time, and a guest that only waited is not to blame. At
    // each tick the guest lets others have the thread; the meter counts.
    store.epoch_deadline_callback(|mut context| {
        if context.data().meter.is_exhausted() {
            return Err(CpuExhausted.into());
        }
        context.data().context.note_suspension();
        Ok(UpdateDeadline::YieldCustom(1, context.data_mut().hog.tick()))
    });
    store
}

/// One live instance.
struct WasmGuest {
    store: Store<GuestState>,
    class: DeployedClass,
    ticker: Arc<Ticker>,
}

impl WasmGuest {
    /// Instantiates and runs events until there is a reason to stop.
    async fn run_instance(&mut self) -> GuestExit {
        let exit = match self.instantiate_and_run().await {
            Ok(exit) => exit,
            Err(error) => GuestExit::Reset(reset_reason(&mut self.store, &error)),
        };
        self.store.data_mut().hog.end();
        match exit {
            GuestExit::Reset(failure) => GuestExit::Reset(true_cause(self.store.data(), failure)),
            exit => exit,
        }
    }

    async fn instantiate_and_run(&mut self) -> wasmtime::Result<GuestExit> {
        let Self { store, class, .. } = self;
        let component = class.component.clone();
        let instance = component.instance_pre.instantiate_async(&mut *store).await?;
        let indices = &component.exports;
        let exports = InstanceExports {
            lifecycle: indices.lifecycle.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
            http: indices.http.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
            rpc: indices.rpc.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
            alarm: indices.alarm.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
            websocket: indices.websocket.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
            schedule: indices.schedule.as_ref().map(|at| at.load(&mut *store, &instance)).transpose()?,
        };
        let class = &*class;
        store
            .run_concurrent(async |accessor| {
                let calls = InstanceCalls::new(accessor, &exports, class);
                // The loop is polled first, always: it ends turns (T1).
                tokio::select! {
                    biased;
                    never = calls.end_runs() => match never {},
                    exit = run_events(&calls) => Ok(exit),
                    error = calls.broken() => Err(error),
                }
            })
            .await?
    }
}

impl Guest for WasmGuest {
    fn run(&mut self) -> BoxFuture<'_, GuestExit> {
        let ticker = self.ticker.clone();
        let meter = self.store.data().meter.clone();
        let mut instance = Box::pin(self.run_instance());
        // Whoever is being polled at a tick pays for it, whatever it does.
        Box::pin(poll_fn(move |cx| {
            let _charged = ticker.charge(&meter);
            instance.as_mut().poll(cx)
        }))
    }

    fn into_context(self: Box<Self>) -> Box<ObjectContext> {
        self.store.into_data().context
    }
}
