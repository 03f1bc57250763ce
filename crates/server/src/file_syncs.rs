//! Syncs of many files at once: those of objects that leave memory together, and those that recovery has written.
//!
//! A file system brings many waiting syncs to the disk with one write of its journal, so that many at a time
//! take hardly longer than one. Threads are made for a batch and end with it.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Syncs under way at a time.
const AT_ONCE_MAX: usize = 16;

/// Runs `sync` on all of `files`, in no order. After an error some may not have been tried.
pub fn sync_at_once<F: Sync, E: Send>(
    files: &[F],
    sync: impl Fn(&F) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let sync_some = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            sync(file)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // Where the system gives no thread, those that there are sync the more.
        let spawn = |_| thread::Builder::new().name("sync".to_owned()).spawn_scoped(scope, sync_some).ok();
        let others: Vec<_> = (1..files.len().min(AT_ONCE_MAX)).filter_map(spawn).collect();
        let own = sync_some();
        let ended =
            others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.fold(own, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    #[test]
    fn every_file_is_synced_once_and_an_error_of_any_is_told() {
        for count in [0, 1, 2, 100] {
            let synced = Mutex::new(Vec::new());
            let files: Vec<usize> = (0..count).collect();
            let note = |file: &usize| {
                synced.lock().expect("unpoisoned").push(*file);
                Ok::<(), usize>(())
            };
            assert_eq!(sync_at_once(&files, note), Ok(()));
            let mut synced = synced.into_inner().expect("unpoisoned");
            synced.sort_unstable();
            assert_eq!(synced, files);
            for broken in &files {
                let sync = |file: &usize| if file == broken { Err(*file) } else { Ok(()) };
                assert_eq!(sync_at_once(&files, sync), Err(*broken));
            }
        }
    }

    #[test]
    fn as_many_are_under_way_as_may_be() {
        let (under_way, more) = (Mutex::new(0), Condvar::new());
        let wait_for_all = |_: &()| {
            let mut count = under_way.lock().expect("unpoisoned");
            *count += 1;
            more.notify_all();
            let waited =
                more.wait_timeout_while(count, Duration::from_secs(60), |count| *count < AT_ONCE_MAX);
            if waited.expect("unpoisoned").1.timed_out() { Err("one waits for the other") } else { Ok(()) }
        };
        assert_eq!(sync_at_once(&[(); AT_ONCE_MAX], wait_for_all), Ok(()));
    }
}
