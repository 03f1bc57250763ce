//! Builds the example component that `durabo demo` carries inside the binary, and a guest for the tests.
//!
//! `DURABO_DEMO_COMPONENT` names the file for `include_bytes!`, `DURABO_KV_COMPONENT` the guest that does with keys
//! and SQL what it is told, `DURABO_WEBSOCKET_COMPONENT` the one whose sockets do; `guests/build.rs` is the shared
//! part.

use std::path::PathBuf;

#[path = "../../guests/build.rs"]
mod guests;

fn main() {
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let components =
        guests::build_guests(&["example-demo", "conformance-kv", "conformance-websocket"], &out_dir);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=DURABO_DEMO_COMPONENT={}", components[0].display());
    println!("cargo:rustc-env=DURABO_KV_COMPONENT={}", components[1].display());
    println!("cargo:rustc-env=DURABO_WEBSOCKET_COMPONENT={}", components[2].display());
}
