//! Builds guests for host crates; their build scripts take this file in as a module:
//! `#[path = "../../guests/build.rs"] mod guests;`.
//!
//! `guests::build_guests(&["example-counter"], …)` runs cargo in this workspace for wasm32-wasip2 and copies the
//! components to a folder of the caller's. The guests' own target folder stands beside the host's, so that the
//! two cargo runs do not wait for each other's lock. Uses std only.

/// Builds `packages` of the guests' workspace and returns the components, in the order of the packages.
/// They are copied to `out_dir`, each named after its package with underscores.
///
/// Panics, which is how a build script refuses: with the compiler's own messages before, and if the target
/// is missing with the command that adds it.
pub fn build_guests(packages: &[&str], out_dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let guests = guests_folder();
    for watched in [
        "Cargo.toml",
        "Cargo.lock",
        "sdk-rust",
        "sdk-rust-macros",
        "examples",
        "refusal",
        "conformance",
        "../wit",
    ] {
        println!("cargo:rerun-if-changed={}", guests.join(watched).display());
    }
    let target = guests_target_folder(out_dir);
    let mut cargo = std::process::Command::new(variable("CARGO"));
    cargo.current_dir(&guests).args(["build", "--release", "--locked", "--target", "wasm32-wasip2"]);
    cargo.arg("--target-dir").arg(&target);
    packages.iter().for_each(|package| {
        cargo.args(["--package", package]);
    });
    // What the host build was told about its own compiler, target and flags does not hold for the guests.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_host_only =
            ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC"].iter().any(|prefix| name.starts_with(prefix))
                || ["TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS", "OUT_DIR"]
                    .contains(&name.as_str());
        let is_kept = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_MAKEFLAGS"].contains(&name.as_str())
            || name.starts_with("CARGO_HTTP")
            || name.starts_with("CARGO_REGISTRIES");
        if is_host_only && !is_kept {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("start of cargo for the guests: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let is_missing = messages.contains("can't find crate for `core`")
            || messages.contains("can't find crate for `std`")
            || messages.contains("target may not be installed");
        let hint = if is_missing {
            "\n\nthe target wasm32-wasip2 is not installed; add it with `rustup target add wasm32-wasip2`"
        } else {
            ""
        };
        panic!("build of the guests {packages:?} in {}:\n{messages}{hint}", guests.display());
    }
    let built = target.join("wasm32-wasip2").join("release");
    std::fs::create_dir_all(out_dir).unwrap_or_else(|error| panic!("create {}: {error}", out_dir.display()));
    let components = packages.iter().map(|package| {
        let file = format!("{}.wasm", package.replace('-', "_"));
        let (from, to) = (built.join(&file), out_dir.join(&file));
        std::fs::copy(&from, &to)
            .unwrap_or_else(|error| panic!("copy {} to {}: {error}", from.display(), to.display()));
        to
    });
    components.collect()
}

/// The guests' workspace: the nearest `guests/` in a folder above the crate that is being built.
fn guests_folder() -> std::path::PathBuf {
    let manifest = std::path::PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .map(|folder| folder.join("guests"))
        .find(|guests| guests.join("Cargo.toml").is_file());
    found.unwrap_or_else(|| panic!("no folder `guests` with a Cargo.toml above {}", manifest.display()))
}

/// `guests/` in the target folder of the host build. Build scripts learn that one only by their own
/// output folder, `<target>/[<triple>/]<profile>/build/<crate>/out`; cargo marks it with CACHEDIR.TAG.
fn guests_target_folder(out_dir: &std::path::Path) -> std::path::PathBuf {
    let own = std::path::PathBuf::from(variable("OUT_DIR"));
    let target =
        own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(std::path::Path::to_owned);
    target.unwrap_or_else(|| out_dir.to_owned()).join("guests")
}

fn variable(name: &str) -> std::ffi::OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts; it is not set"))
}
