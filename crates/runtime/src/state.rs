//! What one instance has on the host's side: the object's context, WASI, limits, tasks.
//!
//! All that a host function may use; it owns the object's context while the instance lives.

use std::sync::Arc;
use std::time::Duration;

use durabo_model::time::Clock;
use durabo_objects::context::ObjectContext;
use durabo_objects::event::EventId;
use durabo_objects::import::Import;
use wasmtime::AsContextMut;
use wasmtime::component::{Access, HasSelf, ResourceTable};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::cpu_time::{CpuMeter, Ticker};
use crate::ending::InstanceEnd;
use crate::engine::GuestEngine;
use crate::env_bindings::{EnvBinding, EnvBindings};
use crate::event_tasks::EventTasks;
use crate::hog_permits::HogRun;
use crate::log_lines::{GuestOutput, LineSource, SoleEvent, Stream};
use crate::log_quota::LogQuota;
use crate::memory_limit::MemoryLimit;
use crate::outside_access::OutsideAccess;
use crate::statement_costs::StatementCosts;
use crate::statement_pool::StatementPool;

/// Handles to host things that one instance may hold; stops a guest that opens and forgets.
const RESOURCES_MAX: usize = 10_000;

/// Random bytes of one call of WASI.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// Data of a store.
pub struct GuestState {
    /// The object.
    pub context: Box<ObjectContext>,
    /// Handles of the guest.
    pub table: ResourceTable,
    /// Memory limit.
    pub memory: MemoryLimit,
    /// CPU budget.
    pub meter: Arc<CpuMeter>,
    /// Who charges it.
    pub ticker: Arc<Ticker>,
    /// Threads for slow statements.
    pub pool: Arc<StatementPool>,
    /// Costs of the component's statements.
    pub costs: Arc<StatementCosts>,
    /// How long the guest has computed in this turn.
    pub hog: HogRun,
    /// Events by task.
    pub tasks: EventTasks,
    /// What the deployment hands over.
    pub bindings: Arc<EnvBindings>,
    /// The way to the outside, and how far it goes.
    pub outside: OutsideAccess,
    /// By what the class can be woken.
    pub wakes: Wakes,
    /// Standard error, for its tail.
    pub stderr: GuestOutput,
    /// How much may be logged.
    pub log_quota: Arc<LogQuota>,
    wasi: WasiCtx,
}

/// Host side of imports that get access to the store.
pub type HostAccess<'a> = Access<'a, GuestState, HasSelf<GuestState>>;

/// By what a class can be woken: which handlers it has.
#[derive(Debug, Clone, Copy)]
pub struct Wakes {
    /// Of the alarm.
    pub alarm: bool,
    /// Of named alarms.
    pub schedule: bool,
}

impl GuestState {
    /// State of a fresh instance for the object of `context`.
    pub fn new(
        mut context: Box<ObjectContext>,
        engine: &GuestEngine,
        costs: Arc<StatementCosts>,
        bindings: Arc<EnvBindings>,
        outside: OutsideAccess,
        wakes: Wakes,
    ) -> Self {
        let sole = SoleEvent::default();
        let identity = Arc::new(context.identity().clone());
        let log_quota = Arc::new(LogQuota::new(identity.clone(), context.clock().clone()));
        let source = LineSource { identity, event: sole.clone(), quota: log_quota.clone() };
        let stderr = GuestOutput::new(source.clone(), Stream::Stderr);
        let stdout = GuestOutput::new(source, Stream::Stdout);
        let brake = context.database().interrupt_handle();
        let meter = CpuMeter::new(context.limits().cpu_per_event, brake);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            memory: MemoryLimit::new(context.limits().memory_bytes_max),
            wasi: wasi(&context, &bindings, stdout, stderr.clone()),
            context,
            table,
            meter: Arc::new(meter),
            ticker: engine.ticker().clone(),
            pool: engine.statements().clone(),
            costs,
            hog: engine.hogs().run(),
            tasks: EventTasks::new(sole),
            bindings,
            outside,
            wakes,
            stderr,
            log_quota,
        }
    }
}

impl GuestState {
    /// Begins a constructor or an event: budgets are filled and older troubles forgotten.
    pub fn begin_work(&mut self) {
        self.meter.refill();
        self.memory.forgive();
        self.stderr.clear_tail();
    }
}

/// No files, no sockets, no arguments: only what a language runtime asks for unasked.
fn wasi(
    context: &ObjectContext,
    bindings: &EnvBindings,
    stdout: GuestOutput,
    stderr: GuestOutput,
) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(stdout)
        .stderr(stderr)
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_ip_name_lookup(false)
        .allow_tcp(false)
        .allow_udp(false)
        .wall_clock(GuestClock(context.clock().clone()));
    for (name, binding) in bindings.iter() {
        if let EnvBinding::Text(text) = binding {
            wasi.env(name, text);
        }
    }
    wasi.build()
}

/// The node's clock as the guest's time of day.
struct GuestClock(Arc<dyn Clock>);

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().0)
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The event whose task makes the call; `None` in the constructor, or if it is no longer known.
pub fn calling_event(host: &mut HostAccess<'_>) -> wasmtime::Result<Option<EventId>> {
    let task = host.as_context_mut().async_call_stack()?.last();
    Ok(task.and_then(|task| host.get().tasks.event(task)))
}

/// Begins an import that does not answer at once; whatever it waits for, it waits by [`Import::wait_for`].
/// One too many ends the instance.
pub fn begin_import(host: &mut HostAccess<'_>) -> wasmtime::Result<Import> {
    host.get().context.begin_import().map_err(|failure| InstanceEnd(failure).into())
}
