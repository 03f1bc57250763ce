//! `context`: who the object is, and its end.
//!
//! `abort` never returns to the guest: it leaves the reason with the object and traps.

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::unserved;
use crate::bindings::Unserved;
use crate::bindings::object::context::{
    Host, HostCriticalSection, HostCriticalSectionWithStore, HostWithStore, ObjectInfo, RunningAlarm,
};
use crate::bindings::object::types::Failure;
use crate::ending::InstanceEnd;
use crate::failure_record;
use crate::state::{GuestState, HostAccess};

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
    fn abort(
        mut host: HostAccess<'_>,
        reason: Option<Failure>,
        // Alarms are not delivered yet, so no alarm's handler can be the one that calls.
        _alarm: RunningAlarm,
    ) -> wasmtime::Result<()> {
        let failure = failure_record::of_abort(reason);
        host.get().context.abort(failure.clone());
        Err(InstanceEnd(failure).into())
    }
}

impl HostCriticalSectionWithStore<GuestState> for HasSelf<GuestState> {
    async fn enter(
        _accessor: &Accessor<GuestState, Self>,
        _parent: Option<Resource<Unserved>>,
    ) -> wasmtime::Result<Result<Resource<Unserved>, Failure>> {
        unserved::failure("context.critical-section.enter")
    }
}

impl HostCriticalSection for GuestState {
    fn leave(&mut self, _section: Resource<Unserved>) -> wasmtime::Result<()> {
        unserved::trap("context.critical-section.leave")
    }

    fn drop(&mut self, section: Resource<Unserved>) -> wasmtime::Result<()> {
        self.table.delete(section)?;
        Ok(())
    }
}
