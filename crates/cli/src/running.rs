//! A node inside this process, for `serve` and `demo`: its flags, its start, and how it ends.
//!
//! The first Ctrl-C or SIGTERM drains: what is under way is finished, every object settled. The second
//! ends the process at once, which costs nothing that was answered. A start that no I/O error stopped was
//! refused, by the folder or by the flags.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::{process, thread};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use durabo_model::failure::Failure;
use durabo_model::settings::Change;
use durabo_server::{CompilerChoice, Durability, Node, NodeConfig};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::client::{CONTROL_DEFAULT, LISTEN_DEFAULT};
use crate::output::Output;
use crate::refusal::Refusal;

/// What "durable" means.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DurabilityChoice {
    /// What was answered survives a loss of power
    Strict,
    /// What was answered survives the end of the process; a loss of power may cost the newest commits
    Relaxed,
}

/// Flags of a node, apart from its data folder.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Address of the data plane; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "DURABO_LISTEN", hide_env_values = true, default_value = LISTEN_DEFAULT, value_parser = socket_address)]
    listen: SocketAddr,

    /// Address of the control plane; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "DURABO_CONTROL", hide_env_values = true, default_value = CONTROL_DEFAULT, value_parser = socket_address)]
    control: SocketAddr,

    /// What "durable" means
    #[arg(long, value_name = "LEVEL", default_value = "strict")]
    durability: DurabilityChoice,

    /// Lets the data plane listen beyond this machine without tokens. Clients elsewhere get 403 until
    /// `--host` names what they call this node. The control plane needs no such flag; its token would cross
    /// the network in plain HTTP, so leave it on loopback
    #[arg(long)]
    open: bool,

    /// A name or address besides loopback that clients may have in `Host`, written without a port, an IPv6
    /// address in brackets; may be repeated. It counts for the data plane and the control plane
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// A limit other than its default, such as `mailbox_events_max=100`, `http.head_timeout=5s` or
    /// `memory_bytes_max=64MiB`; may be repeated. An unknown name is answered with those that there are
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = Change::parse)]
    limits: Vec<Change>,

    /// Writes log lines as JSON
    #[arg(long)]
    pub log_json: bool,
}

impl NodeArgs {
    /// The configuration with these flags, for a data folder.
    pub fn config(&self, data: PathBuf) -> anyhow::Result<NodeConfig> {
        let mut config = NodeConfig {
            listen: self.listen,
            control: self.control,
            durability: match self.durability {
                DurabilityChoice::Strict => Durability::Strict,
                DurabilityChoice::Relaxed => Durability::Relaxed,
            },
            open: self.open,
            hosts: self.hosts.clone(),
            compiler: CompilerChoice::Child(own_program()?),
            ..NodeConfig::new(data)
        };
        self.limits.iter().for_each(|change| config.set_limit(change));
        Ok(config)
    }

    /// The level of durability as it is written.
    fn durability(&self) -> &'static str {
        match self.durability {
            DurabilityChoice::Strict => "strict",
            DurabilityChoice::Relaxed => "relaxed",
        }
    }
}

/// The program that runs, also after its file was replaced by that of another build, whose code the node
/// could not use.
fn own_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("finding the path of this program")
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    if let Some(port) = loopback {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| "an address is an IP address and a port, such as `127.0.0.1:7610`".to_owned())
}

/// A node that serves.
pub struct RunningNode {
    node: Node,
    data: PathBuf,
    durability: &'static str,
    ended: Receiver<Ended>,
}

/// Why a node is to stop.
enum Ended {
    /// It was told to.
    Told,
    /// Its change log has failed, and nothing can be promised any more.
    Failed(Failure),
}

impl RunningNode {
    /// Starts a node and returns when it serves. From then on signals are noted; before, they end the
    /// process, which a start that has not finished survives like any other.
    pub fn start(args: &NodeArgs, data: PathBuf) -> anyhow::Result<Self> {
        let node = Node::start(args.config(data.clone())?).map_err(start_fault)?;
        let ended = watch_for_the_end(node.failed())?;
        let data = data.canonicalize().with_context(|| format!("data folder `{}`", data.display()))?;
        Ok(Self { node, data, durability: args.durability(), ended })
    }

