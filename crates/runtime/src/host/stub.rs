//! `stub`: ids of other objects, and calls to them.
//!
//! Ids are computed from the binding's key; nothing is looked up, called or started by them (ID-10).

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure as ModelFailure;
use durabo_model::object::ObjectKey;
use durabo_model::object_id::ObjectId as ModelId;
use durabo_objects::address::ObjectAddress;
use durabo_objects::context::Call;
use durabo_objects::event::{Event, Outcome, Reply};
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::Stub;
use crate::bindings::object::http::{Request, Response};
use crate::bindings::object::stub::{Host, HostStub, HostStubWithStore};
use crate::bindings::object::types::{Failure, ObjectId};
use crate::env_bindings::NamespaceBinding;
use crate::failure_record;
use crate::http_exchange::{HTTP, request_of_guest, response_to_guest};
use crate::state::{GuestState, begin_import, calling_event};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl GuestState {
    fn namespace(&self, name: &str) -> Result<&NamespaceBinding, ModelFailure> {
        self.bindings.namespace(name).ok_or_else(|| {
            let names: Vec<_> = self.bindings.iter().map(|(name, _)| format!("`{name}`")).collect();
            let (name, names) = (durabo_model::failure::cut(name.to_owned(), 100), names.join(", "));
            let text = format!("no namespace is bound as `{name}`; bound are {names}");
            ModelFailure::new(ErrorCode::BindingNotFound, text)
        })
    }

    fn id_of_text(&self, namespace: &str, text: &str) -> Result<ModelId, ModelFailure> {
        let id = self.namespace(namespace)?.key.id_from_text(text);
        id.map_err(|error| ModelFailure::new(ErrorCode::InvalidObjectId, error.to_string()))
    }

    fn make_stub(&self, namespace: &str, id: ModelId, name: Option<String>) -> Result<Stub, ModelFailure> {
        let NamespaceBinding { class, number, .. } = self.namespace(namespace)?;
        let key = ObjectKey { namespace: *number, id };
        Ok(self.context.stub(ObjectAddress { key, class: class.clone(), name }))
    }

    fn push_stub(&mut self, stub: Result<Stub, ModelFailure>) -> Answer<Resource<Stub>> {
        match stub {
            Ok(stub) => Ok(Ok(self.table.push(stub)?)),
            Err(failure) => Ok(Err(failure_record::to_guest(failure))),
        }
    }
}

fn id_text(id: Result<ModelId, ModelFailure>) -> Answer<ObjectId> {
    Ok(id.map(|id| id.to_string()).map_err(failure_record::to_guest))
}

impl Host for GuestState {
    fn id_from_name(&mut self, namespace: String, name: String) -> Answer<ObjectId> {
        id_text(self.namespace(&namespace).map(|namespace| namespace.key.id_from_name(&name)))
    }

    fn id_from_text(&mut self, namespace: String, text: String) -> Answer<ObjectId> {
        id_text(self.id_of_text(&namespace, &text))
    }

    fn unique_id(&mut self, namespace: String) -> Answer<ObjectId> {
        let random = self.context.random();
        id_text(self.namespace(&namespace).map(|namespace| namespace.key.unique_id(random)))
    }
}

impl HostStubWithStore<GuestState> for HasSelf<GuestState> {
    async fn call(
        accessor: &Accessor<GuestState, Self>,
        stub: Resource<Stub>,
        method: String,
        args: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        let event = Event::Rpc { method, args: args.into() };
        Ok(match outcome(begin(accessor, stub, event)?).await {
            Ok(Reply::Rpc(result)) => Ok(result.into()),
            Ok(other) => unreachable!("BUG: a call was answered with {other:?}"),
            Err(failure) => Err(failure_record::to_guest(failure)),
        })
    }

    async fn fetch(
        accessor: &Accessor<GuestState, Self>,
        stub: Resource<Stub>,
        request: Request,
    ) -> Answer<Response> {
        let request = match accessor.with(|host| request_of_guest(host, request, HTTP))? {
            Ok(request) => request,
            Err(failure) => return Ok(Err(failure_record::to_guest(failure))),
        };
        let answer = match outcome(begin(accessor, stub, Event::Fetch(request))?).await {
            Ok(Reply::Fetch(response)) => accessor.with(|host| response_to_guest(host, response))?,
            Ok(other) => unreachable!("BUG: a request was answered with {other:?}"),
            Err(failure) => Err(failure),
        };
        Ok(answer.map_err(failure_record::to_guest))
    }
}

/// Makes the call now, in the midst of the turn: what it waits for is decided at this moment (T5).
fn begin(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    stub: Resource<Stub>,
    event: Event,
) -> wasmtime::Result<Result<Call, ModelFailure>> {
    accessor.with(|mut host| {
        let import = begin_import(&mut host)?;
        let caller = calling_event(&mut host)?;
        let state = host.get();
        let stub = state.table.get(&stub)?;
        Ok(state.context.call(stub, import, caller, event))
    })
}

async fn outcome(call: Result<Call, ModelFailure>) -> Outcome {
    call?.outcome().await
}

impl HostStub for GuestState {
    fn get(&mut self, namespace: String, id: ObjectId) -> Answer<Resource<Stub>> {
        let id = self.id_of_text(&namespace, &id);
        let stub = id.and_then(|id| self.make_stub(&namespace, id, None));
        self.push_stub(stub)
    }

    fn get_by_name(&mut self, namespace: String, name: String) -> Answer<Resource<Stub>> {
        let id = self.namespace(&namespace).map(|namespace| namespace.key.id_from_name(&name));
        let stub = id.and_then(|id| self.make_stub(&namespace, id, Some(name)));
        self.push_stub(stub)
    }

    fn id(&mut self, stub: Resource<Stub>) -> wasmtime::Result<ObjectId> {
        Ok(self.table.get(&stub)?.address().key.id.to_string())
    }

    fn name(&mut self, stub: Resource<Stub>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&stub)?.address().name.clone())
    }

    fn drop(&mut self, stub: Resource<Stub>) -> wasmtime::Result<()> {
        self.table.delete(stub)?;
        Ok(())
    }
}
