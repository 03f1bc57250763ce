//! A real file system so small that a test may fill it, for nodes of one test alone.
//!
//! A tmpfs in a mount namespace of its own, held by a helper process: nodes run in that namespace, the test
//! reaches the files by the helper's root. That needs `unshare`, `nsenter` and `mount` of util-linux, and either
//! root that may mount or user namespaces that anybody may make. Where neither is, as in many containers, the
//! folder that the variable `DURABO_TEST_SMALL_DISK` names is used, on a small file system that whoever
//! started the container has mounted. Without any of the three the test cannot run, and says so on a line that
//! the test harness does not hold back; or it fails, with `DURABO_TEST_SMALL_DISK_REQUIRED`, which `.ci/run` sets
//! where it has seen that one can be mounted.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::node_process::{NodeProcess, durabo, folder};

const DISK_MIB: u64 = 128;
/// One that is larger is somebody's disk, and not there to be filled.
const DISK_MIB_MAX: u64 = 1024;
const VARIABLE: &str = "DURABO_TEST_SMALL_DISK";
/// Set where a test must not go without.
const REQUIRED: &str = "DURABO_TEST_SMALL_DISK_REQUIRED";
const NEEDS: &str = "this test needs a small file system of its own: `unshare`, `nsenter` and `mount` of \
                     util-linux with the right to mount or to make user namespaces, or the variable \
                     `DURABO_TEST_SMALL_DISK` with a folder on a file system of 128 to 1024 MiB, such as \
                     `docker run --tmpfs /small:size=128m` gives";

/// A small file system; what is on it is gone when dropped.
pub struct SmallDisk {
    /// In whose mount namespace it is; none if it is everybody's.
    helper: Option<Helper>,
    /// A folder on it, as nodes see it.
    inner: PathBuf,
    /// The same folder, as the test sees it.
    path: PathBuf,
    _folder: TempDir,
}

struct Helper {
    process: Child,
    /// What brings another process to it.
    enter: &'static [&'static str],
}

/// Ways to a mount namespace: what `unshare` is told, and `nsenter` then.
const WAYS: [(&[&str], &[&str]); 2] =
    [(&[], &[]), (&["--user", "--map-root-user"], &["--user", "--preserve-credentials"])];

impl SmallDisk {
    /// The one that the variable names, or a new one. `None`, and a line that says so, where the system lets
    /// nobody mount one, unless one is required.
    pub fn get() -> Option<Self> {
        if let Some(given) = std::env::var_os(VARIABLE) {
            return Some(Self::on(Path::new(&given)));
        }
        let refusal = match Self::mount() {
            Ok(disk) => return Some(disk),
            Err(refusal) => refusal,
        };
        assert!(std::env::var_os(REQUIRED).is_none(), "`{REQUIRED}` is set: {NEEDS}; {refusal}");
        // Straight to the descriptor: the harness shows what a passing test prints to nobody.
        writeln!(std::io::stderr(), "NOT RUN: a node on a full disk: {NEEDS}; {refusal}").expect("a line");
        None
    }

    fn on(given: &Path) -> Self {
        let found = rustix::fs::statvfs(given).unwrap_or_else(|error| panic!("{}: {error}", given.display()));
        let mib = found.f_blocks * found.f_frsize / (1024 * 1024);
        assert!(
            (DISK_MIB..=DISK_MIB_MAX).contains(&mib),
            "the file system of `{}`, named by `{VARIABLE}`, has {mib} MiB; {NEEDS}",
            given.display()
        );
        let folder = tempfile::Builder::new().prefix("durabo-test-").tempdir_in(given).expect("folder");
        let path = folder.path().to_owned();
        Self { helper: None, inner: path.clone(), path, _folder: folder }
    }

    fn mount() -> Result<Self, String> {
        let folder = folder();
        let inner = folder.path().to_owned();
        let mut refusals = Vec::new();
        for (unshare, enter) in WAYS {
            match start_helper(unshare, &inner) {
                Ok(process) => {
                    let path = PathBuf::from(format!("/proc/{}/root{}", process.id(), inner.display()));
                    let helper = Some(Helper { process, enter });
                    return Ok(Self { helper, inner, path, _folder: folder });
                }
                Err(refusal) => refusals.push(format!("`unshare --mount {}`: {refusal}", unshare.join(" "))),
            }
        }
        Err(refusals.join("; "))
    }

    /// Starts a node on it.
    pub fn start_node(&self) -> NodeProcess {
        let program = durabo(&["serve"]);
        let command = match &self.helper {
            None => program,
            Some(helper) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &helper.process.id().to_string(), "--mount"]).args(helper.enter);
                command.arg("--").arg(program.get_program()).args(program.get_args());
                for (name, value) in program.get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command
            }
        };
        NodeProcess::start_by(command, &self.inner.join("data"), &self.path.join("data"), &self.log())
    }

    /// Where the log of its nodes goes: to the disk that is full, and that must harm nobody.
    fn log(&self) -> PathBuf {
        self.path.join("node.log")
    }

    /// Writes a file until there is no space left at all.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).expect("filler");
        for size in [1024 * 1024, 4096] {
            loop {
                match file.write(&vec![1; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling the disk: {error}"),
                }
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
        if let Some(helper) = &mut self.helper {
            helper.process.kill().expect("it ends only now");
            helper.process.wait().expect("its end");
        }
    }
}

/// Mounts a small file system over a folder in a namespace of its own, which lives as long as the process.
fn start_helper(unshare: &[&str], point: &Path) -> Result<Child, String> {
    let script = format!(
        "mount -t tmpfs -o size={DISK_MIB}m,mode=700 durabo-test \"$1\" && echo mounted && exec cat >&2"
    );
    let mut helper = Command::new("unshare")
        .args(unshare)
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(point)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut said = [0; 8];
    let mut stdout = helper.stdout.take().expect("a pipe");
    if stdout.read_exact(&mut said).is_ok() && &said == b"mounted\n" {
        return Ok(helper);
    }
    let output = helper.wait_with_output().map_err(|error| error.to_string())?;
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
