//! The guide `docs/guides/first-object.md`, done as it stands: its files are written, its commands run,
//! and what it says is printed must be printed. The requests that `README.md` shows are sent as well.
//!
//! Blocks of `sh` run in one shell, blocks with `file=` become files, lines of `text` blocks have to
//! appear in that order. Only addresses and the place of cargo's output are exchanged.

use std::fmt::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process};

use crate::node_process::{NodeProcess, folder, ran};

/// A fenced block of a document.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in document.lines() {
        if let Some(head) = line.strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                let (language, rest) = head.split_once(' ').unwrap_or((head, ""));
                let file = rest.strip_prefix("file=").map(str::to_owned);
                blocks.push(Block { language: language.to_owned(), file, text: String::new() });
            }
        } else if is_open && let Some(block) = blocks.last_mut() {
            writeln!(block.text, "{line}").expect("a string takes any text");
        }
    }
    blocks
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The target folder of the guests beside that of the host, where the libraries lie already.
fn guests_target() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_durabo"));
    let target = binary.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.expect("a target folder above the binary").join("guests")
}

/// Two addresses that nobody takes before the node of the guide does, which a release build comes before. They are on a
/// loopback address of this process alone: all others ask for ports of `127.0.0.1`.
fn own_addresses() -> [String; 2] {
    let [_, high, middle, low] = process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, high | 1, middle, low);
    let listeners = [(); 2].map(|()| TcpListener::bind((own, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("address").to_string())
}

#[test]
fn the_guide_to_the_first_object_works_as_it_stands() {
    let document = fs::read_to_string(repository().join("docs/guides/first-object.md")).expect("the guide");
    let [listen, control] = own_addresses();
    let mut script = "set -eu\ntrap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    let mut printed = Vec::new();
    for block in blocks(&document) {
        let text = block
            .text
            .replace("localhost:7610", &listen)
            .replace("target/wasm32-wasip2", "$CARGO_TARGET_DIR/wasm32-wasip2");
        match (block.language.as_str(), &block.file) {
            (_, Some(file)) => writeln!(script, "cat > {file} <<'END-OF-FILE'\n{}END-OF-FILE", block.text),
            // A line break after each block, since answers of curl have none.
            ("sh", None) => writeln!(script, "{text}echo"),
            ("text", None) => {
                printed.extend(text.lines().map(str::to_owned));
                Ok(())
            }
            _ => Ok(()),
        }
        .expect("a string takes any text");
    }
    let folder = folder();
    let binary = Path::new(env!("CARGO_BIN_EXE_durabo"));
    let inherited = env::var_os("PATH").expect("PATH");
    let own = binary.parent().expect("folder").to_owned();
    let paths = [own].into_iter().chain(env::split_paths(&inherited));
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", env::join_paths(paths).expect("paths"))
        .env("DURABO_REPOSITORY", repository())
        .env("DURABO_LISTEN", &listen)
        .env("DURABO_CONTROL", &control)
        .env("no_proxy", "*")
        .env("CARGO_TARGET_DIR", guests_target())
        // What the workspace's guests are built from is on this machine.
        .env("CARGO_NET_OFFLINE", "true")
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null());
    for name in
        ["DURABO_DATA", "DURABO_TOKEN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"]
    {
        shell.env_remove(name);
    }
    let ran = ran(shell.output().expect("bash runs"));
    assert_eq!(
        ran.code,
        Some(0),
        "the guide's commands:\n{script}\n--- output\n{}\n--- errors\n{}",
        ran.stdout,
        ran.stderr
    );
    let mut lines = ran.stdout.lines();
    for expected in &printed {
        assert!(
            lines.any(|line| line == expected),
            "`{expected}` was not printed in its turn:\n{}",
            ran.stdout
        );
    }
    assert!(!printed.is_empty(), "the guide says what is printed");
}

#[test]
fn the_requests_of_the_first_page_are_answered() {
    let document = fs::read_to_string(repository().join("README.md")).expect("the first page");
    let block =
        blocks(&document).into_iter().find(|block| block.text.starts_with("curl ")).expect("requests");
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    let requests: Vec<&str> = block.text.lines().collect();
    let answers: Vec<String> = requests
        .iter()
        .map(|request| {
            let request = request.replace("curl ", "curl --silent --show-error --fail ");
            let request = request.replace("localhost:7610", &node.listen);
            let ran = ran(Command::new("bash").args(["-c", &request]).output().expect("bash runs"));
            assert_eq!(ran.code, Some(0), "{request}: {ran:?}");
            ran.stdout
        })
        .collect();
    assert_eq!(answers[..2], ["1", "1"], "{requests:?}");
    assert!(answers[3].contains("read the guide"), "{answers:?}");
    assert_eq!(answers[4], "100", "{answers:?}");
}
