//! `context`: who the object is, its critical sections, its end.
//!
//! A handle of a section is the open section itself: dropping it leaves it. `abort` never returns to the
//! guest: it leaves the reason with the object and traps.

use durabo_objects::input_gate::Section;
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::object::context::{
    Host, HostCriticalSection, HostCriticalSectionWithStore, HostWithStore, ObjectInfo, RunningAlarm,
};
use crate::bindings::object::types::Failure;
use crate::ending::InstanceEnd;
use crate::failure_record;
use crate::state::{GuestState, HostAccess, begin_import, calling_event};

impl GuestState {
    /// The object as the contract describes it.
    pub(crate) fn object_info(&self) -> ObjectInfo {
        let identity = self.context.identity();
        ObjectInfo {
            class_name: identity.class.as_str().to_owned(),
            id: identity.key.id.to_string(),
            name: identity.name.clone(),
        }
    }
}

impl Host for GuestState {
    fn identity(&mut self) -> wasmtime::Result<Option<ObjectInfo>> {
        Ok(Some(self.object_info()))
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    fn abort(mut host: HostAccess<'_>, reason: Option<Failure>, alarm: RunningAlarm) -> wasmtime::Result<()> {
        let failure = failure_record::of_abort(reason);
        let event = calling_event(&mut host)?;
        let context = &mut host.get().context;
        match alarm {
            RunningAlarm::Retry => context.abort(failure.clone()),
            RunningAlarm::Abandon => context.abort_giving_up(event, failure.clone()),
        }
        Err(InstanceEnd(failure).into())
    }
}

impl HostCriticalSectionWithStore<GuestState> for HasSelf<GuestState> {
    async fn enter(
        accessor: &Accessor<GuestState, Self>,
        parent: Option<Resource<Section>>,
    ) -> wasmtime::Result<Result<Resource<Section>, Failure>> {
        let asked = accessor.with(|mut host| -> wasmtime::Result<_> {
            let import = begin_import(&mut host)?;
            let state = host.get();
            let parent = parent.map(|parent| state.table.get(&parent)).transpose()?;
            Ok(state.context.ask_for_section(parent).map(|entry| (entry, import)))
        })?;
        // Counts as under way; it is the section's turn that it waits for, and not the gate.
        let (entry, _import) = match asked {
            Ok(asked) => asked,
            Err(refused) => return Ok(Err(failure_record::to_guest(refused))),
        };
        match entry.open().await {
            Ok(section) => accessor.with(|mut host| Ok(Ok(host.get().table.push(section)?))),
            Err(refused) => Ok(Err(failure_record::to_guest(refused))),
        }
    }
}

impl HostCriticalSection for GuestState {
    fn leave(&mut self, section: Resource<Section>) -> wasmtime::Result<()> {
        self.context.leave_section(self.table.get(&section)?);
        Ok(())
    }

    fn drop(&mut self, section: Resource<Section>) -> wasmtime::Result<()> {
        let section = self.table.delete(section)?;
        self.context.leave_section(&section);
        Ok(())
    }
}
