//! Restarts a node between events, for the suite's variant `restart`.
//!
//! Whoever uses the node says so for as long as it does. An event that finds nobody there first stops the
//! node and starts it again, on the same folder and addresses; so handles and clients go on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use durabo_server::Node;

/// A node that is restarted between events; a handle, whose clones are of the same node.
#[derive(Clone)]
pub struct Restarts(Arc<Shared>);

struct Shared {
    start: Box<dyn Fn() -> Node + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// `None` only while it is restarted.
    node: Option<Node>,
    uses: usize,
}

/// Keeps the node from being restarted until it is dropped.
#[derive(Debug)]
pub struct InUse(Restarts);

impl Restarts {
    /// Restarts `node` by `start`, which must give the same addresses.
    pub fn new(node: Node, start: impl Fn() -> Node + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { node: Some(node), uses: 0 });
        Self(Arc::new(Shared { start: Box::new(start), state }))
    }

    /// An event begins: the node was restarted for it, unless somebody uses it.
    pub fn event(&self) -> InUse {
        let mut state = self.lock();
        if state.uses == 0
            && let Some(node) = state.node.take()
        {
            node.stop().unwrap_or_else(|error| panic!("stopping a node between events: {error:?}"));
            state.node = Some((self.0.start)());
        }
        state.uses += 1;
        drop(state);
        InUse(self.clone())
    }

    /// Somebody uses the node in another way, and is no reason for a restart.
    pub fn hold(&self) -> InUse {
        self.lock().uses += 1;
        InUse(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("a restart has failed")
    }
}

impl fmt::Debug for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restarts").finish_non_exhaustive()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lock().uses -= 1;
    }
}
