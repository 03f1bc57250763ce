//! A connection to a host outside, made to an address that was checked.
//!
//! The host is checked before its addresses are asked for, so that no question leaves for a name that is not
//! allowed; then each address is checked, and the connection is made to that very address. A name whose
//! records change in between leads nowhere else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use durabo_model::egress::EgressRules;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::target::Target;

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Finds the addresses of a name.
pub trait FindAddresses: Send + Sync + 'static {
    /// All of them, in the order in which they should be tried.
    fn find(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// Asks the system.
#[derive(Debug)]
pub struct SystemNames;

impl FindAddresses for SystemNames {
    fn find(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Connects to where `target` leads, if `rules` allow it.
pub async fn connect(
    target: &Target,
    rules: &EgressRules,
    names: &dyn FindAddresses,
    tls: &Option<Arc<TlsConnector>>,
) -> Result<Box<dyn Connection>, Failure> {
    let stream = connect_plain(target, rules, names).await?;
    if !target.is_https {
        return Ok(Box::new(stream));
    }
    let Some(tls) = tls else {
        let text = "this system has no list of trusted certificates, so nothing encrypted can be asked; see the \
                    node's log";
        return Err(Failure::new(ErrorCode::OutgoingFailed, text));
    };
    let name = ServerName::try_from(target.host.clone());
    let name = name.map_err(|error| failed(target, &format!("no certificate can be for it: {error}")))?;
    let encrypted = tls.connect(name, stream).await.map_err(|error| failed(target, &error))?;
    Ok(Box::new(encrypted))
}

async fn connect_plain(
    target: &Target,
    rules: &EgressRules,
    names: &dyn FindAddresses,
) -> Result<TcpStream, Failure> {
    let Target { host, port, .. } = target;
    if !rules.allows_host(host, *port) {
        return Err(denied(target));
    }
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, *port)],
        Err(_) => names.find(host.clone(), *port).await.map_err(|error| failed(target, &error))?,
    };
    let allowed = addresses.iter().filter(|address| rules.allows_address(host, *port, address.ip()));
    let mut outcome = match addresses.first() {
        None => Err(failed(target, &"the name has no address")),
        Some(first) => Err(denied_address(target, first.ip())),
    };
    for address in allowed {
        outcome = match TcpStream::connect(address).await {
            Ok(stream) => {
                return stream.set_nodelay(true).map(|()| stream).map_err(|error| failed(target, &error));
            }
            Err(error) => Err(failed(target, &error)),
        };
    }
    outcome
}

/// Says that no response came, and why.
pub fn failed(target: &Target, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::OutgoingFailed, format!("request to `{}`: {reason}", target.shown()))
}

fn denied(target: &Target) -> Failure {
    let shown = target.shown();
    let text = format!(
        "`{shown}` is not allowed by the egress rules of the app; add it to `egress.allow` in `durabo.toml` and \
         deploy again"
    );
    Failure::new(ErrorCode::EgressDenied, text)
}

fn denied_address(target: &Target, address: IpAddr) -> Failure {
    let text = format!(
        "`{}` has the address {address}, which is not public; if requests may go there, add the address to \
         `egress.allow` in `durabo.toml` and deploy again",
        target.shown()
    );
    Failure::new(ErrorCode::EgressDenied, text)
}
