//! A component that is ready to be instantiated, and what it exports of the contract.
//!
//! Made by `component_cache` only, so that whoever holds one knows that all its imports are served
//! and that its description is true.

use std::sync::Arc;

use durabo_catalog::ComponentDigest;
use durabo_model::description::Handler;
use durabo_model::name::ClassName;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::exports::durabo::object as exports;
use crate::component_facts::ComponentFacts;
use crate::error::{RuntimeError, handler_name};
use crate::state::GuestState;
use crate::statement_costs::StatementCosts;

/// Where the exports of a component are, for those it has.
pub(crate) struct ExportIndices {
    pub lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub http: Option<exports::http_handler::GuestIndices>,
    pub rpc: Option<exports::rpc_handler::GuestIndices>,
    pub alarm: Option<exports::alarm_handler::GuestIndices>,
    pub websocket: Option<exports::websocket_handler::GuestIndices>,
    pub schedule: Option<exports::schedule_handler::GuestIndices>,
}

/// Compiled code of one component, shared by all its instances.
pub struct CompiledComponent {
    digest: ComponentDigest,
    facts: ComponentFacts,
    handlers: Vec<Handler>,
    pub(crate) exports: ExportIndices,
    pub(crate) instance_pre: InstancePre<GuestState>,
    pub(crate) costs: Arc<StatementCosts>,
}

impl CompiledComponent {
    /// Links compiled code. Refused are imports that are not served, by name, and handlers that are
    /// described but not exported.
    pub(crate) fn link(
        linker: &Linker<GuestState>,
        component: &Component,
        digest: ComponentDigest,
        facts: ComponentFacts,
    ) -> Result<Self, RuntimeError> {
        let pre =
            linker.instantiate_pre(component).map_err(|error| RuntimeError::Import(format!("{error:#}")))?;
        let exports = ExportIndices {
            lifecycle: exports::lifecycle::GuestIndices::new(&pre).ok(),
            http: exports::http_handler::GuestIndices::new(&pre).ok(),
            rpc: exports::rpc_handler::GuestIndices::new(&pre).ok(),
            alarm: exports::alarm_handler::GuestIndices::new(&pre).ok(),
            websocket: exports::websocket_handler::GuestIndices::new(&pre).ok(),
            schedule: exports::schedule_handler::GuestIndices::new(&pre).ok(),
        };
        let handlers = exported_handlers(&exports);
        let compiled = Self { digest, facts, handlers, exports, instance_pre: pre, costs: Arc::default() };
        compiled.check_description()?;
        Ok(compiled)
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> ComponentDigest {
        self.digest
    }

    /// What was read from its bytes.
    pub fn facts(&self) -> &ComponentFacts {
        &self.facts
    }

    /// Handlers that it exports.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }

    /// Whether `class` handles this kind of event: described, or exported if nothing is described.
    pub fn class_handles(&self, class: &ClassName, handler: Handler) -> bool {
        let described = self.facts.description.classes.iter().find(|known| known.name == *class);
        let handlers = described.map_or(self.handlers.as_slice(), |class| class.handlers.as_slice());
        handlers.contains(&handler)
    }

    fn check_description(&self) -> Result<(), RuntimeError> {
        for class in &self.facts.description.classes {
            if let Some(missing) = class.handlers.iter().find(|handler| !self.handlers.contains(handler)) {
                let handler = handler_name(*missing);
                return Err(RuntimeError::HandlerNotExported { class: class.name.clone(), handler });
            }
        }
        Ok(())
    }
}

fn exported_handlers(exports: &ExportIndices) -> Vec<Handler> {
    let exported = [
        (Handler::Http, exports.http.is_some()),
        (Handler::Rpc, exports.rpc.is_some()),
        (Handler::Alarm, exports.alarm.is_some()),
        (Handler::Schedule, exports.schedule.is_some()),
        (Handler::Websocket, exports.websocket.is_some()),
    ];
    exported.into_iter().filter(|(_, is_exported)| *is_exported).map(|(handler, _)| handler).collect()
}
