//! Conditions under which the suite runs, chosen by the variable `DURABO_SUITE_VARIANT`.
//!
//! What is durable must be the same under all of them, so a case that needs nothing else uses the node to
//! which they apply; one that looks at memory from event to event uses a node that keeps it.

use std::env;
use std::sync::LazyLock;

/// What happens to objects between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// They drop their instances as soon as they are idle, and stay in memory.
    Hibernate,
    /// They leave memory as soon as they are idle.
    Evict,
    /// The node is stopped and started again.
    Restart,
}

impl Variant {
    /// The one of this run.
    ///
    /// # Panics
    /// If the variable names none.
    pub fn chosen() -> Self {
        static CHOSEN: LazyLock<Variant> =
            LazyLock::new(|| match env::var("DURABO_SUITE_VARIANT").as_deref() {
                Err(_) | Ok("plain") => Variant::Plain,
                Ok("hibernate") => Variant::Hibernate,
                Ok("evict") => Variant::Evict,
                Ok("restart") => Variant::Restart,
                Ok(other) => panic!("variant `{other}` is none of `plain`, `hibernate`, `evict`, `restart`"),
            });
        *CHOSEN
    }
}
