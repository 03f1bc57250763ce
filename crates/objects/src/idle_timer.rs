//! When an instance without work rests, and when it goes (LC-10).
//!
//! It rests so long after its last work, each time anew, and goes after a longer time. Work does not move the timer,
//! which would cost every event: the time of the last work is looked at when the timer is over. Only a rest leaves
//! the timer where it comes too late for the next one, and the first work after it is seen here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use durabo_model::limits::REST_AFTER;
use tokio::time::{Instant, Sleep, sleep_until};

/// What an instance without work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It gives back what it caches.
    Rests,
    /// It goes.
    Goes,
}

/// The timer of one instance.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    hibernate_after: Duration,
    timer: Pin<Box<Sleep>>,
    /// The last work before the present rest.
    rests_since: Option<Instant>,
}

impl IdleTimer {
    /// For an instance that begins now.
    pub(crate) fn new(hibernate_after: Duration) -> Self {
        let first = Instant::now() + REST_AFTER.min(hibernate_after);
        Self { hibernate_after, timer: Box::pin(sleep_until(first)), rests_since: None }
    }

    /// Whether the instance has rested since its last work, which was at `active_at`.
    pub(crate) fn is_resting(&self, active_at: Instant) -> bool {
        self.rests_since == Some(active_at)
    }

    /// To be asked while there is no work; `active_at` is when there last was. Ready once for each rest.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, active_at: Instant) -> Poll<Idle> {
        let (rest_at, go_at) = (active_at + REST_AFTER, active_at + self.hibernate_after);
        if self.rests_since.is_some_and(|since| since != active_at) {
            self.rests_since = None;
            self.timer.as_mut().reset(rest_at.min(go_at));
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if go_at <= now {
                return Poll::Ready(Idle::Goes);
            }
            let rests = rest_at <= now;
            self.timer.as_mut().reset(if rests { go_at } else { rest_at.min(go_at) });
            if rests && self.rests_since.is_none() {
                self.rests_since = Some(active_at);
                return Poll::Ready(Idle::Rests);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const HIBERNATE_AFTER: Duration = Duration::from_secs(10);

    /// What the timer says next and how long that takes, in ms.
    async fn next(timer: &mut IdleTimer, active_at: Instant) -> (Idle, u128) {
        let before = Instant::now();
        let idle = timeout(Duration::from_secs(60), poll_fn(|cx| timer.poll(cx, active_at))).await;
        (idle.expect("the timer is never over"), before.elapsed().as_millis())
    }

    /// Work that begins after `wait`, with a look at the timer when it is over.
    async fn work(timer: &mut IdleTimer, wait: Duration) -> Instant {
        advance(wait).await;
        let active_at = Instant::now();
        let looked = poll_fn(|cx| Poll::Ready(timer.poll(cx, active_at))).await;
        assert_eq!(looked, Poll::Pending, "just now there was work");
        active_at
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_rests_once_and_goes_when_no_work_comes() {
        let mut timer = IdleTimer::new(HIBERNATE_AFTER);
        let active_at = Instant::now();
        assert!(!timer.is_resting(active_at));
        assert_eq!(next(&mut timer, active_at).await, (Idle::Rests, 1000));
        assert!(timer.is_resting(active_at));
        assert!(!timer.is_resting(Instant::now()), "there was work since");
        assert_eq!(next(&mut timer, active_at).await, (Idle::Goes, 9000));
    }

    #[tokio::test(start_paused = true)]
    async fn every_rest_comes_a_second_after_the_last_work_before_it() {
        let mut timer = IdleTimer::new(HIBERNATE_AFTER);
        let mut active_at = Instant::now();
        for round in 0..3 {
            assert_eq!(next(&mut timer, active_at).await, (Idle::Rests, 1000), "round {round}");
            work(&mut timer, Duration::from_secs(4)).await;
            active_at = work(&mut timer, Duration::from_millis(700)).await;
        }
        assert_eq!(next(&mut timer, active_at).await, (Idle::Rests, 1000));
        assert_eq!(next(&mut timer, active_at).await, (Idle::Goes, 9000));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_with_steady_work_does_not_rest() {
        let mut timer = IdleTimer::new(HIBERNATE_AFTER);
        let mut active_at = Instant::now();
        for _ in 0..30 {
            active_at = work(&mut timer, Duration::from_millis(900)).await;
        }
        assert_eq!(next(&mut timer, active_at).await, (Idle::Rests, 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_goes_before_it_could_rest_does_not_rest() {
        let mut timer = IdleTimer::new(REST_AFTER / 2);
        assert_eq!(next(&mut timer, Instant::now()).await, (Idle::Goes, 500));
    }
}
