//! Nodes that many tests use, so that each is started once. Tests take objects that nobody else knows.
//!
//! They are never stopped: their folders go with the next run (see `run_folder`).

use std::sync::OnceLock;
use std::time::Duration;

use durabo_model::limits::ObjectLimits;

use crate::TestNode;
use crate::node::TestConfig;
use crate::variant::Variant;

/// Idle time of [`forgetful_node`], and of [`hibernating_node`] until its objects drop their instances.
pub const IDLE_AFTER: Duration = Duration::from_millis(150);
/// CPU time per event of [`strict_node`].
pub const CPU_PER_EVENT: Duration = Duration::from_millis(700);
/// Memory of an instance of [`strict_node`].
pub const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Pages of a database of [`tight_node`].
pub const DATABASE_PAGES_MAX: u32 = 40;

/// A node with the default limits: the given one, if there is one, or one to whose objects the variant of
/// this run happens.
pub fn node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    let idle = |change: fn(&mut ObjectLimits, Duration)| {
        TestNode::with(TestConfig::with_limits(|limits| change(limits, Duration::ZERO)))
    };
    let start = || match Variant::chosen() {
        Variant::Plain => TestNode::start(),
        Variant::Hibernate => idle(hibernate_after),
        Variant::Evict => idle(evict_after),
        Variant::Restart => TestNode::restarted_between_events(),
    };
    NODE.get_or_init(|| TestNode::given().unwrap_or_else(start))
}

/// The same, but whatever the variant, objects keep what they have in memory from event to event.
pub fn lasting_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    match Variant::chosen() {
        Variant::Plain => node(),
        Variant::Hibernate | Variant::Evict | Variant::Restart => NODE.get_or_init(TestNode::start),
    }
}

/// As [`node`], but it is never restarted: sockets, and what their clients did last, do not outlive the node (WS-32),
/// and a stop would wait for a run that is to be told from outside that it may end.
pub fn socket_node() -> &'static TestNode {
    match Variant::chosen() {
        Variant::Restart => lasting_node(),
        Variant::Plain | Variant::Hibernate | Variant::Evict => node(),
    }
}

/// A node that drops idle objects soon.
pub fn forgetful_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| TestNode::with(TestConfig::with_limits(|limits| evict_after(limits, IDLE_AFTER))))
}

/// A node whose idle objects soon drop their instances and stay in memory.
pub fn hibernating_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| TestNode::with(TestConfig::with_limits(|limits| hibernate_after(limits, IDLE_AFTER))))
}

/// Lets idle objects drop their instances after `idle` and stay in memory.
pub fn hibernate_after(limits: &mut ObjectLimits, idle: Duration) {
    limits.hibernate_after = idle;
    limits.close_after = Duration::from_secs(3600);
}

/// Lets idle objects leave memory wholly after `idle`.
pub fn evict_after(limits: &mut ObjectLimits, idle: Duration) {
    limits.hibernate_after = idle;
    limits.close_after = Duration::ZERO;
}

/// A node that gives little time and memory.
pub fn strict_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        TestNode::with(TestConfig::with_limits(|limits| {
            limits.cpu_per_event = CPU_PER_EVENT;
            limits.memory_bytes_max = MEMORY_BYTES_MAX;
            // An operator's statement that is meant to end does so also beside the others' loops.
            limits.operator_sql_time_max = Duration::from_secs(60);
        }))
    })
}

/// A node whose objects hibernate, leave memory and are reset, and whose commits can fail, as a test says.
pub fn hooked_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| TestNode::with(TestConfig::with_hooks(|_| {})))
}

/// A node whose databases are small.
pub fn tight_node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        TestNode::with(TestConfig::with_limits(|limits| limits.database_pages_max = DATABASE_PAGES_MAX))
    })
}