    /// Address of the data plane.
    pub fn listen(&self) -> SocketAddr {
        self.node.listen_address()
    }

    /// Address of the control plane.
    pub fn control(&self) -> SocketAddr {
        self.node.control_address()
    }

    /// Token of the control plane.
    pub fn token(&self) -> &str {
        self.node.token()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Prints that the node serves, and where.
    pub fn announce(&self, output: Output) -> io::Result<()> {
        let (listen, control, durability) = (self.listen(), self.control(), self.durability);
        if output.is_json() {
            let (listen, control) = (listen.to_string(), control.to_string());
            let data = self.data.to_string_lossy();
            return output.json(
                &json!({"listen": listen, "control": control, "data": data, "durability": durability}),
            );
        }
        output.line(&format!(
            "durabo {} serves: data plane http://{listen}, control plane http://{control}, data folder {}, durability {durability}",
            env!("CARGO_PKG_VERSION"),
            self.data.display()
        ))
    }

    /// Waits for a signal, or for a failure of the node, and stops it.
    pub fn until_stopped(self) -> anyhow::Result<()> {
        let ended = self.ended.recv().context("BUG: the thread that waits for signals is gone")?;
        let stopped = self.node.stop();
        match ended {
            Ended::Told => stopped,
            Ended::Failed(failure) => Err(anyhow!("the node has stopped: {failure}")),
        }
    }

    /// Stops the node now.
    pub fn stop(self) -> anyhow::Result<()> {
        self.node.stop()
    }
}

/// A start is refused by the folder or the flags, unless the system refused something.
fn start_fault(error: anyhow::Error) -> anyhow::Error {
    let of_system = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    match of_system.map(io::Error::kind) {
        None => Refusal::new(format!("{error:#}")).into(),
        Some(ErrorKind::AddrInUse) => error.context(
            "another program listens there already; choose other addresses with `--listen` and `--control`",
        ),
        Some(_) => error.context("the node cannot start"),
    }
}

/// Tells the first signal, or the failure of the node; the second signal ends the process.
fn watch_for_the_end(mut failed: watch::Receiver<Option<Failure>>) -> anyhow::Result<Receiver<Ended>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("waiting for signals")?;
    let mut signals = {
        let _entered = runtime.enter();
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        (signals.0.context("waiting for Ctrl-C")?, signals.1.context("waiting for SIGTERM")?)
    };
    let (tell, ended) = mpsc::channel();
    let wait = async move {
        let first = tokio::select! {
            () = one_of(&mut signals) => Ended::Told,
            failure = failure_of(&mut failed) => Ended::Failed(failure),
        };
        if matches!(first, Ended::Told) {
            eprintln!("stopping; a second signal ends the process at once");
        }
        // The receiver is gone if the node was stopped meanwhile.
        let _ = tell.send(first);
        one_of(&mut signals).await;
        process::exit(2);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait))
        .context("starting a thread")?;
    Ok(ended)
}

async fn one_of(signals: &mut (Signal, Signal)) {
    tokio::select! {
        _ = signals.0.recv() => {}
        _ = signals.1.recv() => {}
    }
}

/// Waits for a failure; for ever if there can be none any more.
async fn failure_of(failed: &mut watch::Receiver<Option<Failure>>) -> Failure {
    let failure = match failed.wait_for(Option::is_some).await {
        Ok(failure) => failure.clone(),
        Err(_) => None,
    };
    match failure {
        Some(failure) => failure,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ip_addresses_or_localhost() {
        assert_eq!(socket_address("localhost:7").expect("address").to_string(), "127.0.0.1:7");
        assert_eq!(socket_address("[::1]:0").expect("address").to_string(), "[::1]:0");
        for bad in ["7610", "localhost", "node.example:1", "127.0.0.1", "localhost:99999"] {
            assert!(socket_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_start_without_an_io_error_was_refused() {
        let refused = start_fault(anyhow!("data folder `x` is used by another node"));
        assert!(refused.downcast_ref::<Refusal>().is_some());
        let broken =
            start_fault(anyhow::Error::new(io::Error::from(ErrorKind::PermissionDenied)).context("opening"));
        assert!(broken.chain().all(|cause| cause.downcast_ref::<Refusal>().is_none()));
    }
}
