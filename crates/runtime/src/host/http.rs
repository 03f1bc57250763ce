//! `http`: requests to the outside, and bodies read whole on the host's side.
//!
//! Both may take long; each counts as an import under way.

use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::Upgrade;
use crate::bindings::object::http::{Body, Host, HostUpgrade, HostWithStore, Request, Response};
use crate::bindings::object::types::Failure;
use crate::body_out::body_of_guest;
use crate::collect::collect;
use crate::failure_record;
use crate::outgoing;
use crate::state::{GuestState, begin_import};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {}

impl HostUpgrade for GuestState {
    fn drop(&mut self, upgrade: Resource<Upgrade>) -> wasmtime::Result<()> {
        self.table.delete(upgrade)?;
        Ok(())
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn send(accessor: &Accessor<GuestState, Self>, request: Request) -> Answer<Response> {
        Ok(outgoing::send(accessor, request).await?.map_err(failure_record::to_guest))
    }

    async fn collect(accessor: &Accessor<GuestState, Self>, body: Body, bytes_max: u64) -> Answer<Vec<u8>> {
        let import = accessor.with(|mut host| begin_import(&mut host))?;
        let body = accessor.with(|host| body_of_guest(host, body))?;
        let collected = match body {
            Ok(body) => import.wait_for(collect(accessor, body.body, bytes_max)).await,
            Err(failure) => Err(failure),
        };
        Ok(collected.map_err(failure_record::to_guest))
    }
}
