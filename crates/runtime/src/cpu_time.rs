//! CPU time: one thread ticks, and whoever is being run at a tick is charged for it (LC-14).
//!
//! The same count covers Wasm, SQL and commits, since it does not ask what runs. Over its budget an
//! instance is cut in Wasm by the engine's epoch and in SQL by an interrupt, which is repeated with
//! each tick because one that falls between two statements is lost. Time spent waiting costs nothing.
//!
//! The thread sleeps without a timer while nothing runs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use durabo_storage::database::InterruptHandle;

/// Length of a tick: how long a spinning guest holds a thread before others get a chance.
pub const TICK: Duration = Duration::from_millis(5);

/// Ticks without anything to charge before the thread stops ticking. Starting again costs a wake-up,
/// so it should not stop between two requests of a busy node.
const IDLE_TICKS_MAX: u32 = 100;

/// Stops SQL of one instance and lets it run again. Called from the ticker's thread too.
pub trait SqlBrake: Send + Sync + 'static {
    /// Stops what runs, if anything does.
    fn stop(&self);
    /// Lets statements run.
    fn release(&self);
}

impl SqlBrake for InterruptHandle {
    fn stop(&self) {
        self.interrupt();
    }

    fn release(&self) {
        self.allow();
    }
}

/// Time that one instance has used, in ticks.
pub struct CpuMeter {
    used: AtomicU32,
    ticks_max: u32,
    /// What runs is not the guest's.
    is_paused: AtomicBool,
    /// Held while budget and brake change together, so that a refilled instance is never braked.
    brake: Mutex<Box<dyn SqlBrake>>,
}

impl CpuMeter {
    /// A full budget. `brake` stops SQL when it is used up.
    pub fn new(budget: Duration, brake: impl SqlBrake) -> Self {
        let ticks = budget.as_nanos().div_ceil(TICK.as_nanos());
        let ticks_max = u32::try_from(ticks).unwrap_or(u32::MAX - 1).max(1);
        let (used, is_paused) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { used, ticks_max, is_paused, brake: Mutex::new(Box::new(brake)) }
    }

    /// Fills the budget: an event is started in the guest.
    pub fn refill(&self) {
        let brake = self.brake.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_exhausted() {
            brake.release();
        }
        self.used.store(0, Ordering::Relaxed);
    }

    /// Whether the budget is used up.
    pub fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.ticks_max
    }

    /// Ticks charged since the last refill.
    pub fn ticks_used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges nothing and lets SQL run until the guard is dropped.
    pub fn pause(&self) -> Paused<'_> {
        let brake = self.brake.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_paused.store(true, Ordering::Relaxed);
        if self.is_exhausted() {
            brake.release();
        }
        Paused(self)
    }

    fn charge(&self) {
        let brake = self.brake.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_paused.load(Ordering::Relaxed) {
            return;
        }
        let used = self.used.load(Ordering::Relaxed).saturating_add(1);
        self.used.store(used, Ordering::Relaxed);
        if self.is_exhausted() {
            brake.stop();
        }
    }
}

/// While it lives, its meter is not charged.
pub struct Paused<'a>(&'a CpuMeter);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let brake = self.0.brake.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.is_paused.store(false, Ordering::Relaxed);
        if self.0.is_exhausted() {
            brake.stop();
        }
    }
}

#[derive(Default)]
struct State {
    /// Whom to charge; places are used again.
    running: Vec<Option<Arc<CpuMeter>>>,
    free: Vec<usize>,
    parked: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ticking thread. Stops when dropped.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread. `each_tick` runs on it with every tick.
    pub fn start(each_tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = {
            let shared = shared.clone();
            thread::Builder::new().name("durabo-ticker".to_owned()).spawn(move || tick(&shared, each_tick))?
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Charges `meter` until the guard is dropped.
    pub fn charge(&self, meter: &Arc<CpuMeter>) -> ChargeGuard<'_> {
        let mut state = self.shared.lock();
        let place = match state.free.pop() {
            Some(place) => place,
            None => {
                state.running.push(None);
                state.running.len() - 1
            }
        };
        state.running[place] = Some(meter.clone());
        if state.parked {
            self.shared.wake.notify_one();
        }
        ChargeGuard { shared: &self.shared, place }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by it; there is nothing to add at the end.
            let _ = thread.join();
        }
    }
}

