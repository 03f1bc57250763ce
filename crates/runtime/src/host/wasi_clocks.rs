//! `wasi:clocks/monotonic-clock` of WASI 0.3: its waits are imports like those of the contract.
//!
//! So they count as unfinished, end the turn however short they are, and return only past the section gate
//! (T8), which the bare ones would not.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock::{Host, HostWithStore, Mark};

use super::timer::pause;
use crate::state::{GuestState, begin_import};

impl Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<Mark> {
        self.clocks().now()
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        self.clocks().get_resolution()
    }
}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn wait_until(accessor: &Accessor<GuestState, Self>, when: Mark) -> wasmtime::Result<()> {
        let now = accessor.with(|mut host| host.get().now())?;
        wait(accessor, when.saturating_sub(now)).await
    }

    async fn wait_for(accessor: &Accessor<GuestState, Self>, nanoseconds: u64) -> wasmtime::Result<()> {
        wait(accessor, nanoseconds).await
    }
}

async fn wait(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    nanoseconds: u64,
) -> wasmtime::Result<()> {
    let import = accessor.with(|mut host| begin_import(&mut host))?;
    import.wait_for(pause(Duration::from_nanos(nanoseconds))).await;
    Ok(())
}
