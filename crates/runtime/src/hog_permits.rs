//! Permits for guests that compute: of those that go on and on, as many run at once as leave a core
//! to everybody else.
//!
//! Whoever ends its turn within a tick never waits here. A guest on its second tick of one turn gives
//! back what it had and queues for a permit, first come, first served among its kind, at each tick.
//! Waiting costs none of its budget and does not make it a newcomer. Whoever waits for anything else has no permit
//! meanwhile.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// Ticks of one turn without a permit.
const FREE_TICKS: u32 = 1;

/// The permits of a node. Clones hand out the same ones.
#[derive(Clone)]
pub struct HogPermits(Arc<Semaphore>);

impl HogPermits {
    /// One permit less than `cores`, at least one.
    pub fn new(cores: usize) -> Self {
        Self(Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))))
    }

    /// The run of one instance.
    pub fn run(&self) -> HogRun {
        HogRun { permits: self.0.clone(), ticks: 0, held: Arc::default() }
    }
}

/// How long one instance has computed without a pause, and the permit that this takes.
pub struct HogRun {
    permits: Arc<Semaphore>,
    ticks: u32,
    held: Arc<Held>,
}

/// The permit. Apart from the run, since a wait for it outlives every borrow of that.
#[derive(Default)]
struct Held(Mutex<Option<OwnedSemaphorePermit>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        let permit = self.lock().take();
        drop(permit);
    }
}

impl HogRun {
    /// A tick has struck while the guest computed: what it waits for before it goes on.
    pub fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.ticks = self.ticks.saturating_add(1);
        if self.ticks <= FREE_TICKS {
            return Box::pin(yield_now());
        }
        let (permits, held) = (self.permits.clone(), self.held.clone());
        Box::pin(async move {
            held.give_back();
            yield_now().await;
            // The semaphore is never closed; without a permit the guest would run all the same.
            let permit = permits.acquire_owned().await.ok();
            *held.lock() = permit;
        })
    }

    /// The turn has ended: the guest computes no more, or begins anew.
    pub fn end(&mut self) {
        if self.ticks > 0 {
            self.ticks = 0;
            self.held.give_back();
        }
    }

    /// The guest waits for something within its turn: others may compute, but its run goes on.
    pub fn pause(&mut self) {
        self.held.give_back();
    }

    /// Drives a wait that ends the turn, in which nobody else says so: the guest keeps its instance. If it is over at
    /// once the guest has let nobody run, and its run goes on.
    pub async fn end_over<T>(&mut self, wait: impl Future<Output = T>) -> T {
        self.let_go_over(wait, Self::end).await
    }

    /// Drives a wait within the turn.
    pub async fn pause_over<T>(&mut self, wait: impl Future<Output = T>) -> T {
        self.let_go_over(wait, Self::pause).await
    }

    async fn let_go_over<T>(&mut self, wait: impl Future<Output = T>, let_go: fn(&mut Self)) -> T {
        let mut wait = pin!(wait);
        poll_fn(|cx| {
            let polled = wait.as_mut().poll(cx);
            if polled.is_pending() {
                let_go(self);
            }
            polled
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::task::{Context, Poll, Waker};

    fn poll(wait: &mut Pin<Box<dyn Future<Output = ()> + Send>>) -> Poll<()> {
        wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Ticks without having to queue.
    fn tick_freely(run: &mut HogRun) {
        let mut wait = run.tick();
        assert!(poll(&mut wait).is_pending(), "a tick always lets others run first");
        assert!(poll(&mut wait).is_ready());
    }

    #[test]
    fn the_first_tick_of_a_turn_needs_no_permit() {
        let permits = HogPermits::new(2);
        let (mut hog, mut other) = (permits.run(), permits.run());
        tick_freely(&mut hog);
        tick_freely(&mut hog);
        assert_eq!(permits.0.available_permits(), 0);
        tick_freely(&mut other);
        other.end();
        tick_freely(&mut other);
    }

    #[test]
    fn hogs_take_turns_in_the_order_in_which_they_came() {
        let permits = HogPermits::new(1);
        let mut hogs = [permits.run(), permits.run(), permits.run()];
        hogs.iter_mut().for_each(tick_freely);
        tick_freely(&mut hogs[0]);
        let mut second = hogs[1].tick();
        let mut third = hogs[2].tick();
        for wait in [&mut second, &mut third] {
            assert!(poll(wait).is_pending());
            assert!(poll(wait).is_pending());
        }
        let mut first = hogs[0].tick();
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_ready());
        assert!(poll(&mut third).is_pending());
        assert!(poll(&mut first).is_pending());
        hogs[1].end();
        assert!(poll(&mut third).is_ready());
        assert!(poll(&mut first).is_pending());
    }

    #[test]
    fn a_permit_is_free_again_at_the_end_of_the_turn_in_a_pause_and_with_its_holder_gone() {
        let permits = HogPermits::new(1);
        let mut hog = permits.run();
        tick_freely(&mut hog);
        tick_freely(&mut hog);
        hog.pause();
        assert_eq!(permits.0.available_permits(), 1);
        tick_freely(&mut hog);
        assert_eq!(permits.0.available_permits(), 0, "a pause does not end the run");
        hog.end();
        assert_eq!(permits.0.available_permits(), 1);
        tick_freely(&mut hog);
        assert_eq!(permits.0.available_permits(), 1, "a turn end does");
        tick_freely(&mut hog);
        drop(hog);
        assert_eq!(permits.0.available_permits(), 1);
    }

    #[test]
    fn who_waits_has_no_permit_and_who_finds_that_nothing_is_to_be_waited_for_keeps_it() {
        let mut cx = Context::from_waker(Waker::noop());
        let permits = HogPermits::new(1);
        let mut hog = permits.run();
        tick_freely(&mut hog);
        tick_freely(&mut hog);
        assert!(pin!(hog.end_over(ready(()))).poll(&mut cx).is_ready());
        assert!(pin!(hog.pause_over(ready(()))).poll(&mut cx).is_ready());
        assert_eq!(permits.0.available_permits(), 0, "nobody has waited");
        assert!(pin!(hog.pause_over(pending::<()>())).poll(&mut cx).is_pending());
        assert_eq!(permits.0.available_permits(), 1, "it waits within its turn");
        tick_freely(&mut hog);
        assert_eq!(permits.0.available_permits(), 0, "its run goes on");
        assert!(pin!(hog.end_over(pending::<()>())).poll(&mut cx).is_pending());
        assert_eq!(permits.0.available_permits(), 1, "it waits, and its turn is over");
        tick_freely(&mut hog);
        assert_eq!(permits.0.available_permits(), 1, "it begins anew");
    }

    #[test]
    fn all_cores_but_one_may_be_taken() {
        for (cores, permits) in [(1, 1), (2, 1), (3, 2), (16, 15)] {
            assert_eq!(HogPermits::new(cores).0.available_permits(), permits);
        }
    }
}
