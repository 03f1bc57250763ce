//! Work that may hold its thread: done where it is called, with the thread's other tasks handed over.
//!
//! On a runtime of one thread, as in the simulation, there is nobody to hand them to.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Runs `work`, which may wait for the disk.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}
