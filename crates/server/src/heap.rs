//! The allocator's free memory, given back to the system.
//!
//! glibc's allocator keeps what many objects have freed, since a block that still lives lies above it. Asked,
//! it gives back every whole page that nobody uses. Other allocators are not asked.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    // SAFETY: the declaration is glibc's; the function may be called at any time and from any thread.
    unsafe extern "C" {
        pub(super) safe fn malloc_trim(pad: usize) -> c_int;
    }
}

/// Gives back what is free. Takes the allocator's locks, one after the other, for tens of milliseconds where
/// much is free.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::malloc_trim(0);
}
