//! What the system lets this process have, and how many objects in memory that carries.
//!
//! Each live object takes memory mappings and a file, each connection a file. Beyond the limit of mappings any
//! allocation of the process may fail, so the number of live objects is bounded well below it; connections
//! share the files that are left.

use std::fs;

use anyhow::Context;
use durabo_model::limits::{HttpLimits, ObjectLimits, OutgoingLimits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

const MAPPINGS_PATH: &str = "/proc/sys/vm/max_map_count";

/// Mappings of one live object: seven of its instance, one for what grows in its heap.
const MAPPINGS_PER_OBJECT: u64 = 8;

/// Open files of one live object: its database, and one for a client.
const FILES_PER_OBJECT: u64 = 2;

/// Share of a limit that objects may take, in percent; the rest is for the node itself.
const SHARE_PERCENT: u64 = 80;

/// Files that the node opens for itself: log, index, catalog, listeners, components under way.
const FILES_OF_NODE: u64 = 64;

/// Shares of the files that are left, in percent: clients of the data plane, with a tenth of it for the control
/// plane, and requests to the outside.
const CLIENTS_PERCENT: u64 = 80;
const OUTSIDE_PERCENT: u64 = 10;

/// Fewer live objects than this deserve advice.
const LIVE_OBJECTS_LOW: usize = 5000;

/// Limits of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SystemLimits {
    /// Memory mappings; unknown where the system does not say.
    mappings: Option<u64>,
    /// Open files.
    files: u64,
}

/// Raises what may be raised, bounds the live objects of `limits` by what the system carries unless the
/// operator has set a number, and connections and WebSockets by the files that those leave.
pub fn apply(
    limits: &mut ObjectLimits,
    http: &mut HttpLimits,
    outgoing: &mut OutgoingLimits,
) -> anyhow::Result<()> {
    let system = SystemLimits { mappings: mappings(), files: raise_files()? };
    let carried = system.live_objects_max();
    let live_objects_max = limits.live_objects_max.unwrap_or(carried).max(1);
    limits.live_objects_max = Some(live_objects_max);
    let left = system.files.saturating_sub(live_objects_max as u64 + FILES_OF_NODE);
    (http.connections_max, http.sockets_max) =
        split(share(left, CLIENTS_PERCENT), http.connections_max, http.sockets_max);
    outgoing.connections_max = outgoing.connections_max.min(share(left, OUTSIDE_PERCENT));
    info!(
        live_objects_max,
        connections_max = http.connections_max,
        sockets_max = http.sockets_max,
        outgoing_max = outgoing.connections_max,
        files = system.files,
        mappings = system.mappings,
        "limits of the system"
    );
    if live_objects_max > carried {
        warn!(live_objects_max, carried, "more live objects are allowed than the system carries");
    }
    if carried < LIVE_OBJECTS_LOW.min(live_objects_max) {
        warn!(
            carried,
            "few objects can be in memory at once; raise `vm.max_map_count` (sysctl, 1048576 is good) and the \
             limit of open files (`ulimit -Hn`, `LimitNOFILE=`)"
        );
    }
    Ok(())
}

impl SystemLimits {
    fn live_objects_max(self) -> usize {
        let by = |limit: u64, each: u64| limit / 100 * SHARE_PERCENT / each;
        let files = by(self.files, FILES_PER_OBJECT);
        let carried = self.mappings.map_or(files, |mappings| files.min(by(mappings, MAPPINGS_PER_OBJECT)));
        usize::try_from(carried).unwrap_or(usize::MAX).max(1)
    }
}

/// So many percent of a number of files, at least one.
fn share(files: u64, percent: u64) -> usize {
    usize::try_from(files / 100 * percent).unwrap_or(usize::MAX).max(1)
}

/// Parts of `total` for two who ask: what each asks for if that is there, else half, or more if the other asks for
/// less. Each gets one at least.
fn split(total: usize, first: usize, second: usize) -> (usize, usize) {
    let first = first.min((total / 2).max(total.saturating_sub(second))).max(1);
    (first, second.min(total.saturating_sub(first)).max(1))
}

fn mappings() -> Option<u64> {
    fs::read_to_string(MAPPINGS_PATH).ok()?.trim().parse().ok()
}

/// Sets the limit of open files to the most that this process may set by itself.
fn raise_files() -> anyhow::Result<u64> {
    let known = getrlimit(Resource::Nofile);
    if known.current != known.maximum {
        let raised = Rlimit { current: known.maximum, maximum: known.maximum };
        setrlimit(Resource::Nofile, raised).context("raising the limit of open files")?;
    }
    Ok(known.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_decides_and_a_fifth_is_kept_back() {
        let live = |mappings, files| SystemLimits { mappings, files }.live_objects_max();
        assert_eq!(live(Some(65_530), 1_048_576), 6550);
        assert_eq!(live(Some(1_048_576), 4096), 1600);
        assert_eq!(live(None, 1024), 400);
        assert_eq!(live(Some(10), 10), 1);
    }

    #[test]
    fn connections_share_the_files_that_objects_leave() {
        assert_eq!((share(13_386, CLIENTS_PERCENT), share(13_386, OUTSIDE_PERCENT)), (10_640, 1330));
        assert_eq!(share(0, CLIENTS_PERCENT), 1);
        let mut limits = ObjectLimits { live_objects_max: Some(usize::MAX / 2), ..ObjectLimits::default() };
        let (mut http, mut outgoing) = (HttpLimits::default(), OutgoingLimits::default());
        apply(&mut limits, &mut http, &mut outgoing).expect("limits");
        let shares = (http.connections_max, http.sockets_max, outgoing.connections_max);
        assert_eq!(shares, (1, 1, 1), "objects leave no files");
    }

    #[test]
    fn connections_and_websockets_get_half_of_the_files_each_or_what_the_other_leaves() {
        assert_eq!(split(100, 30, 60), (30, 60));
        assert_eq!(split(100, 80, 60), (50, 50));
        assert_eq!(split(100, 80, 40), (60, 40));
        assert_eq!(split(100, 20, 90), (20, 80));
        assert_eq!(split(1, 10, 10), (1, 1));
    }

    #[test]
    fn a_number_of_the_operator_is_kept_and_none_is_replaced() {
        let mut limits = ObjectLimits { live_objects_max: Some(17), ..ObjectLimits::default() };
        let (mut http, mut outgoing) = (HttpLimits::default(), OutgoingLimits::default());
        apply(&mut limits, &mut http, &mut outgoing).expect("limits");
        assert_eq!(limits.live_objects_max, Some(17));
        limits.live_objects_max = None;
        apply(&mut limits, &mut http, &mut outgoing).expect("limits");
        assert!(limits.live_objects_max.is_some_and(|max| max >= 1));
        let files = getrlimit(Resource::Nofile);
        assert_eq!(files.current, files.maximum);
    }
}
