//! The control groups of this process, and how much memory they leave it.
//!
//! A limit of a group binds every group below it too. A container sees its limit at the root of what it sees; a
//! service of the system is in a group further down. Only version 2 is read, where all controllers share one tree;
//! what is missing or makes no sense there limits nothing.

use std::fs;
use std::path::{Component, Path};

/// Files of a group with a limit in bytes or `max`: beyond the first the system ends processes, and beyond the
/// second it slows them down.
const LIMIT_FILES: [&str; 2] = ["memory.max", "memory.high"];

/// Least limit of memory, in bytes, of the process's own group and of those around it, up to `root`, the tree of
/// groups as the process sees it. `membership` is the text of `/proc/self/cgroup`.
pub fn memory_max(root: &Path, membership: &str) -> Option<u64> {
    let own = membership.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let mut group = root.to_owned();
    let mut least = limit_of(&group);
    // A group outside of what is seen has a path with `..`, which must not lead out of the tree.
    for part in Path::new(own).components().take_while(|part| matches!(part, Component::Normal(_))) {
        group.push(part);
        least = [least, limit_of(&group)].into_iter().flatten().min();
    }
    least
}

fn limit_of(group: &Path) -> Option<u64> {
    let limit = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    LIMIT_FILES.into_iter().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// What `/proc/self/cgroup` says of a service.
    const SERVICE: &str = "0::/system.slice/durabo.service\n";

    /// The limit in a tree of groups with these files, each a path below its root and a text.
    fn limit(files: &[(&str, &str)], membership: &str) -> Option<u64> {
        let outside = TempDir::new().expect("a folder");
        let root = outside.path().join("root");
        fs::create_dir(&root).expect("a folder");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a path of a file")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        memory_max(&root, membership)
    }

    #[test]
    fn the_limit_of_a_service_is_that_of_its_own_group() {
        let own = ("system.slice/durabo.service/memory.max", "6000\n");
        assert_eq!(limit(&[own], SERVICE), Some(6000));
        let others = [("system.slice/other.service/memory.max", "1\n"), ("user.slice/memory.max", "2\n")];
        assert_eq!(limit(&[own, others[0], others[1]], SERVICE), Some(6000), "groups beside it");
        let below = ("system.slice/durabo.service/child/memory.max", "3\n");
        assert_eq!(limit(&[own, below], SERVICE), Some(6000), "a group in it");
    }

    #[test]
    fn the_least_limit_of_the_groups_around_counts() {
        let own = "system.slice/durabo.service/memory.max";
        let slice = "system.slice/memory.max";
        assert_eq!(limit(&[(slice, "5000\n")], SERVICE), Some(5000));
        assert_eq!(limit(&[(slice, "5000\n"), (own, "max\n")], SERVICE), Some(5000));
        assert_eq!(limit(&[(slice, "5000\n"), (own, "6000\n")], SERVICE), Some(5000));
        assert_eq!(
            limit(&[(slice, "7000\n"), (own, "6000\n"), ("memory.max", "4000\n")], SERVICE),
            Some(4000)
        );
    }

    #[test]
    fn a_container_has_the_limit_at_the_root_that_it_sees() {
        let files = [("memory.max", "4000\n")];
        assert_eq!(limit(&files, "0::/\n"), Some(4000));
        assert_eq!(limit(&files, "0::/docker/4be1\n"), Some(4000), "a path that only the host sees");
    }

    #[test]
    fn a_limit_beyond_which_the_system_slows_the_process_down_counts_too() {
        let (max, high) = ("system.slice/durabo.service/memory.max", "system.slice/memory.high");
        assert_eq!(limit(&[(max, "6000\n"), (high, "5000\n")], SERVICE), Some(5000));
        assert_eq!(limit(&[(max, "6000\n"), (high, "max\n")], SERVICE), Some(6000));
    }

    #[test]
    fn without_a_limit_there_is_none() {
        assert_eq!(limit(&[], SERVICE), None);
        let all = ["memory.max", "system.slice/memory.max", "system.slice/durabo.service/memory.high"];
        assert_eq!(limit(&all.map(|path| (path, "max\n")), SERVICE), None);
        assert_eq!(memory_max(Path::new("/proc/no-such-folder"), SERVICE), None);
    }

    #[test]
    fn what_makes_no_sense_limits_nothing() {
        let own = "system.slice/durabo.service/memory.max";
        for text in ["", "\n", "much", "-1", "1.5", "5000 6000", "99999999999999999999"] {
            assert_eq!(limit(&[(own, text), ("memory.max", "4000\n")], SERVICE), Some(4000), "{text:?}");
        }
        for membership in ["", "\n", "odd", "0::", "0::relative", "4:memory:/system.slice\n", "0:://x\n"] {
            let files = [("memory.max", "4000\n"), ("x/memory.max", "1\n"), ("relative/memory.max", "1\n")];
            assert_eq!(limit(&files, membership), Some(4000), "{membership:?}");
        }
    }

    #[test]
    fn the_line_of_version_two_is_found_among_those_of_version_one() {
        let membership = "4:memory:/other\n1:name=systemd:/other\n0::/a:b/c d\n";
        let files = [("other/memory.max", "1\n"), ("a:b/c d/memory.max", "6000\n")];
        assert_eq!(limit(&files, membership), Some(6000));
    }

    #[test]
    fn a_group_outside_of_what_is_seen_leads_to_no_file_outside() {
        let files = [("memory.max", "4000\n"), ("../memory.max", "1\n"), ("../b/memory.max", "1\n")];
        for membership in ["0::/..\n", "0::/../b\n", "0::/a/../../b\n"] {
            assert_eq!(limit(&files, membership), Some(4000), "{membership:?}");
        }
    }
}
