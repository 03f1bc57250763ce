//! What must not grow: the change log and an object's file under a cursor that was left half read (B-03).
//!
//! Counted are the files of the data folder, as an operator would see them grow.

use std::time::Duration;

use durabo_server::Durability;
use serde_json::json;

use crate::case::{Case, cases};
use crate::node::TestConfig;
use crate::{TestNode, eventually, guest};

use super::database::{Database, refusal};

/// The least there is.
const SEGMENT_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of rows in the table, in all.
const TABLE_BYTES: u64 = 1000 * 1000;
/// The object index has a log of its own, which SQLite folds in at a thousand pages.
const INDEX_LOG_BYTES: u64 = 1010 * 4120;
/// Their records are 18 MB, so that a log that is not recycled is noticed.
const EVENTS: usize = 4_000;

fn bytes_in(node: &TestNode) -> u64 {
    node.folder()
        .files()
        .iter()
        .filter(|(path, _)| path.extension().is_none_or(|e| e != "wasm" && e != "cwasm"))
        .map(|(_, bytes)| bytes)
        .sum()
}

fn b_03_a_cursor_left_half_read_holds_nothing_back() {
    let mut config = TestConfig::with_hooks(|limits| {
        limits.wal_bytes_max = 256 * 1024;
        // The cursor is the instance's, which is to stay however long a step takes.
        limits.hibernate_after = Duration::from_secs(3600);
    });
    config.log_segment_bytes = SEGMENT_BYTES;
    // What is held back does not depend on syncs, and without them there is time for more events.
    config.durability = Durability::Relaxed;
    let node = TestNode::with(config);
    let before = bytes_in(&node);
    let object = node.fresh(guest::SQL, "Sql");
    let db = Database::of(object.clone());
    db.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
         INSERT INTO t SELECT i, randomblob(1000) FROM c",
    );
    db.call("open_and_take", json!([[["c", {"query": "SELECT id, a FROM t", "batch": 1}]], [["c", 1]]]))
        .expect("opened");
    let update = "UPDATE t SET a = randomblob(1000) WHERE id IN (?, ?, ?)";
    let bound = 2 * TABLE_BYTES + 4 * SEGMENT_BYTES + INDEX_LOG_BYTES;
    for event in 0..EVENTS {
        let row = event % 997 + 1;
        db.query(update, json!([row, row + 1, row + 3]));
        if event % 100 == 0 || event + 1 == EVENTS {
            // What is given up goes when the disk has synced; what is held back stays.
            eventually(
                &format!("after {event} events the data folder has grown by less than {bound} bytes"),
                || (bytes_in(&node).saturating_sub(before) < bound).then_some(()),
            );
        }
    }

    let rest = db.call("take", json!(["c", 2000])).expect("an outcome");
    let rows = rest["rows"].as_array().map(Vec::len);
    if rows != Some(999) {
        assert_eq!(refusal(&rest).name, "cursor-closed", "{rest}");
    }
    node.hooks(&object).evict();
    object.wait_until_evicted();
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(1000));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![b_03_a_cursor_left_half_read_holds_nothing_back,];
