//! What an operator sets for a node.
//!
//! The command line fills it; everything has a default but the data folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use durabo_changelog::segment::Durability;
use durabo_model::limits::{CompileLimits, DiskLimits, HttpLimits, ObjectLimits, OutgoingLimits};
use durabo_model::settings::{Change, LimitsMut};

/// Port of the data plane unless another is set.
pub const LISTEN_PORT: u16 = 7610;
/// Port of the control plane unless another is set.
pub const CONTROL_PORT: u16 = 7611;
/// Bytes of one log segment unless set. Four of them exist from the start, filled with zeros.
pub const LOG_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Least size of a segment: a part of a large transaction is up to 1 MiB and must fit.
pub const LOG_SEGMENT_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// Who compiles components.
#[derive(Debug, Clone)]
pub enum CompilerChoice {
    /// The node itself, without any limit: for a program that trusts what it uploads, such as a test.
    InProcess,
    /// A child process for each component, within the limits: this program, which is `durabo`.
    Child(PathBuf),
}

/// Configuration of one node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Data folder; made if it does not exist.
    pub data: PathBuf,
    /// Address of the data plane. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the control plane. Port 0 takes a free one.
    pub control: SocketAddr,
    /// What "durable" means.
    pub durability: Durability,
    /// Lets the data plane listen beyond this machine without tokens.
    pub open: bool,
    /// Names besides loopback by which clients may address this node.
    pub hosts: Vec<String>,
    /// Capacities and times of objects.
    pub limits: ObjectLimits,
    /// What clients of either listener may take.
    pub http_limits: HttpLimits,
    /// What requests of objects to the outside may take.
    pub outgoing_limits: OutgoingLimits,
    /// Bytes of one segment of the change log.
    pub log_segment_bytes: u64,
    /// What the node leaves of the disk.
    pub disk_limits: DiskLimits,
    /// Who compiles components.
    pub compiler: CompilerChoice,
    /// What compiling one component may take, if a child process does it.
    pub compile_limits: CompileLimits,
    /// Lets the program that runs the node plan faults of commits, let objects hibernate, evict and reset
    /// them, for tests.
    pub test_hooks: bool,
}

impl NodeConfig {
    /// Sets a limit other than its default.
    pub fn set_limit(&mut self, change: &Change) {
        change.apply(LimitsMut {
            objects: &mut self.limits,
            http: &mut self.http_limits,
            outgoing: &mut self.outgoing_limits,
            compile: &mut self.compile_limits,
            disk: &mut self.disk_limits,
        });
    }

    /// The defaults, for a data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, LISTEN_PORT)),
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)),
            durability: Durability::Strict,
            open: false,
            hosts: Vec::new(),
            limits: ObjectLimits::default(),
            http_limits: HttpLimits::default(),
            outgoing_limits: OutgoingLimits::default(),
            log_segment_bytes: LOG_SEGMENT_BYTES,
            disk_limits: DiskLimits::default(),
            compiler: CompilerChoice::InProcess,
            compile_limits: CompileLimits::default(),
            test_hooks: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limit_of_each_group_can_be_set() {
        let mut config = NodeConfig::new("nowhere");
        for text in [
            "disk.reserve_bytes=64MiB",
            "drain=1s",
            "http.write_timeout=2s",
            "outgoing.connect_timeout=3s",
            "compile.cpu=4s",
        ] {
            config.set_limit(&Change::parse(text).expect("a limit"));
        }
        let times = [
            config.limits.drain,
            config.http_limits.write_timeout,
            config.outgoing_limits.connect_timeout,
            config.compile_limits.cpu,
        ];
        assert_eq!(times, [1, 2, 3, 4].map(Duration::from_secs));
        assert_eq!(config.disk_limits.reserve_bytes, 64 << 20);
    }
}
