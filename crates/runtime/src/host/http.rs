//! `http`: whole bodies. Requests to the outside and bodies in pieces are not served yet.
//!
//! A body in pieces that arrives all the same is closed, so that its writer does not wait for ever.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure as ModelFailure;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::unserved;
use crate::bindings::Unserved;
use crate::bindings::object::http::{Body, Chunks, Host, HostUpgrade, HostWithStore, Request, Response};
use crate::bindings::object::types::Failure;
use crate::failure_record;
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {}

impl HostUpgrade for GuestState {
    fn drop(&mut self, upgrade: Resource<Unserved>) -> wasmtime::Result<()> {
        self.table.delete(upgrade)?;
        Ok(())
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn send(accessor: &Accessor<GuestState, Self>, request: Request) -> Answer<Response> {
        close(accessor, request.body)?;
        unserved::failure("http.send")
    }

    async fn collect(accessor: &Accessor<GuestState, Self>, body: Body, bytes_max: u64) -> Answer<Vec<u8>> {
        match body {
            Body::Empty => Ok(Ok(Vec::new())),
            Body::Bytes(bytes) if bytes.len() as u64 <= bytes_max => Ok(Ok(bytes)),
            Body::Bytes(bytes) => {
                let text = format!("the body is {} bytes, the limit given is {bytes_max}", bytes.len());
                Ok(Err(failure_record::to_guest(ModelFailure::new(ErrorCode::LimitExceeded, text))))
            }
            body @ Body::Chunks(_) => {
                close(accessor, body)?;
                unserved::failure("http.collect of a body in chunks")
            }
        }
    }
}

/// Gives up a body in pieces, so that whoever writes it learns that nobody reads.
fn close(accessor: &Accessor<GuestState, HasSelf<GuestState>>, body: Body) -> wasmtime::Result<()> {
    if let Body::Chunks(Chunks { mut data, mut end }) = body {
        accessor.with(|mut host| {
            data.close(&mut host)?;
            end.close(&mut host)
        })?;
    }
    Ok(())
}
