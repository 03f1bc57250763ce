//! Compilation in a child process: its limits, its refusals, and the node that serves meanwhile.
//!
//! The child is the binary with its hidden subcommand; limits are its arguments, so small ones are
//! tested here. What becomes of the files is tested in `durabo-runtime`.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use durabo_model::limits::CompileLimits;
use durabo_server::{CompilerChoice, Node, NodeConfig};
use ureq::Agent;

use crate::node_process::{NodeProcess, Ran, durabo, examples, folder, run};

/// The program that the node starts for each upload.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_durabo").into()
}

fn agent() -> Agent {
    Agent::config_builder().proxy(None).http_status_as_error(false).build().new_agent()
}

fn node(data: &Path, compiler: PathBuf, compile_limits: CompileLimits) -> Node {
    let mut config = NodeConfig { compile_limits, ..NodeConfig::new(data) };
    config.compiler = CompilerChoice::Child(compiler);
    config.listen.set_port(0);
    config.control.set_port(0);
    Node::start(config).expect("the node starts")
}

/// Uploads as app `name`; returns status and text.
fn upload(node: &Node, name: &str, component: &[u8]) -> (u16, String) {
    upload_to(node, &format!("{name}/deployments"), component)
}

fn upload_to(node: &Node, path: &str, component: &[u8]) -> (u16, String) {
    let mut response = agent()
        .post(format!("http://{}/v1/apps/{path}", node.control_address()))
        .header("authorization", format!("Bearer {}", node.token()))
        .send(component)
        .expect("an answer");
    (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
}

fn increment(node: &Node) -> String {
    let address = node.listen_address();
    let mut response = agent()
        .post(format!("http://{address}/rpc/demo/Counter/a/increment"))
        .send_empty()
        .expect("an answer");
    response.body_mut().read_to_string().expect("text")
}

/// A component with one function of so many additions: it takes seconds and far over 100 MiB.
fn slow_to_compile() -> Vec<u8> {
    const ADDITIONS: usize = 300_000;
    let mut body = String::new();
    for number in 0..ADDITIONS {
        // Each value lives until the end of the function.
        write!(
            body,
            "(local.set {} (i32.add (local.get {}) (i32.load (i32.const {number}))))",
            1 + number % 900,
            number % 900
        )
        .expect("a string takes any text");
    }
    let locals = "i32 ".repeat(1000);
    without_description(&format!("(local {locals}) {body}"))
}

/// A component that describes no class and has one function with this body.
fn without_description(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m (memory 8) (func (export "f") (param i32) {body}))
            (core instance $i (instantiate $m))
            (type $kind (enum "application" "invalid-argument" "invalid-state" "not-found" "denied"
                "limit-exceeded" "overloaded" "cancelled" "disconnected" "reset" "storage" "unsupported" "internal"))
            (instance $h (export "x" (type $kind)))
            (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#
    );
    wat::parse_str(text).expect("good text")
}

/// Names of the files that are kept of uploads.
fn kept(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data.join("components")).expect("folder");
    entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
}

