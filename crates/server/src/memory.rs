//! The node's memory: what the allocator keeps free is given back to the system once many objects have left or the
//! process holds too much, and objects without work leave early while it still does.
//!
//! One thread looks every second. What is decided is a function of what it saw; the thread only acts.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use durabo_model::limits::ObjectLimits;
use durabo_objects::directory::Directory;
use rustix::param::page_size;
use tracing::{info, warn};

use crate::{control_group, heap};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Share of the memory that there is, in percent, that the process may take unless the operator says otherwise.
const SHARE_PERCENT: u64 = 80;

/// Fewer that went leave nothing that is worth the allocator's locks.
const GONE_MIN: usize = 250;

/// What was seen at one look.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Objects in memory and instances that run.
    held: usize,
    /// Memory of the process, in bytes.
    resident: u64,
}

/// What is known from earlier looks.
#[derive(Debug)]
struct Watch {
    resident_max: u64,
    /// Most that was held since memory was last given back.
    held_most: usize,
    is_over: bool,
}

impl Watch {
    /// Whether what is free is to be given back. Many are gone if it is a quarter of all: then what they took is
    /// most of what is free. Steady coming and going is no reason, since what goes is used again. Nor does it show
    /// what else became free, such as the WAL of an object that stays; that counts when there is too much.
    fn is_to_give_back(&mut self, seen: Seen) -> bool {
        self.held_most = self.held_most.max(seen.held);
        let gone = self.held_most - seen.held;
        let gives_back = gone >= GONE_MIN && gone >= self.held_most / 4 || seen.resident > self.resident_max;
        if gives_back {
            self.held_most = seen.held;
        }
        gives_back
    }

    /// Whether objects without work are to leave, after what was free was given back.
    fn is_to_make_room(&mut self, resident: u64) -> bool {
        let is_over = resident > self.resident_max;
        if is_over && !self.is_over {
            warn!(
                resident,
                resident_max = self.resident_max,
                "the process holds more memory than it should; objects without work leave early"
            );
        }
        self.is_over = is_over;
        is_over
    }
}

