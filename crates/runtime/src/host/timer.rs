//! `timer`: waiting within an event. The wait itself is the turn end.
//!
//! A sleep is pending at least once, even for no time, because that is what ends the turn.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::object::timer::{Host, HostWithStore};
use crate::state::{GuestState, begin_import};

impl Host for GuestState {}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn sleep(accessor: &Accessor<GuestState, Self>, duration: u64) -> wasmtime::Result<()> {
        let _under_way = accessor.with(|mut host| begin_import(&mut host))?;
        if duration == 0 {
            // A sleep ends the turn even if it takes no time: it has to be pending once.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(duration)).await;
        }
        Ok(())
    }
}