fn compile(component: &Path, code: &Path) -> Child {
    let mut command = durabo(&["compile"]);
    command.args([component, code]);
    command.args(["--memory-bytes-max", "2000000000", "--cpu-s-max", "600", "--stack-bytes-max", "524288"]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

/// Waits with the child's input open.
fn ended(mut child: Child) -> Ran {
    let _stdin = child.stdin.take();
    let mut stderr = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    Ran { code: child.wait().expect("wait").code(), stdout: String::new(), stderr }
}

#[test]
fn the_child_writes_code_or_says_in_one_line_why_not() {
    let folder = folder();
    let code = folder.path().join("code");
    let ran = ended(compile(&examples(), &code));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(code.metadata().expect("code").permissions().mode() & 0o777, 0o600);
    let other = folder.path().join("text.wasm");
    fs::write(&other, "not wasm").expect("file");
    let ran = ended(compile(&other, &code));
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.contains("not WebAssembly"), "{ran:?}");
    let ran = ended(compile(&folder.path().join("none"), &code));
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn the_child_ends_when_nobody_waits_for_it() {
    let folder = folder();
    let component = folder.path().join("slow.wasm");
    fs::write(&component, slow_to_compile()).expect("file");
    let mut child = compile(&component, &folder.path().join("code"));
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("wait").code(), Some(2));
    assert!(!folder.path().join("code").exists());
}

#[test]
fn a_component_over_a_limit_is_refused_by_its_name_and_leaves_nothing() {
    let slow = slow_to_compile();
    let cases = [
        (
            CompileLimits { memory_bytes_max: 64 << 20, ..CompileLimits::default() },
            "more than 64 MiB of memory",
        ),
        (
            CompileLimits { cpu: Duration::from_secs(1), ..CompileLimits::default() },
            "more than 1 s of CPU time",
        ),
        (CompileLimits { wall: Duration::from_millis(1), ..CompileLimits::default() }, "longer than 0.001 s"),
    ];
    for (limits, expected) in cases {
        let folder = folder();
        let node = node(folder.path(), program(), limits);
        let (status, text) = upload(&node, "slow", &slow);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(text.contains("invalid-component"), "{text}");
        assert_eq!(status, 422);
        assert_eq!(kept(folder.path()), [""; 0]);
        node.stop().expect("stopped");
    }
}

#[test]
fn a_compiler_that_runs_out_of_memory_is_told_as_such_wherever_that_happens() {
    let component = slow_to_compile();
    // While it reads the component, parses it, translates it, and allocates registers.
    for mebibytes in [2, 24, 48, 128, 256] {
        let folder = folder();
        let limits = CompileLimits { memory_bytes_max: mebibytes << 20, ..CompileLimits::default() };
        let node = node(folder.path(), program(), limits);
        let (status, text) = upload(&node, "large", &component);
        assert!(text.contains(&format!("takes more than {mebibytes} MiB of memory, the limit")), "{text}");
        assert_eq!(status, 422);
        assert_eq!(kept(folder.path()), [""; 0]);
        node.stop().expect("stopped");
    }
}

/// The system kills what takes the most when the machine has no memory left.
#[test]
fn a_compiler_that_the_system_kills_is_told_as_lack_of_memory_and_is_no_fault_of_the_component() {
    let folder = folder();
    let killed = script(folder.path(), "kill -KILL $$");
    let data = folder.path().join("data");
    let node = node(&data, killed, CompileLimits::default());
    let (status, text) = upload(&node, "demo", &fs::read(examples()).expect("component"));
    assert!(text.contains("the system ended the compiler"), "{text}");
    assert!(text.contains("overloaded"), "{text}");
    assert_eq!(status, 503);
    assert_eq!(kept(&data), [""; 0]);
    node.stop().expect("stopped");
}

#[test]
fn a_compiler_that_crashes_is_told_from_one_that_refuses() {
    let folder = folder();
    let crashing = script(folder.path(), "kill -SEGV $$");
    let data = folder.path().join("data");
    let node = node(&data, crashing, CompileLimits::default());
    let (status, text) = upload(&node, "demo", &fs::read(examples()).expect("component"));
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("the compiler ended with signal: 11"), "{text}");
    assert_eq!(kept(&data), [""; 0]);
    node.stop().expect("stopped");
}

/// A program that does `first` and then compiles.
fn script(folder: &Path, first: &str) -> PathBuf {
    let path = folder.join("compiler");
    let text = format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", program().display());
    fs::write(&path, text).expect("script");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("mode");
    path
}

fn fifo(path: &Path) -> String {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
    path.display().to_string()
}

#[test]
fn a_node_serves_while_it_compiles_and_deploys_what_was_compiled() {
    let folder = folder();
    let data = folder.path().join("data");
    let first = node(&data, program(), CompileLimits::default());
    let examples = fs::read(examples()).expect("component");
    assert_eq!(upload(&first, "demo", &examples).0, 200);
    first.stop().expect("stopped");
    let (started, go_on) = (folder.path().join("started"), folder.path().join("go-on"));
    // Opening a pipe waits for the other end: so each side knows where the other is.
    let wait = format!("echo > '{}'; read line < '{}'", fifo(&started), fifo(&go_on));
    let node = node(&data, script(folder.path(), &wait), CompileLimits::default());
    // A custom section makes other bytes of the same component.
    let mut other = examples;
    other.extend_from_slice(&[0, 2, 1, b'x']);
    thread::scope(|scope| {
        let upload = scope.spawn(|| upload(&node, "demo", &other));
        assert_eq!(fs::read(&started).expect("started"), b"\n");
        assert_eq!(increment(&node), "1");
        assert_eq!(increment(&node), "2");
        let mut go_on = OpenOptions::new().write(true).open(&go_on).expect("it waits");
        std::io::Write::write_all(&mut go_on, b"\n").expect("it reads");
        drop(go_on);
        let (status, text) = upload.join().expect("joined");
        assert_eq!(status, 200, "{text}");
    });
    assert_eq!(increment(&node), "3");
    node.stop().expect("stopped");
}

