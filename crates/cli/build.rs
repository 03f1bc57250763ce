//! Builds the example component that `durabo demo` carries inside the binary.
//!
//! `DURABO_DEMO_COMPONENT` names the file for `include_bytes!`; `guests/build.rs` is the shared part.

use std::path::PathBuf;

#[path = "../../guests/build.rs"]
mod guests;

fn main() {
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let components = guests::build_guests(&["example-demo"], &out_dir);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=DURABO_DEMO_COMPONENT={}", components[0].display());
}
