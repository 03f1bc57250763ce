//! `durabo-conformance`: the suite against a node that somebody else runs.
//!
//! Deploys the suite's guests under their own app names (see `guest`), so give it a node that may have them.
//! Exit code 0 if all that the node can show is as the contract says, 1 if not, 2 if the node cannot be used.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use durabo_conformance::case::report_failures_only;
use durabo_conformance::client::Client;
use durabo_conformance::node::GivenNode;
use durabo_conformance::report::Report;
use durabo_conformance::{ControlPlane, cases};

/// Runs the conformance suite on a node and prints what became of each rule of the contract.
///
/// The guests of the suite are deployed on the node as apps `sql`, `lifecycle`, `faults`, `gates` and others;
/// objects of any apps of these names are not touched, but run the suite's code afterwards. Use a node of its
/// own, with the default limits and room for a few hundred objects.
#[derive(Debug, Parser)]
#[command(name = "durabo-conformance", version)]
struct Options {
    /// Address of the node's data plane
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7610")]
    node: String,
    /// Address of the node's control plane
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7611")]
    control: String,
    /// The node's token
    #[arg(long, required_unless_present = "token_file")]
    token: Option<String>,
    /// File with the node's token: `token` in its data folder
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Only cases whose name has this text: `c_062`, `sql_limits::`
    filter: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(report) => {
            print!("{}", report.text());
            ExitCode::from(u8::from(report.has_failures()))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Report> {
    let (listen, control) = (address("--node", &options.node)?, address("--control", &options.control)?);
    let token = token(options)?;
    let filter = options.filter.as_deref().unwrap_or_default();
    let chosen: Vec<_> = cases().into_iter().filter(|case| case.name().contains(filter)).collect();
    if chosen.is_empty() {
        bail!("no case has `{filter}` in its name");
    }
    std::net::TcpStream::connect(listen).with_context(|| format!("no node answers at {}", options.node))?;
    std::net::TcpStream::connect(control)
        .with_context(|| format!("no control plane answers at {}", options.control))?;
    let status = ControlPlane::new(Client::new(control), &token).send("GET", "/v1/status", &[]);
    if status.status != 200 {
        bail!("the control plane at {} refuses the token: {}", options.control, status.text().trim());
    }
    report_failures_only();
    GivenNode { listen, control, token }.use_for_all().map_err(|refusal| anyhow!(refusal))?;
    let report = Report::of(&chosen);
    if report.is_empty() {
        bail!("the {} cases with `{filter}` in their names need a node of their own", chosen.len());
    }
    Ok(report)
}

fn token(options: &Options) -> Result<String> {
    match (&options.token, &options.token_file) {
        (Some(token), _) => Ok(token.clone()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            Ok(text.with_context(|| format!("the token file `{}`", file.display()))?.trim().to_owned())
        }
        (None, None) => bail!("give the node's token with `--token` or `--token-file`"),
    }
}

/// The address that a URL of a node names.
fn address(flag: &str, url: &str) -> Result<SocketAddr> {
    let host = url.trim_end_matches('/');
    let host = host.strip_prefix("http://").unwrap_or(host);
    let wanted = || format!("`{flag} {url}` is no address of a node; write it as `http://127.0.0.1:7610`");
    host.to_socket_addrs().with_context(wanted)?.next().with_context(wanted)
}
