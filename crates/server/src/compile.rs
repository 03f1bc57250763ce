//! Compiling uploads in a child process: how the node starts it, and what the child does.
//!
//! A compiler given hostile input can run for ever, take all memory, or crash; in a child process that
//! ends with the child. It limits itself before it reads the component, has a low priority, and ends
//! when its standard input does, so that it never outlives the node.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::CompileLimits;
use durabo_runtime::compiler::{self, CompileJob, Compiler};
use durabo_runtime::engine::EngineConfig;
use durabo_runtime::error::{CompileLimit, NO_SPACE, RuntimeError};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use tracing::{info, warn};

/// Beside a busy thread of the node the compiler gets a tenth of the core. Far lower, and a large
/// component would not be done within the limit of time on a busy machine.
const NICENESS: i32 = 10;

/// Each thread of the compiler holds one function, so more threads need more memory: whether a
/// component compiles should not depend on the number of cores.
const THREADS_MAX: usize = 4;

/// What is kept of the compiler's standard error, in bytes; a refusal is one line.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// What a compiler says that gets no threads, before it panics. That may be for lack of memory or of processes.
const NO_THREADS: &str = "ThreadPoolBuildError";

/// Exit code of a compiler that refuses the component.
const REFUSED: i32 = 1;
/// Exit code of a compiler that could not do its work.
const BROKEN: i32 = 2;

/// One run of the compiler, as its command line says it.
#[derive(Debug, Clone)]
pub struct CompileRequest {
    /// File of the component.
    pub component: PathBuf,
    /// File that the code goes to.
    pub code: PathBuf,
    /// Memory that this process may use, in bytes.
    pub memory_bytes_max: u64,
    /// CPU time that this process may use, in seconds.
    pub cpu_s_max: u64,
    /// Stack of guests, in bytes.
    pub stack_bytes_max: usize,
    /// Whether traps name file and line.
    pub with_trap_lines: bool,
}

impl CompileRequest {
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["compile".into(), self.component.clone().into(), self.code.clone().into()];
        let numbers = [
            ("--memory-bytes-max", self.memory_bytes_max.to_string()),
            ("--cpu-s-max", self.cpu_s_max.to_string()),
            ("--stack-bytes-max", self.stack_bytes_max.to_string()),
        ];
        for (flag, number) in numbers {
            arguments.extend([flag.into(), number.into()]);
        }
        if self.with_trap_lines {
            arguments.push("--with-trap-lines".into());
        }
        arguments
    }
}

/// What the child does: limits this process, and compiles in it. Only for a process that does nothing
/// else; it ends at once when its standard input ends.
pub fn compile_alone(request: &CompileRequest) -> Result<(), Failure> {
    let broken =
        |error: io::Error| Failure::new(ErrorCode::Internal, format!("limiting the compiler: {error}"));
    thread::Builder::new().name("parent".to_owned()).spawn(end_with_the_parent).map_err(broken)?;
    limit_this_process(request).map_err(broken)?;
    let engine = EngineConfig {
        wasm_stack_bytes_max: request.stack_bytes_max,
        with_trap_lines: request.with_trap_lines,
    };
    let job = CompileJob { component: &request.component, code: &request.code, engine: &engine };
    compiler::compile(job).map_err(|error| error.to_failure())
}

fn end_with_the_parent() {
    // Nothing is ever sent: whatever comes means that the parent is gone.
    drop(io::stdin().read(&mut [0]));
    std::process::exit(BROKEN);
}

fn limit_this_process(request: &CompileRequest) -> io::Result<()> {
    // Data and not address space: address space that is only reserved costs nothing.
    limit(Resource::Data, request.memory_bytes_max)?;
    limit(Resource::Cpu, request.cpu_s_max)?;
    // A compiler that is cut leaves no image of its memory.
    limit(Resource::Core, 0)?;
    nice(NICENESS)?;
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let before = getrlimit(resource);
    let current = before.maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: before.maximum })?)
}

/// Compiles in a child process at a time. Clones are the same compiler.
#[derive(Clone)]
pub struct ChildCompiler {
    program: PathBuf,
    limits: CompileLimits,
    /// Held while a child runs.
    turn: Arc<Mutex<()>>,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    is_stopped: bool,
    /// Ends the waiting for the child that runs.
    tell: Option<Sender<Told>>,
}

/// What ends the waiting for a child before its time is over.
enum Told {
    /// It has ended, and this is what it said.
    Ended(String),
    /// The node stops.
    Stop,
}

impl ChildCompiler {
    /// A compiler that runs `program`, which is `durabo`, with its hidden subcommand.
    pub fn new(program: PathBuf, limits: CompileLimits) -> Self {
        Self { program, limits, turn: Arc::default(), running: Arc::default() }
    }