/// While it lives, a meter is charged.
pub struct ChargeGuard<'a> {
    shared: &'a Shared,
    place: usize,
}

impl Drop for ChargeGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.running[self.place] = None;
        state.free.push(self.place);
    }
}

fn tick(shared: &Shared, each_tick: impl Fn()) {
    let mut idle_ticks = 0;
    let mut charged = Vec::new();
    loop {
        {
            // A tick passes, unless the ticker is stopped meanwhile.
            let waited = shared.wake.wait_timeout_while(shared.lock(), TICK, |state| !state.stopped);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            charged.extend(state.running.iter().flatten().cloned());
            idle_ticks = if charged.is_empty() { idle_ticks + 1 } else { 0 };
            while !state.stopped && idle_ticks > IDLE_TICKS_MAX && state.running.len() == state.free.len() {
                state.parked = true;
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.parked = false;
            }
            if state.stopped {
                return;
            }
        }
        // Outside the lock: an interrupt takes SQLite's own lock.
        charged.drain(..).for_each(|meter| meter.charge());
        each_tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Counts stops since the last release.
    #[derive(Clone, Default)]
    struct Stops(Arc<AtomicU32>, Option<mpsc::Sender<()>>);

    impl SqlBrake for Stops {
        fn stop(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if let Some(sender) = &self.1 {
                // The test may have seen enough.
                let _ = sender.send(());
            }
        }

        fn release(&self) {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    #[test]
    fn beyond_its_budget_each_charge_stops_sql_and_a_refill_releases_it() {
        let stops = Stops::default();
        let meter = CpuMeter::new(2 * TICK, stops.clone());
        meter.charge();
        meter.charge();
        assert!(!meter.is_exhausted());
        meter.charge();
        meter.charge();
        assert!(meter.is_exhausted());
        assert_eq!(stops.0.load(Ordering::Relaxed), 2);
        meter.refill();
        assert!(!meter.is_exhausted());
        assert_eq!(stops.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_not_the_guests_is_neither_charged_nor_stopped_and_an_empty_budget_stays_empty() {
        let stops = Stops::default();
        let meter = CpuMeter::new(TICK, stops.clone());
        let paused = meter.pause();
        (0..5).for_each(|_| meter.charge());
        drop(paused);
        assert!(!meter.is_exhausted());
        (0..2).for_each(|_| meter.charge());
        assert!(meter.is_exhausted());
        let paused = meter.pause();
        meter.charge();
        assert_eq!(stops.0.load(Ordering::Relaxed), 0);
        drop(paused);
        assert_eq!(stops.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_who_runs_is_charged() {
        let (sender, receiver) = mpsc::channel();
        let ticker = Ticker::start(|| {}).expect("a thread");
        let idle = Arc::new(CpuMeter::new(TICK, Stops::default()));
        let busy = Arc::new(CpuMeter::new(TICK, Stops(Arc::default(), Some(sender))));
        drop(ticker.charge(&idle));
        let used = idle.ticks_used();
        let running = ticker.charge(&busy);
        for _ in 0..5 {
            receiver.recv().expect("one more stop");
        }
        drop(running);
        assert!(busy.is_exhausted());
        // A tick that had begun before the drop may charge it after.
        assert!(idle.ticks_used() <= used + 1, "{} ticks after {used}", idle.ticks_used());
    }

    #[test]
    fn places_are_used_again() {
        let ticker = Ticker::start(|| {}).expect("a thread");
        let meter = Arc::new(CpuMeter::new(TICK, Stops::default()));
        for _ in 0..100 {
            drop(ticker.charge(&meter));
        }
        assert_eq!(ticker.shared.lock().running.len(), 1);
    }

    #[test]
    fn a_parked_ticker_ticks_again_when_somebody_runs() {
        let (sender, receiver) = mpsc::channel();
        let ticker = Ticker::start(|| {}).expect("a thread");
        let parked = |ticker: &Ticker| ticker.shared.lock().parked;
        while !parked(&ticker) {
            thread::yield_now();
        }
        let meter = Arc::new(CpuMeter::new(TICK, Stops(Arc::default(), Some(sender))));
        let _running = ticker.charge(&meter);
        receiver.recv().expect("a stop");
        assert!(!parked(&ticker));
    }
}
