//! Numbers of instances, events and sockets, which no two starts of a node give twice, and the count of instances
//! that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use durabo_model::sequence::Epoch;

use crate::event_id::EventId;
use crate::socket::SocketId;

/// Bits of a number that count within one start of the node.
const COUNTER_BITS: u32 = 40;

/// Numbers that are unique over all starts of the node.
#[derive(Debug)]
pub struct Counters {
    start: u32,
    loads: AtomicU64,
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
            loads: AtomicU64::new(0),
            events: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            instances: Arc::default(),
        }
    }

    /// Epoch of the next load of an instance. Each end of one takes a number too.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads that can be told apart in one start.
    const LOADS: u64 = 1 << 40;

    /// Counters of the first start, in which so many instances were loaded.
    fn after(loads: u64) -> Counters {
        Counters { loads: AtomicU64::new(loads), ..Counters::new(1) }
    }

    #[test]
    fn epochs_rise_however_many_instances_were_loaded_and_stay_below_the_next_start() {
        let next = Counters::new(2).next_epoch();
        for loads in [0, u64::from(u32::MAX), LOADS - 2] {
            let counters = after(loads);
            let (earlier, later) = (counters.next_epoch(), counters.next_epoch());
            assert!(earlier < later && later < next, "{loads}: {earlier:?}, {later:?}, {next:?}");
        }
    }

    #[test]
    fn epochs_of_loads_that_cannot_be_counted_do_not_go_back() {
        let counters = after(LOADS - 1);
        let last = counters.next_epoch();
        assert_eq!(counters.next_epoch(), last);
        assert!(last < Counters::new(2).next_epoch());
    }
}
