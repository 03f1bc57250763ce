//! `kv`: not served yet.
//!
//! Every function answers that it is not served, and nothing is written.

use super::unserved;
use crate::bindings::object::kv::{Entry, Host, ListOptions, Value};
use crate::bindings::object::types::{Failure, WriteFlags};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn get(&mut self, _key: String) -> Answer<Option<Value>> {
        unserved::failure("kv.get")
    }

    async fn get_many(&mut self, _keys: Vec<String>) -> Answer<Vec<Entry>> {
        unserved::failure("kv.get-many")
    }

    async fn put(&mut self, _key: String, _value: Value, _options: WriteFlags) -> Answer<()> {
        unserved::failure("kv.put")
    }

    async fn put_many(&mut self, _entries: Vec<Entry>, _options: WriteFlags) -> Answer<()> {
        unserved::failure("kv.put-many")
    }

    async fn delete(&mut self, _key: String, _options: WriteFlags) -> Answer<bool> {
        unserved::failure("kv.delete")
    }

    async fn delete_many(&mut self, _keys: Vec<String>, _options: WriteFlags) -> Answer<u32> {
        unserved::failure("kv.delete-many")
    }

    async fn list(&mut self, _options: ListOptions) -> Answer<Vec<Entry>> {
        unserved::failure("kv.list")
    }
}
