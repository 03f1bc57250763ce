//! `alarm`: not served yet.
//!
//! Every function answers that it is not served, so that no guest counts on an alarm that never
//! comes.

use super::unserved;
use crate::bindings::object::alarm::{Host, Run};
use crate::bindings::object::types::{Failure, Timestamp, WriteFlags};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn get(&mut self) -> Answer<Option<Timestamp>> {
        unserved::failure("alarm.get")
    }

    async fn set(&mut self, _time: Timestamp, _options: WriteFlags) -> Answer<()> {
        unserved::failure("alarm.set")
    }

    async fn delete(&mut self, _options: WriteFlags) -> Answer<()> {
        unserved::failure("alarm.delete")
    }

    async fn history(&mut self, _limit: u32) -> Answer<Vec<Run>> {
        unserved::failure("alarm.history")
    }
}