#[test]
fn a_class_whose_first_object_is_made_while_a_deployment_without_it_compiles_must_not_vanish() {
    let folder = folder();
    let data = folder.path().join("data");
    let first = node(&data, program(), CompileLimits::default());
    assert_eq!(upload(&first, "demo", &fs::read(examples()).expect("component")).0, 200);
    first.stop().expect("stopped");
    let (started, go_on) = (folder.path().join("started"), folder.path().join("go-on"));
    let wait = format!("echo > '{}'; read line < '{}'", fifo(&started), fifo(&go_on));
    let node = node(&data, script(folder.path(), &wait), CompileLimits::default());
    thread::scope(|scope| {
        let path = "demo/deployments?class=Other";
        let upload = scope.spawn(|| upload_to(&node, path, &without_description("")));
        assert_eq!(fs::read(&started).expect("started"), b"\n");
        assert_eq!(increment(&node), "1");
        fs::write(&go_on, "\n").expect("it waits");
        let (status, text) = upload.join().expect("joined");
        assert!(text.contains("deployment-refused") && text.contains("`Counter`"), "{text}");
        assert_eq!(status, 409);
    });
    assert_eq!(increment(&node), "2", "its code is still deployed");
    node.stop().expect("stopped");
}

#[test]
fn a_node_that_stops_ends_its_compiler() {
    let folder = folder();
    let (started, never) = (folder.path().join("started"), folder.path().join("never"));
    let wait = format!("echo > '{}'; read line < '{}'", fifo(&started), fifo(&never));
    let data = folder.path().join("data");
    let mut config = NodeConfig::new(&data);
    config.compiler = CompilerChoice::Child(script(folder.path(), &wait));
    config.limits.drain = Duration::ZERO;
    config.listen.set_port(0);
    config.control.set_port(0);
    let node = Node::start(config).expect("the node starts");
    let request = agent()
        .post(format!("http://{}/v1/apps/demo/deployments", node.control_address()))
        .header("authorization", format!("Bearer {}", node.token()));
    let component = fs::read(examples()).expect("component");
    thread::scope(|scope| {
        // Whether an answer still comes is not promised.
        scope.spawn(move || drop(request.send(&component)));
        assert_eq!(fs::read(&started).expect("started"), b"\n");
        node.stop().expect("stopped");
    });
    assert_eq!(kept(&data), [""; 0]);
}

#[test]
fn damaged_and_foreign_code_is_compiled_again_by_the_child_at_the_next_start() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = NodeProcess::start(&data);
    node.deploy_examples();
    assert_eq!(node.terminate().code(), Some(0));
    let name = kept(&data).into_iter().find(|name| name.ends_with(".cwasm")).expect("code is kept");
    let path = data.join("components").join(name);
    let good = fs::read(&path).expect("code");
    let half = good.split_at(good.len() / 2).0;
    let leftover = data.join("components").join(format!(".{}.7.cwasm.tmp", "ab".repeat(32)));
    for bad in [half, b"of another program"] {
        fs::write(&path, bad).expect("written");
        fs::write(&leftover, half).expect("written");
        let node = NodeProcess::start(&data);
        assert!(!leftover.exists(), "what a crash left is dropped");
        assert!(fs::read(&path).expect("code") == good, "the code is whole again");
        assert_eq!(node.call(&["demo/Bank/a", "deposit", "\"x\"", "1"]).code, Some(0));
        assert_eq!(node.terminate().code(), Some(0));
    }
}

#[test]
fn the_subcommand_is_hidden() {
    assert!(!run(&["--help"]).stdout.contains("compile "));
}
