//! Numbers of instances, events and sockets, which no two starts of a node give twice, and the count of instances
//! that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use durabo_model::sequence::Epoch;

use crate::event_id::EventId;
use crate::socket::SocketId;

/// Bits of a number that count within one start of the node.
const COUNTER_BITS: u32 = 40;

/// Numbers that are unique over all starts of the node.
#[derive(Debug)]
pub struct Counters {
    start: u32,
    loads: AtomicU32,
    events: AtomicU64,
    sockets: AtomicU64,
    instances: Arc<AtomicUsize>,
}

/// Counts an instance until it is dropped.
#[derive(Debug)]
pub(crate) struct InstanceCount(Arc<AtomicUsize>);

impl Drop for InstanceCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counters of the node's `start`-th start.
    pub fn new(start: u32) -> Self {
        Self {
            start,
            loads: AtomicU32::new(0),
            events: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            instances: Arc::default(),
        }
    }

    /// Epoch of the next load of an instance.
    pub fn next_epoch(&self) -> Epoch {
        Epoch::new(self.start, self.loads.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts an instance that begins.
    pub(crate) fn instance(&self) -> InstanceCount {
        self.instances.fetch_add(1, Ordering::Relaxed);
        InstanceCount(self.instances.clone())
    }

    /// Instances that run.
    pub fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }

    /// Id of the next event.
    pub fn next_event(&self) -> EventId {
        EventId(self.numbered(&self.events))
    }

    /// Id of the next socket.
    pub fn next_socket(&self) -> SocketId {
        SocketId(self.numbered(&self.sockets))
    }

    fn numbered(&self, counter: &AtomicU64) -> u64 {
        (u64::from(self.start) << COUNTER_BITS) | counter.fetch_add(1, Ordering::Relaxed)
    }
}
