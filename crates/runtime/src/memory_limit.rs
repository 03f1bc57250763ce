//! Memory limit: all linear memories, tables and buffers of the host for one instance together (LC-14).
//!
//! The engine's own limits hold for each memory by itself; a component may have many. A growth that
//! is refused is remembered, so that the trap which usually follows is explained.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

/// A table element is a pointer of the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts what an instance has.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes_max: usize,
    bytes: usize,
    host_bytes: Arc<AtomicUsize>,
    refused: bool,
}

/// Memory that the host holds for the instance, counted until this is dropped.
#[derive(Debug)]
pub struct HostMemory {
    bytes: usize,
    counted: Arc<AtomicUsize>,
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        self.counted.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl MemoryLimit {
    /// Nothing used yet of `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, host_bytes: Arc::default(), refused: false }
    }

    /// Counts memory that the host is about to hold for the instance; `None` if that is too much.
    pub fn reserve(&self, bytes: usize) -> Option<HostMemory> {
        let mut held = self.hold_nothing();
        self.reserve_more(&mut held, bytes).then_some(held)
    }

    /// What counts nothing yet and may grow.
    pub fn hold_nothing(&self) -> HostMemory {
        HostMemory { bytes: 0, counted: self.host_bytes.clone() }
    }

    /// Counts further memory along with what `held` counts; false, with nothing changed, if that is too much.
    pub fn reserve_more(&self, held: &mut HostMemory, bytes: usize) -> bool {
        // Only the instance's own thread reserves; others may let go meanwhile, which only lowers it.
        let host_bytes = self.host_bytes.load(Ordering::Relaxed);
        let all = self.bytes.saturating_add(host_bytes).saturating_add(bytes);
        let is_room = all <= self.bytes_max;
        if is_room {
            self.host_bytes.fetch_add(bytes, Ordering::Relaxed);
            held.bytes += bytes;
        }
        is_room
    }

    /// Whether growth was refused since [`forgive`](Self::forgive).
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// Forgets a refusal: the guest lived on and takes the next event.
    pub fn forgive(&mut self) {
        self.refused = false;
    }

    /// The limit, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        // What the engine then fails to grow stays counted: that errs on the safe side, and an
        // instance whose machine is out of memory does not live long.
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes.saturating_add(self.host_bytes.load(Ordering::Relaxed)) > self.bytes_max {
            self.refused = true;
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond its own maximum a memory cannot grow anyway, and that is no fault of the limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).expect("no error"));
        assert!(limit.memory_growing(0, 40, None).expect("no error"));
        assert!(!limit.memory_growing(40, 41, None).expect("no error"));
        assert!(limit.was_refused());
        limit.forgive();
        assert!(!limit.was_refused());
    }

    #[test]
    fn what_the_host_holds_counts_until_it_is_let_go() {
        let mut limit = MemoryLimit::new(100);
        let held = limit.reserve(60).expect("room");
        assert!(limit.reserve(41).is_none() && !limit.was_refused());
        assert!(!limit.memory_growing(0, 41, None).expect("no error"));
        drop(held);
        assert!(limit.memory_growing(0, 100, None).expect("no error"));
        assert!(limit.reserve(1).is_none());
    }

    #[test]
    fn what_grows_is_let_go_as_a_whole_and_a_refusal_changes_nothing() {
        let limit = MemoryLimit::new(100);
        let mut held = limit.hold_nothing();
        assert!(limit.reserve_more(&mut held, 60) && limit.reserve_more(&mut held, 30));
        assert!(!limit.reserve_more(&mut held, 11));
        assert!(limit.reserve_more(&mut held, 10) && limit.reserve(1).is_none());
        drop(held);
        assert!(limit.reserve(100).is_some());
    }

    #[test]
    fn a_table_counts_a_pointer_per_element() {
        let mut limit = MemoryLimit::new(10 * TABLE_ELEMENT_BYTES);
        assert!(limit.table_growing(0, 10, None).expect("no error"));
        assert!(!limit.table_growing(10, 11, None).expect("no error"));
        assert!(!limit.table_growing(10, usize::MAX, None).expect("no error"));
    }

    #[test]
    fn growth_beyond_the_memory_s_own_maximum_is_not_held_against_the_instance() {
        let mut limit = MemoryLimit::new(100);
        assert!(!limit.memory_growing(10, 20, Some(15)).expect("no error"));
        assert!(!limit.was_refused());
    }
}
