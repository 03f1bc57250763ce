//! `recovery`: not served yet.
//!
//! Every function answers that it is not served, so that no guest takes a made-up bookmark for one.

use wasmtime::component::{Accessor, HasSelf};

use super::unserved;
use crate::bindings::object::recovery::{Bookmark, Host, HostWithStore};
use crate::bindings::object::types::{Failure, Timestamp};
use crate::state::GuestState;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for GuestState {
    async fn current(&mut self) -> Answer<Bookmark> {
        unserved::failure("recovery.current")
    }

    async fn at_time(&mut self, _time: Timestamp) -> Answer<Bookmark> {
        unserved::failure("recovery.at-time")
    }

    async fn restore_on_next_start(&mut self, _target: Bookmark) -> Answer<Bookmark> {
        unserved::failure("recovery.restore-on-next-start")
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn wait_for(_accessor: &Accessor<GuestState, Self>, _target: Bookmark) -> Answer<()> {
        unserved::failure("recovery.wait-for")
    }
}
