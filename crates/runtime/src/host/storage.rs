//! `storage`: transactions, durability, wiping. Not served yet.
//!
//! Every function answers that it is not served, so that no guest takes a write for durable or
//! undone that is not.

use durabo_objects::input_gate::Section;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::unserved;
use crate::bindings::Unserved;
use crate::bindings::object::storage::{Host, HostSavepoint, HostTransaction, HostWithStore};
use crate::bindings::object::types::Failure;
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn delete_all(&mut self) -> Answer<()> {
        unserved::failure("storage.delete-all")
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn sync(_accessor: &Accessor<GuestState, Self>) -> Answer<()> {
        unserved::failure("storage.sync")
    }
}

impl HostSavepoint for GuestState {
    async fn begin(&mut self) -> Answer<Resource<Unserved>> {
        unserved::failure("storage.savepoint.begin")
    }

    async fn release(&mut self, _savepoint: Resource<Unserved>) -> Answer<()> {
        unserved::failure("storage.savepoint.release")
    }

    async fn rollback(&mut self, _savepoint: Resource<Unserved>) -> Answer<()> {
        unserved::failure("storage.savepoint.rollback")
    }

    async fn drop(&mut self, savepoint: Resource<Unserved>) -> wasmtime::Result<()> {
        self.table.delete(savepoint)?;
        Ok(())
    }
}

impl HostTransaction for GuestState {
    async fn begin(&mut self, _section: Resource<Section>) -> Answer<Resource<Unserved>> {
        unserved::failure("storage.transaction.begin")
    }

    async fn commit(&mut self, _transaction: Resource<Unserved>) -> Answer<()> {
        unserved::failure("storage.transaction.commit")
    }

    async fn rollback(&mut self, _transaction: Resource<Unserved>) -> Answer<()> {
        unserved::failure("storage.transaction.rollback")
    }

    async fn drop(&mut self, transaction: Resource<Unserved>) -> wasmtime::Result<()> {
        self.table.delete(transaction)?;
        Ok(())
    }
}
