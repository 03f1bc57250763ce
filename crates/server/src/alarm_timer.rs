//! The wait for the next alarm: a timer of the system that goes by the time of day.
//!
//! It ends at the moment itself, to some microseconds, and also when the time of day is set so that the moment has
//! come. The timers of the runtime round up to whole milliseconds; they do where the system has no other, or its own
//! has failed.

use std::sync::Arc;

use durabo_objects::alarm_timer::AlarmTimer;
use tokio::runtime::Runtime;

use crate::system::SystemClock;

/// The timer for the objects of `objects`. Their clock has to be the system's, by which also the timer goes.
#[cfg(target_os = "linux")]
pub fn alarm_timer(objects: &Runtime, clock: &Arc<SystemClock>) -> anyhow::Result<Box<dyn AlarmTimer>> {
    use anyhow::Context;

    let _entered = objects.enter();
    Ok(Box::new(of_day::DayTimer::new(clock.clone()).context("making a timer of the system")?))
}

/// The timer for the objects of `objects`, whose clock is the system's.
#[cfg(not(target_os = "linux"))]
pub fn alarm_timer(_objects: &Runtime, clock: &Arc<SystemClock>) -> anyhow::Result<Box<dyn AlarmTimer>> {
    Ok(Box::new(durabo_objects::alarm_timer::RuntimeTimer(clock.clone())))
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod of_day {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use durabo_model::time::Timestamp;
    use durabo_objects::alarm_timer::{AlarmTimer, RuntimeTimer};
    use futures::future::BoxFuture;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tracing::error;

    use crate::system::SystemClock;

    /// A timer of the system over the clock that also `SystemClock` reads.
    pub(super) struct DayTimer {
        timer: AsyncFd<OwnedFd>,
        /// What waits in its place once it has failed.
        in_place: RuntimeTimer,
        has_failed: AtomicBool,
    }

    impl DayTimer {
        /// For tasks of the present runtime.
        pub(super) fn new(clock: Arc<SystemClock>) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Self::over(timerfd_create(TimerfdClockId::Realtime, flags)?, clock)
        }

        fn over(timer: OwnedFd, clock: Arc<SystemClock>) -> io::Result<Self> {
            // SAFETY: an `OwnedFd` is open for as long as it lives, and always the same one.
            let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
            Ok(Self { timer: timer?, in_place: RuntimeTimer(clock), has_failed: AtomicBool::new(false) })
        }

        async fn wait(&self, moment: Timestamp) -> io::Result<()> {
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once_at(moment))?;
            let mut times_over = [0; size_of::<u64>()];
            loop {
                let mut readable = self.timer.readable().await?;
                // What was readable may have been the wait before.
                if let Ok(read) = readable.try_io(|timer| Ok(rustix::io::read(timer, &mut times_over)?)) {
                    return read.map(drop);
                }
            }
        }
    }

    impl AlarmTimer for DayTimer {
        fn wait_until(&self, moment: Timestamp) -> BoxFuture<'_, ()> {
            if self.has_failed.load(Ordering::Relaxed) {
                return self.in_place.wait_until(moment);
            }
            Box::pin(async move {
                if let Err(error) = self.wait(moment).await {
                    self.has_failed.store(true, Ordering::Relaxed);
                    error!(%error, "the system's timer failed; alarms are one or two milliseconds late from now on");
                    self.in_place.wait_until(moment).await;
                }
            })
        }
    }

    /// The moment, to the system. One at the clock's beginning is a little later, since that would stop the timer.
    fn once_at(moment: Timestamp) -> Itimerspec {
        let ms = i64::try_from(moment.0).unwrap_or(i64::MAX).max(1);
        let it_value = Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
        Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value }
    }

    #[cfg(test)]
    mod tests {
        use std::os::unix::net::UnixStream;

        use durabo_model::time::Clock;
        use futures::FutureExt;
        use tokio::runtime::Builder;

        use super::*;

        fn day_timer() -> DayTimer {
            DayTimer::new(Arc::new(SystemClock)).expect("a timer")
        }

        fn within_runtime<T>(test: impl Future<Output = T>) -> T {
            Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
        }

        #[test]
        fn the_timer_is_set_to_the_millisecond_itself_and_never_to_none() {
            let set = |ms| once_at(Timestamp(ms)).it_value;
            assert_eq!(set(1_700_000_000_123), Timespec { tv_sec: 1_700_000_000, tv_nsec: 123_000_000 });
            assert_eq!(set(0), Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
            assert_eq!(set(u64::MAX).tv_sec, i64::MAX / 1000);
        }

        #[test]
        fn no_wait_ends_before_its_moment_by_the_clock_and_none_is_taken_for_an_earlier_one() {
            within_runtime(async {
                let timer = day_timer();
                for ms in [3, 1, 0, 7, 2] {
                    let moment = Timestamp(SystemClock.now().0 + ms);
                    timer.wait_until(moment).await;
                    assert!(SystemClock.now() >= moment);
                }
                // One that is over, and was given up before anybody heard of it.
                let timer = day_timer();
                assert_eq!(timer.wait_until(Timestamp(1)).now_or_never(), None);
                timer.timer.readable().await.expect("it is over").retain_ready();
                let moment = Timestamp(SystemClock.now().0 + 20);
                timer.wait_until(moment).await;
                assert!(SystemClock.now() >= moment, "the wait before has ended it");
            });
        }

        #[test]
        fn after_a_failure_the_waits_are_the_runtimes() {
            within_runtime(async {
                // What is no timer cannot be set.
                let (no_timer, _other) = UnixStream::pair().expect("a pair");
                let timer =
                    DayTimer::over(no_timer.into(), Arc::new(SystemClock)).expect("something to wait for");
                for ms in [3, 2] {
                    let moment = Timestamp(SystemClock.now().0 + ms);
                    timer.wait_until(moment).await;
                    assert!(SystemClock.now() >= moment);
                    assert!(timer.has_failed.load(Ordering::Relaxed));
                }
            });
        }

        #[test]
        fn a_moment_that_is_past_is_over_at_once() {
            within_runtime(async {
                let timer = day_timer();
                timer.wait_until(Timestamp(SystemClock.now().0 + 3_600_000)).now_or_never();
                timer.wait_until(Timestamp(1)).await;
            });
        }
    }
}
