//! Runs the binary: commands to their end, nodes until the test lets go of them.
//!
//! A node is known to serve by its start line; a node that does not get there fails the test with its log.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far more than a start takes, even on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// Variables that change what the program does or how its help is set.
const SETTINGS: [&str; 7] = [
    "DURABO_LISTEN",
    "DURABO_CONTROL",
    "DURABO_DATA",
    "DURABO_TOKEN",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
];

/// The binary, without what this shell's environment would tell it.
pub fn durabo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durabo"));
    for name in SETTINGS {
        command.env_remove(name);
    }
    command.env("RUST_LOG", "info").args(args);
    command
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(args: &[&str]) -> Ran {
    ran(durabo(args).stdin(Stdio::null()).output().expect("the binary runs"))
}

/// The texts of what a command came to.
pub fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A fresh folder, removed at the end of the test.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("durabo-test-").tempdir().expect("temporary folder")
}

/// A node in a process of its own; killed when dropped.
pub struct NodeProcess {
    child: Child,
    /// Its data folder.
    pub data: PathBuf,
    /// Address of its data plane.
    pub listen: String,
    /// Address of its control plane.
    pub control: String,
}

impl NodeProcess {
    /// Starts a node on a data folder and waits until it serves.
    pub fn start(data: &Path) -> Self {
        Self::start_with(&[], data, &data.with_extension("log"))
    }

    /// As [`start`](Self::start); its objects stay in memory, with their instances, however long the test takes.
    pub fn start_with_lasting_objects(data: &Path) -> Self {
        let flags = ["--limit=hibernate_after=1h", "--limit=close_after=1h"];
        Self::start_with(&flags, data, &data.with_extension("log"))
    }

    /// As [`start`](Self::start), with further flags; its log goes to the file `log`.
    pub fn start_with(flags: &[&str], data: &Path, log: &Path) -> Self {
        Self::start_by(durabo(&[&["serve"], flags].concat()), data, data, log)
    }

    /// As [`start`](Self::start), by a command that runs `durabo serve` with the arguments that are added. `inner`
    /// is the folder as the node sees it, `data` as this process does; its log goes to the file `log`.
    pub fn start_by(mut command: Command, inner: &Path, data: &Path, log: &Path) -> Self {
        let text = inner.to_str().expect("path");
        let mut child = command
            .args(["--data", text, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log).expect("log file"))
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("a pipe");
        let (tell, told) = mpsc::channel();
        // Reads on until the node ends, so that it never finds its pipe closed.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let line = told.recv_timeout(START_DEADLINE);
        let started = line.ok().and_then(|line| serde_json::from_str::<Value>(&line).ok());
        let address = |name: &str| Some(started.as_ref()?.get(name)?.as_str()?.to_owned());
        let (Some(listen), Some(control)) = (address("listen"), address("control")) else {
            child.kill().expect("kill");
            child.wait().expect("wait");
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("the node did not start; its start line: {started:?}; its log:\n{log}");
        };
        Self { child, data: data.to_owned(), listen, control }
    }

    /// Sends SIGKILL and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Sends SIGTERM and waits until the process is gone.
    pub fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("signal");
        self.child.wait().expect("wait")
    }

    /// Memory that the process has in RAM.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kibibytes.and_then(|number| number.parse::<u64>().ok()).expect("a number of kB") * 1024
    }

    /// Files that the process has open, connections included.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its files").count()
    }

    /// Runs a command that asks the control plane.
    pub fn ask(&self, args: &[&str]) -> Ran {
        let data = self.data.to_str().expect("path");
        run(&[args, &["--control", &self.control, "--data", data]].concat())
    }

    /// Runs `call` with arguments.
    pub fn call(&self, args: &[&str]) -> Ran {
        run(&[&["call"], args, &["--listen", &self.listen]].concat())
    }

    /// Deploys the example component as app `demo`.
    pub fn deploy_examples(&self) {
        let component = examples();
        let ran = self.ask(&["deploy", component.to_str().expect("path"), "--app", "demo"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Gone already if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The component with the classes `Counter`, `Todo`, `Bank` and `Reminders`.
pub fn examples() -> PathBuf {
    PathBuf::from(env!("DURABO_DEMO_COMPONENT"))
}
