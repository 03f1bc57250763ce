//! Waiting by WASI 0.3, for what a guest uses that knows nothing of durabo.
//!
//! Bindings of the part of `wasi:clocks` that waits.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package durabo:waits;

        world waits {
            import wasi:clocks/monotonic-clock@0.3.0;
        }

        package wasi:clocks@0.3.0 {
            interface monotonic-clock {
                wait-until: async func(when: u64);
                wait-for: async func(how-long: u64);
            }
        }
    ",
    world: "durabo:waits/waits",
    generate_all,
});

pub use wasi::clocks::monotonic_clock::{wait_for, wait_until};
