//! `schedule`: not served yet.
//!
//! Its functions are not linked either, since they may still change; the generated traits ask for
//! them.

use super::unserved;
use crate::bindings::object::schedule::{Entry, Host, Run, Trigger};
use crate::bindings::object::types::{Failure, WriteFlags};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn set(
        &mut self,
        _name: String,
        _trigger: Trigger,
        _payload: Vec<u8>,
        _options: WriteFlags,
    ) -> Answer<()> {
        unserved::failure("schedule.set")
    }

    async fn get(&mut self, _name: String) -> Answer<Option<Entry>> {
        unserved::failure("schedule.get")
    }

    async fn delete(&mut self, _name: String, _options: WriteFlags) -> Answer<bool> {
        unserved::failure("schedule.delete")
    }

    async fn list(
        &mut self,
        _prefix: Option<String>,
        _start_after: Option<String>,
        _limit: u32,
    ) -> Answer<Vec<Entry>> {
        unserved::failure("schedule.list")
    }

    async fn history(&mut self, _name: String, _limit: u32) -> Answer<Vec<Run>> {
        unserved::failure("schedule.history")
    }
}
