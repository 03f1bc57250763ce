//! `stub`: not served yet.
//!
//! No stub can be made, so the functions of one are never reached.

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::unserved;
use crate::bindings::Unserved;
use crate::bindings::object::http::{Request, Response};
use crate::bindings::object::stub::{Host, HostStub, HostStubWithStore};
use crate::bindings::object::types::{Failure, ObjectId};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    fn id_from_name(&mut self, _namespace: String, _name: String) -> Answer<ObjectId> {
        unserved::failure("stub.id-from-name")
    }

    fn id_from_text(&mut self, _namespace: String, _text: String) -> Answer<ObjectId> {
        unserved::failure("stub.id-from-text")
    }

    fn unique_id(&mut self, _namespace: String) -> Answer<ObjectId> {
        unserved::failure("stub.unique-id")
    }
}

impl HostStubWithStore<GuestState> for HasSelf<GuestState> {
    async fn call(
        _accessor: &Accessor<GuestState, Self>,
        _stub: Resource<Unserved>,
        _method: String,
        _args: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        unserved::failure("stub.call")
    }

    async fn fetch(
        _accessor: &Accessor<GuestState, Self>,
        _stub: Resource<Unserved>,
        _request: Request,
    ) -> Answer<Response> {
        unserved::failure("stub.fetch")
    }
}

impl HostStub for GuestState {
    fn get(&mut self, _namespace: String, _id: ObjectId) -> Answer<Resource<Unserved>> {
        unserved::failure("stub.get")
    }

    fn get_by_name(&mut self, _namespace: String, _name: String) -> Answer<Resource<Unserved>> {
        unserved::failure("stub.get-by-name")
    }

    fn id(&mut self, _stub: Resource<Unserved>) -> wasmtime::Result<ObjectId> {
        unserved::trap("stub.id")
    }

    fn name(&mut self, _stub: Resource<Unserved>) -> wasmtime::Result<Option<String>> {
        unserved::trap("stub.name")
    }

    fn drop(&mut self, stub: Resource<Unserved>) -> wasmtime::Result<()> {
        self.table.delete(stub)?;
        Ok(())
    }
}
