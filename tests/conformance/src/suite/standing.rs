//! Nodes that many tests use, so that each is started once. Tests take objects that nobody else knows.
//!
//! They are never stopped: their folders go with the next run (see `run_folder`).

use std::sync::LazyLock;
use std::time::Duration;

use durabo_conformance::TestNode;
use durabo_conformance::node::TestConfig;

/// Idle time of [`forgetful_node`].
pub const IDLE_AFTER: Duration = Duration::from_millis(150);
/// CPU time per event of [`strict_node`].
pub const CPU_PER_EVENT: Duration = Duration::from_millis(700);
/// Memory of an instance of [`strict_node`].
pub const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Pages of a database of [`tight_node`].
pub const DATABASE_PAGES_MAX: u32 = 40;

/// A node with the default limits.
pub fn node() -> &'static TestNode {
    static NODE: LazyLock<TestNode> = LazyLock::new(TestNode::start);
    &NODE
}

/// A node that drops idle objects soon.
pub fn forgetful_node() -> &'static TestNode {
    static NODE: LazyLock<TestNode> =
        LazyLock::new(|| TestNode::with(TestConfig::with_limits(|limits| limits.idle_after = IDLE_AFTER)));
    &NODE
}

/// A node that gives little time and memory.
pub fn strict_node() -> &'static TestNode {
    static NODE: LazyLock<TestNode> = LazyLock::new(|| {
        TestNode::with(TestConfig::with_limits(|limits| {
            limits.cpu_per_event = CPU_PER_EVENT;
            limits.memory_bytes_max = MEMORY_BYTES_MAX;
        }))
    });
    &NODE
}

/// A node whose databases are small.
pub fn tight_node() -> &'static TestNode {
    static NODE: LazyLock<TestNode> = LazyLock::new(|| {
        TestNode::with(TestConfig::with_limits(|limits| limits.database_pages_max = DATABASE_PAGES_MAX))
    });
    &NODE
}
