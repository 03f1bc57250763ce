//! `storage`: savepoints, transactions, durability, wiping.
//!
//! A handle of a savepoint or transaction is its number; dropping it rolls back what is still open.

use durabo_objects::context::TransactionFailure;
use durabo_objects::input_gate::Section;
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::object::storage::{Host, HostSavepoint, HostTransaction, HostWithStore};
use crate::bindings::object::types::Failure;
use crate::bindings::{Savepoint, Transaction};
use crate::ending::InstanceEnd;
use crate::failure_record;
use crate::state::{GuestState, begin_import};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn delete_all(&mut self) -> Answer<()> {
        self.wait_for_room().await?;
        let wiped = self.context.database().delete_all();
        Ok(wiped.map_err(|error| failure_record::to_guest(failure_record::of_wipe(error))))
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn sync(accessor: &Accessor<GuestState, Self>) -> Answer<()> {
        let (import, durable) = accessor.with(|mut host| -> wasmtime::Result<_> {
            let import = begin_import(&mut host)?;
            Ok((import, host.get().context.sync()))
        })?;
        Ok(import.wait_for(durable).await.map_err(failure_record::to_guest))
    }
}

impl HostSavepoint for GuestState {
    async fn begin(&mut self) -> Answer<Resource<Savepoint>> {
        // What is written within it is no first write of its turn any more.
        self.wait_for_room().await?;
        match self.context.database().savepoint_begin() {
            Ok(savepoint) => Ok(Ok(self.table.push(savepoint)?)),
            Err(error) => Ok(Err(failure_record::to_guest(failure_record::of_savepoint(error)))),
        }
    }

    async fn release(&mut self, savepoint: Resource<Savepoint>) -> Answer<()> {
        let savepoint = *self.table.get(&savepoint)?;
        let released = self.context.database().savepoint_release(savepoint);
        Ok(released.map_err(|error| failure_record::to_guest(failure_record::of_savepoint(error))))
    }

    async fn rollback(&mut self, savepoint: Resource<Savepoint>) -> Answer<()> {
        let savepoint = *self.table.get(&savepoint)?;
        let undone = self.context.database().savepoint_rollback(savepoint);
        Ok(undone.map_err(|error| failure_record::to_guest(failure_record::of_savepoint(error))))
    }

    async fn drop(&mut self, savepoint: Resource<Savepoint>) -> wasmtime::Result<()> {
        let savepoint = self.table.delete(savepoint)?;
        self.context.database().savepoint_drop(savepoint);
        Ok(())
    }
}

impl HostTransaction for GuestState {
    async fn begin(&mut self, section: Resource<Section>) -> Answer<Resource<Transaction>> {
        // What is written within it is no first write of its turn.
        self.wait_for_room().await?;
        match told(self.context.begin_transaction(self.table.get(&section)?))? {
            Ok(transaction) => Ok(Ok(self.table.push(transaction)?)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Answer<()> {
        told(self.context.commit_transaction(self.table.get_mut(&transaction)?))
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Answer<()> {
        told(self.context.roll_back_transaction(self.table.get(&transaction)?))
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        let transaction = self.table.delete(transaction)?;
        self.context.drop_transaction(&transaction);
        Ok(())
    }
}

/// What the guest is told, unless its instance has to end.
fn told<T>(done: Result<T, TransactionFailure>) -> Answer<T> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(TransactionFailure::Refused(failure)) => Ok(Err(failure_record::to_guest(failure))),
        Err(TransactionFailure::Fatal(failure)) => Err(InstanceEnd(failure).into()),
    }
}
