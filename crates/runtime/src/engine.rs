//! The WebAssembly engine of a node: one configuration for all guests, and the thread that ticks.
//!
//! Compiled code is bound to this configuration: a change of it makes all kept code stale.

use std::sync::Arc;
use std::thread::available_parallelism;

use wasmtime::{Config, Engine};

use crate::cpu_time::Ticker;
use crate::error::RuntimeError;
use crate::hog_permits::HogPermits;
use crate::statement_pool::StatementPool;

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Stack of a guest, in bytes. A JavaScript engine needs some 4 MiB.
    pub wasm_stack_bytes_max: usize,
    /// Traps name file and line if the component has debug information. Costs milliseconds per trap.
    pub with_trap_lines: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { wasm_stack_bytes_max: 512 * 1024, with_trap_lines: false }
    }
}

/// Stack beyond the guest's that host functions need on the same fiber.
const HOST_STACK_BYTES: usize = 1536 * 1024;

/// Shared by all guests of a node. Clones are the same engine.
#[derive(Clone)]
pub struct GuestEngine {
    engine: Engine,
    config: EngineConfig,
    ticker: Arc<Ticker>,
    hogs: HogPermits,
    statements: Arc<StatementPool>,
}

impl GuestEngine {
    /// Starts engine and ticker.
    pub fn start(config: &EngineConfig) -> Result<Self, RuntimeError> {
        let engine = compiling_engine(config)?;
        let ticked = engine.weak();
        let ticker = Ticker::start(move || {
            if let Some(engine) = ticked.upgrade() {
                engine.increment_epoch();
            }
        });
        let ticker = ticker.map_err(|error| RuntimeError::Engine(format!("its ticker: {error}")))?;
        let hogs = HogPermits::new(available_parallelism().map_or(1, usize::from));
        let (config, ticker) = (config.clone(), Arc::new(ticker));
        Ok(Self { engine, config, ticker, hogs, statements: Arc::default() })
    }

    /// What it was started with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The engine itself.
    pub fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// The thread that charges CPU time.
    pub fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }

    /// The permits for guests that compute.
    pub fn hogs(&self) -> &HogPermits {
        &self.hogs
    }

    /// The threads for slow statements.
    pub fn statements(&self) -> &Arc<StatementPool> {
        &self.statements
    }
}

/// An engine that compiles and runs nothing: no time ticks in it.
pub fn compiling_engine(config: &EngineConfig) -> Result<Engine, RuntimeError> {
    Engine::new(&wasmtime_config(config)).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// Epochs cut and yield spinning guests; fuel would cost a third of the speed of calls. Memories keep
/// the default reservation of 4 GiB, which saves the bounds checks. Threads and shared memory are not
/// built in; 64-bit memories are off, since they cost those checks.
fn wasmtime_config(config: &EngineConfig) -> Config {
    let mut wasmtime = Config::new();
    wasmtime
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .wasm_memory64(false)
        .max_wasm_stack(config.wasm_stack_bytes_max)
        .async_stack_size(config.wasm_stack_bytes_max + HOST_STACK_BYTES)
        .wasm_backtrace_details(if config.with_trap_lines {
            wasmtime::WasmBacktraceDetails::Enable
        } else {
            wasmtime::WasmBacktraceDetails::Disable
        });
    wasmtime
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_starts_with_the_defaults_and_with_a_large_stack() {
        GuestEngine::start(&EngineConfig::default()).expect("defaults");
        let large = EngineConfig { wasm_stack_bytes_max: 4 * 1024 * 1024, with_trap_lines: true };
        GuestEngine::start(&large).expect("large stack");
    }
}
