//! The wait for the next alarm: a timer of the system that goes by the time of day.
//!
//! It ends at the moment itself, to some microseconds, and also when the time of day is set so that the moment has
//! come. The timers of the runtime round up to whole milliseconds; they do where the system has no other.
#![allow(unsafe_code)]

use std::sync::Arc;

use durabo_model::time::Clock;
use durabo_objects::alarm_timer::AlarmTimer;
use tokio::runtime::Runtime;

/// The timer for the objects of `objects`, whose clock is `clock`.
#[cfg(target_os = "linux")]
pub fn alarm_timer(objects: &Runtime, _clock: &Arc<dyn Clock>) -> anyhow::Result<Box<dyn AlarmTimer>> {
    use anyhow::Context;

    let _entered = objects.enter();
    Ok(Box::new(of_day::DayTimer::new().context("making a timer of the system")?))
}

/// The timer for the objects of `objects`, whose clock is `clock`.
#[cfg(not(target_os = "linux"))]
pub fn alarm_timer(_objects: &Runtime, clock: &Arc<dyn Clock>) -> anyhow::Result<Box<dyn AlarmTimer>> {
    Ok(Box::new(durabo_objects::alarm_timer::RuntimeTimer(clock.clone())))
}

#[cfg(target_os = "linux")]
mod of_day {
    use std::future::pending;
    use std::io;
    use std::os::fd::OwnedFd;

    use durabo_model::time::Timestamp;
    use durabo_objects::alarm_timer::AlarmTimer;
    use futures::future::BoxFuture;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tracing::error;

    /// A timer of the system over the clock that also `SystemClock` reads.
    pub(super) struct DayTimer(AsyncFd<OwnedFd>);

    impl DayTimer {
        /// For tasks of the present runtime.
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
            // SAFETY: an `OwnedFd` is open for as long as it lives, and always the same one.
            let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
            Ok(Self(timer?))
        }

        async fn wait(&self, moment: Timestamp) -> io::Result<()> {
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once_at(moment))?;
            let mut times_over = [0; size_of::<u64>()];
            loop {
                let mut readable = self.0.readable().await?;
                // What was readable may have been the wait before.
                if let Ok(read) = readable.try_io(|timer| Ok(rustix::io::read(timer, &mut times_over)?)) {
                    return read.map(drop);
                }
            }
        }
    }

    impl AlarmTimer for DayTimer {
        fn wait_until(&self, moment: Timestamp) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                if let Err(error) = self.wait(moment).await {
                    error!(%error, "the system's timer failed; alarms are looked at each second");
                    pending().await
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
        use durabo_model::time::Clock;
        use futures::FutureExt;
        use tokio::runtime::Builder;

        use super::*;
        use crate::system::SystemClock;

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
                let timer = DayTimer::new().expect("a timer");
                for ms in [3, 1, 0, 7, 2] {
                    let moment = Timestamp(SystemClock.now().0 + ms);
                    timer.wait_until(moment).await;
                    assert!(SystemClock.now() >= moment);
                }
                // One that is over, and was given up before anybody heard of it.
                let timer = DayTimer::new().expect("a timer");
                assert_eq!(timer.wait_until(Timestamp(1)).now_or_never(), None);
                timer.0.readable().await.expect("it is over").retain_ready();
                let moment = Timestamp(SystemClock.now().0 + 20);
                timer.wait_until(moment).await;
                assert!(SystemClock.now() >= moment, "the wait before has ended it");
            });
        }

        #[test]
        fn a_moment_that_is_past_is_over_at_once() {
            within_runtime(async {
                let timer = DayTimer::new().expect("a timer");
                timer.wait_until(Timestamp(SystemClock.now().0 + 3_600_000)).now_or_never();
                timer.wait_until(Timestamp(1)).await;
            });
        }
    }
}
