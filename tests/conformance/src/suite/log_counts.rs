//! What the status says of the change log: commits and syncs since the node was started.
//!
//! Whoever was answered finds the commit counted, and one client alone has every commit synced.

use serde_json::json;

use crate::case::{Case, cases};
use crate::{TestNode, guest};

fn the_status_counts_commits_and_their_syncs_and_no_reads() {
    let node = TestNode::start();
    let object = node.object(guest::COUNTER, "Counter", "counted");
    let counts = || {
        let log = &node.control().status()["log"];
        (log["commits"].as_u64().expect("commits"), log["syncs"].as_u64().expect("syncs"))
    };
    object.ok("increment", json!([]));
    let before = counts();
    for _ in 0..5 {
        object.ok("increment", json!([]));
    }
    let after = counts();
    assert_eq!(after.0 - before.0, 5, "one commit for each increment");
    assert!(after.1 - before.1 >= 5, "each was answered after a sync of its own: {before:?}, {after:?}");
    for _ in 0..5 {
        object.ok("get", json!([]));
    }
    assert_eq!(counts().0, after.0, "a read commits nothing");
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![the_status_counts_commits_and_their_syncs_and_no_reads,];