/// The thread; ends when it is dropped.
#[derive(Debug)]
pub struct MemoryThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryThread {
    /// Starts it. Beyond `resident_max` bytes of memory, objects without work are asked to leave, a part at each
    /// look.
    pub fn start(directory: Directory, resident_max: u64) -> std::io::Result<Self> {
        info!(resident_max, "memory of the process");
        let (stop, stopped) = mpsc::channel();
        let mut watch = Watch { resident_max, held_most: 0, is_over: false };
        let run = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let held = directory.live_count() + directory.instance_count();
                let mut resident_now = resident().unwrap_or(0);
                if watch.is_to_give_back(Seen { held, resident: resident_now }) {
                    heap::give_back();
                    resident_now = resident().unwrap_or(0);
                }
                if watch.is_to_make_room(resident_now) {
                    directory.ask_for_room();
                }
            }
        };
        let thread = thread::Builder::new().name("memory".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for MemoryThread {
    fn drop(&mut self) {
        self.stop = None;
        // A panic of the thread was reported by it; there is nothing to add at the end.
        self.thread.take().map(JoinHandle::join).and_then(Result::ok).unwrap_or_default();
    }
}

/// Memory of this process, in bytes; `None` where the system does not say.
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// Memory beyond which objects leave early: the operator's number, or a part of what there is.
pub fn resident_bytes_max(limits: &ObjectLimits) -> u64 {
    let part = || available().map(|bytes| bytes / 100 * SHARE_PERCENT);
    limits.node_resident_bytes_max.map(|bytes| bytes as u64).or_else(part).unwrap_or(u64::MAX)
}

/// Memory that this process may have, in bytes: the machine's, or what its control groups leave it if that is less.
fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total_of);
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = control_group::memory_max(Path::new("/sys/fs/cgroup"), &membership);
    [machine, groups].into_iter().flatten().min()
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    /// Whether memory is given back and whether objects have to leave, at looks that see so many held and so much
    /// memory, of which the allocator keeps `free`.
    fn looks_with_free(free: u64, looks: &[(usize, u64)]) -> Vec<(bool, bool)> {
        let mut watch = Watch { resident_max: 1000, held_most: 0, is_over: false };
        let looked = looks.iter().map(|&(held, resident)| {
            let gives_back = watch.is_to_give_back(Seen { held, resident });
            (gives_back, watch.is_to_make_room(if gives_back { resident - free } else { resident }))
        });
        looked.collect()
    }

    fn looks(looks: &[(usize, u64)]) -> Vec<(bool, bool)> {
        looks_with_free(0, looks)
    }

    const NOTHING: (bool, bool) = (false, false);
    const GIVE_BACK: (bool, bool) = (true, false);

    #[test]
    fn memory_is_given_back_once_when_many_are_gone() {
        let seen = [(1000, 1), (900, 1), (751, 1), (750, 1), (750, 1), (563, 1), (500, 1), (250, 1)];
        let acts = looks(&seen);
        assert_eq!(acts, [NOTHING, NOTHING, NOTHING, GIVE_BACK, NOTHING, NOTHING, GIVE_BACK, GIVE_BACK]);
    }

    #[test]
    fn few_that_go_are_not_worth_it_nor_is_coming_and_going() {
        assert_eq!(looks(&[(200, 1), (0, 1)]), [NOTHING, NOTHING]);
        assert_eq!(looks(&[(8000, 1), (7000, 1), (8000, 1), (7000, 1)]), [NOTHING; 4]);
    }

    #[test]
    fn objects_leave_early_while_there_is_too_much_and_what_they_held_is_given_back_at_once() {
        let acts = looks(&[(100, 1000), (100, 1001), (90, 1001), (90, 1000)]);
        assert_eq!(acts, [NOTHING, (true, true), (true, true), NOTHING]);
    }

    #[test]
    fn no_object_leaves_for_memory_that_only_the_allocator_keeps() {
        let acts = looks_with_free(300, &[(100, 1000), (100, 1300), (100, 1000), (100, 1301)]);
        assert_eq!(acts, [NOTHING, GIVE_BACK, NOTHING, (true, true)]);
    }

    #[test]
    fn the_system_says_what_there_is() {
        assert_eq!(total_of("MemTotal:       24683676 kB\nMemFree: 1 kB\n"), Some(24_683_676 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let (resident, available) = (resident().expect("Linux"), available().expect("Linux"));
        assert!(resident > 0 && resident < available, "{resident} of {available}");
    }

    /// Set in a process of one test.
    const IS_ALONE: &str = "DURABO_TEST_IS_ALONE";

    /// Runs `test`, which has this name, in a process of its own, this program with the test's name: in this one others
    /// take memory and free it meanwhile.
    fn alone(name: &str, test: impl Fn()) {
        if env::var_os(IS_ALONE).is_some() {
            return test();
        }
        let path = module_path!().split_once("::").expect("a module of a crate").1;
        let mut process = Command::new(env::current_exe().expect("this program"));
        process.args(["--exact", &format!("{path}::{name}")]).env(IS_ALONE, "1");
        let ended = process.output().expect("it runs");
        let [said, error] =
            [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(ended.status.success() && said.contains("1 passed"), "{said}{error}");
    }

    #[test]
    fn free_memory_goes_back_to_the_system() {
        alone("free_memory_goes_back_to_the_system", || {
            // Small blocks with one that lives above them, as objects leave them behind.
            let blocks: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 1000]).collect();
            let above = vec![1_u8; 1000];
            let before = resident().expect("Linux");
            drop(blocks);
            heap::give_back();
            let after = resident().expect("Linux");
            assert!(before - after > 30_000_000, "{after} of {before} are left beside {}", above.len());
        });
    }
}