    /// Ends the child that runs, if there is one, and starts no other.
    pub fn stop(&self) {
        let mut running = self.running();
        running.is_stopped = true;
        if let Some(tell) = running.tell.take() {
            // Nobody listens any more if the child has just ended.
            drop(tell.send(Told::Stop));
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, job: CompileJob<'_>) -> Result<Child, RuntimeError> {
        let request = CompileRequest {
            component: job.component.to_owned(),
            code: job.code.to_owned(),
            memory_bytes_max: self.limits.memory_bytes_max,
            cpu_s_max: self.limits.cpu.as_secs_f64().ceil() as u64,
            stack_bytes_max: job.engine.wasm_stack_bytes_max,
            with_trap_lines: job.engine.with_trap_lines,
        };
        let threads = available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        Command::new(&self.program)
            .arg0("durabo")
            .args(request.arguments())
            // It needs nothing of the node's environment, which may hold secrets.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            // Ctrl-C is for the node, which lets uploads under way end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| RuntimeError::Compiler(format!("starting {}: {error}", self.program.display())))
    }

    /// Waits for a child until it ends, its time is over, or the node stops. It is gone afterwards.
    fn wait_for(&self, child: &mut Child, tell: Sender<Told>, told: &mpsc::Receiver<Told>) -> Waited {
        let cut = match listen(child, tell).map(|()| told.recv_timeout(self.limits.wall)) {
            Ok(Ok(Told::Ended(said))) => return Waited::Ended(child.wait(), said),
            Ok(Ok(Told::Stop)) => RuntimeError::Stopping,
            Ok(Err(RecvTimeoutError::Timeout)) => CompileLimit::Wall(self.limits.wall).into(),
            Ok(Err(RecvTimeoutError::Disconnected)) => {
                RuntimeError::Compiler("nobody listens to it".to_owned())
            }
            Err(error) => RuntimeError::Compiler(format!("listening to it: {error}")),
        };
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            warn!(pid = child.id(), %error, "a compiler could not be ended");
        }
        Waited::Cut(cut)
    }

    /// What a child that has ended by itself came to.
    fn outcome(&self, status: ExitStatus, said: &str) -> Result<(), RuntimeError> {
        if status.success() {
            return Ok(());
        }
        let text = said.trim().trim_start_matches("error: ");
        if text.contains(NO_SPACE) {
            return Err(RuntimeError::NoSpace("writing its code".to_owned()));
        }
        if status.code() == Some(REFUSED) && !is_out_of_memory(said) {
            return Err(RuntimeError::Refused(text.to_owned()));
        }
        info!(%status, said = text, "the compiler did not do its work");
        if status.signal() == Some(Signal::XCPU.as_raw()) {
            return Err(CompileLimit::Cpu(self.limits.cpu).into());
        }
        if is_out_of_memory(said) {
            return Err(CompileLimit::Memory(self.limits.memory_bytes_max).into());
        }
        if status.signal() == Some(Signal::KILL.as_raw()) {
            // Not by the node, which knows what it kills.
            return Err(RuntimeError::KilledCompiler);
        }
        if status.code() == Some(BROKEN) || said.contains(NO_THREADS) {
            return Err(RuntimeError::Compiler(text.to_owned()));
        }
        Err(RuntimeError::NotCompiled(format!(
            "the compiler ended with {status}; the node's log has what it said"
        )))
    }
}

impl Compiler for ChildCompiler {
    fn compile(&self, job: CompileJob<'_>) -> Result<(), RuntimeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (tell, told) = mpsc::channel();
        {
            let mut running = self.running();
            if running.is_stopped {
                return Err(RuntimeError::Stopping);
            }
            running.tell = Some(tell.clone());
        }
        let mut child = self.start(job)?;
        // Closed when the child is gone, or with this process.
        let _stdin = child.stdin.take();
        let waited = self.wait_for(&mut child, tell, &told);
        self.running().tell = None;
        match waited {
            Waited::Ended(status, said) => {
                let status = status.map_err(|error| RuntimeError::Compiler(format!("its end: {error}")))?;
                self.outcome(status, &said)
            }
            Waited::Cut(error) => Err(error),
        }
    }
}

/// How the waiting for a child ended.
enum Waited {
    /// By itself, with what it said.
    Ended(io::Result<ExitStatus>, String),
    /// It was ended.
    Cut(RuntimeError),
}

/// Tells in the end what a child said.
fn listen(child: &mut Child, tell: Sender<Told>) -> io::Result<()> {
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let listener = thread::Builder::new().name("compiler".to_owned());
    listener.spawn(move || tell.send(Told::Ended(said_until_the_end(stderr))))?;
    Ok(())
}

/// The first of what a child says. Returns when it has ended: nothing else holds the pipe.
fn said_until_the_end(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let heard = stderr.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut said);
    // The rest is taken as well, or the child would wait for a reader.
    if let Err(error) = heard.and_then(|_| io::copy(&mut stderr, &mut io::sink())) {
        warn!(%error, "what a compiler says cannot be read");
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// The first is what Rust says before it aborts, the second what the system answers to a mapping, the third what
/// Rust answers to whoever can do without.
fn is_out_of_memory(said: &str) -> bool {
    ["memory allocation of", "Cannot allocate memory", "out of memory"].iter().any(|text| said.contains(text))
}

/// Stops a compiler when it is dropped.
pub struct StopOnDrop(pub ChildCompiler);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
