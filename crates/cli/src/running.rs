//! A node inside this process, for `serve` and `demo`: its flags, its start, and how it ends.
//!
//! The first Ctrl-C or SIGTERM drains: what is under way is finished, every object settled. The second
//! ends the process at once, which costs nothing that was answered. A start that no I/O error stopped was
//! refused, by the folder or by the flags.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use durabo_server::{Durability, Node, NodeConfig, init_logging};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

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

    /// Lets the data plane listen beyond this machine without tokens
    #[arg(long)]
    open: bool,

    /// A name besides loopback by which clients may address this node
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Writes log lines as JSON
    #[arg(long)]
    pub log_json: bool,
}

impl NodeArgs {
    /// The configuration with these flags, for a data folder.
    pub fn config(&self, data: PathBuf) -> NodeConfig {
        NodeConfig {
            listen: self.listen,
            control: self.control,
            durability: match self.durability {
                DurabilityChoice::Strict => Durability::Strict,
                DurabilityChoice::Relaxed => Durability::Relaxed,
            },
            open: self.open,
            hosts: self.hosts.clone(),
            ..NodeConfig::new(data)
        }
    }

    /// The level of durability as it is written.
    fn durability(&self) -> &'static str {
        match self.durability {
            DurabilityChoice::Strict => "strict",
            DurabilityChoice::Relaxed => "relaxed",
        }
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    if let Some(port) = loopback {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| "an address is an IP address and a port, such as `127.0.0.1:7610`".to_owned())
}
