//! `timer`: waiting within an event. The wait itself is the turn end.
//!
//! A sleep is pending at least once, however short it is and however late it is first looked at, because
//! that is what ends the turn.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::object::timer::{Host, HostWithStore};
use crate::state::{GuestState, begin_import};

impl Host for GuestState {}

impl HostWithStore<GuestState> for HasSelf<GuestState> {
    async fn sleep(accessor: &Accessor<GuestState, Self>, duration: u64) -> wasmtime::Result<()> {
        let import = accessor.with(|mut host| begin_import(&mut host))?;
        import.wait_for(pause(Duration::from_millis(duration))).await;
        Ok(())
    }
}

/// Waits at least this long, and is never ready when it is polled first: on a busy machine a short sleep
/// may be over by then, and what the guest writes after it would be in the turn before it.
pub(super) async fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    yield_now().await;
    sleep_until(until).await;
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_pending_at_its_first_poll_and_ends_when_its_time_is_over() {
        let mut cx = Context::from_waker(Waker::noop());
        for ms in [0, 1, 50] {
            let mut pause = pin!(pause(Duration::from_millis(ms)));
            assert!(pause.as_mut().poll(&mut cx).is_pending(), "{ms} ms");
            tokio::time::advance(Duration::from_millis(ms + 1)).await;
            assert!(pause.as_mut().poll(&mut cx).is_ready(), "{ms} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_lasts_as_long_as_it_says() {
        let begun = Instant::now();
        pause(Duration::from_millis(30)).await;
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
