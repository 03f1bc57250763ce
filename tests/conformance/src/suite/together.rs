//! Several clients at once.
//!
//! For what must hold however events race.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;

/// Runs `work` in `count` threads that start at the same moment; the results in the order of their numbers.
pub fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|thrown| resume_unwind(thrown)))
            .collect()
    })
}
